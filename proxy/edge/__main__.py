"""`python -m proxy.edge --slot N --listen-fd FD[,FD...] --segment-fd FD --runtime-dir DIR`: one edge
worker."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from fastmatch._native import Segment
from proxy.edge.config import EdgeConfig
from proxy.edge.worker import Worker, raise_descriptor_limit, settle_memory


@dataclass(frozen=True, slots=True)
class Options:
    slot: int
    listen_descriptors: tuple[int, ...]
    segment_descriptor: int
    runtime_directory: Path


def parse_options(arguments: Sequence[str]) -> Options:
    """Exits with 2 and a line on standard error when the arguments are wrong."""
    parser = argparse.ArgumentParser(prog="python -m proxy.edge", description=__doc__)
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--listen-fd", required=True)
    parser.add_argument("--segment-fd", type=int, required=True)
    parser.add_argument("--runtime-dir", type=Path, required=True)
    found = parser.parse_args(arguments)
    try:
        descriptors = tuple(int(number) for number in found.listen_fd.split(","))
    except ValueError:
        parser.error(f"--listen-fd {found.listen_fd!r} is not a list of numbers")
    return Options(found.slot, descriptors, found.segment_fd, found.runtime_dir)


async def serve(options: Options) -> None:
    """Until SIGTERM or SIGINT, and the drain that follows."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = Worker(
        loop, Segment.open(options.segment_descriptor), options.slot, options.runtime_directory, EdgeConfig()
    )
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
