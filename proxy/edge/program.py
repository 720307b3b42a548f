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
from proxy.edge.listener import Endpoint
from proxy.edge.worker import raise_descriptor_limit, settle_memory


@dataclass(frozen=True, slots=True)
class Options:
    """`listen_descriptors`: with the listener's name, empty for the one of `[edge] listen`."""

    slot: int
    listen_descriptors: tuple[tuple[str, int], ...]
    segment_descriptor: int
    runtime_directory: Path


class Serving(Protocol):
    """A worker: of the edge, or of the aiohttp engine."""

    async def start(self, group: asyncio.TaskGroup, endpoints: Sequence[Endpoint], /) -> None: ...
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
        descriptors = tuple(_named_descriptor(item) for item in found.listen_fd.split(",") if item)
    except ValueError:
        parser.error(f"--listen-fd {found.listen_fd!r} is not a list of numbers, or of name=number")
    return Options(found.slot, descriptors, found.segment_fd, found.runtime_dir)


def _named_descriptor(item: str) -> tuple[str, int]:
    name, _, number = item.rpartition("=")
    return name, int(number)


async def serve(options: Options, make_worker: MakeWorker) -> None:
    """Until SIGTERM or SIGINT, and the drain that follows."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = make_worker(Segment.open(options.segment_descriptor), options)
    endpoints = [Endpoint(name, socket.socket(fileno=number)) for name, number in options.listen_descriptors]
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
