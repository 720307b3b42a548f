"""What every worker process does around its worker: arguments, signals, ready line, drain."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import uvloop

from fastmatch._native import Segment
from proxy.edge.worker import raise_descriptor_limit, settle_memory


@dataclass(frozen=True, slots=True)
class Options:
    slot: int
    listen_descriptors: tuple[int, ...]
    segment_descriptor: int
    runtime_directory: Path


class Serving(Protocol):
    """A worker: of the edge, or of the aiohttp engine."""

    async def start(self, group: asyncio.TaskGroup, endpoints: Sequence[socket.socket], /) -> None: ...
    async def drain(self) -> None: ...


# Called on the running loop.
MakeWorker = Callable[[Segment, Options], Serving]


def parse_options(program: str, description: str | None, arguments: Sequence[str]) -> Options:
    """Exits with 2 and a line on standard error when the arguments are wrong."""
    parser = argparse.ArgumentParser(prog=program, description=description)
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


async def serve(options: Options, make_worker: MakeWorker) -> None:
    """Until SIGTERM or SIGINT, and the drain that follows."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = make_worker(Segment.open(options.segment_descriptor), options)
    endpoints = [socket.socket(fileno=number) for number in options.listen_descriptors]
    async with asyncio.TaskGroup() as group:
        await worker.start(group, endpoints)
        settle_memory()
        sys.stdout.write(f"ready slot={options.slot}\n")
        sys.stdout.flush()
        await stop.wait()
        await worker.drain()


def run(program: str, description: str | None, make_worker: MakeWorker) -> None:
    options = parse_options(program, description, sys.argv[1:])
    raise_descriptor_limit()
    uvloop.run(serve(options, make_worker))
