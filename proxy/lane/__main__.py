"""`python -m proxy.lane`, with the arguments of `python -m proxy.edge`: the aiohttp engine as a worker."""

from fastmatch._native import Segment
from proxy.edge.config import EdgeConfig
from proxy.edge.program import Options, run
from proxy.lane.worker import LaneWorker


def make_worker(segment: Segment, options: Options) -> LaneWorker:
    return LaneWorker(segment, options.slot, options.runtime_directory, EdgeConfig())


if __name__ == "__main__":
    run("python -m proxy.lane", __doc__, make_worker)
