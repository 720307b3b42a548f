"""`python -m proxy.lane`, with the arguments of `python -m proxy.edge`: the aiohttp engine as a worker."""

import asyncio
import signal
import socket
import sys

import uvloop

from fastmatch._native import Segment
from proxy.edge.__main__ import Options, parse_options
from proxy.edge.config import EdgeConfig
from proxy.edge.worker import raise_descriptor_limit, settle_memory
from proxy.lane.worker import LaneWorker


async def serve(options: Options) -> None:
    """Until SIGTERM or SIGINT, and the drain that follows."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    segment = Segment.open(options.segment_descriptor)
    worker = LaneWorker(segment, options.slot, options.runtime_directory, EdgeConfig())
    endpoints = [socket.socket(fileno=number) for number in options.listen_descriptors]
    async with asyncio.TaskGroup() as group:
        await worker.start(group, endpoints)
        settle_memory()
        sys.stdout.write(f"ready slot={options.slot}\n")
        sys.stdout.flush()
        await stop.wait()
        await worker.drain()


def main() -> None:
    options = parse_options(sys.argv[1:])
    raise_descriptor_limit()
    uvloop.run(serve(options))


if __name__ == "__main__":
    main()
