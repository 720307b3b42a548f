"""`python -m proxy.edge --slot N --listen-fd [NAME=]FD,... --segment-fd FD --runtime-dir DIR`: one edge
worker."""

import asyncio

from fastmatch._native import Segment
from proxy.edge.config import EdgeConfig
from proxy.edge.program import Options, run
from proxy.edge.worker import Worker


def make_worker(segment: Segment, options: Options) -> Worker:
    loop = asyncio.get_running_loop()
    return Worker(loop, segment, options.slot, options.runtime_directory, EdgeConfig())


if __name__ == "__main__":
    run("python -m proxy.edge", __doc__, make_worker)
