"""A worker as the supervisor starts it: `python -m proxy.edge` with inherited descriptors."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastmatch._native import Builder, Entry, Segment, pack_entries
from proxy import frames
from proxy.edge.config import EdgeConfig
from proxy.frames import Kind

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """`pid` is the worker's, also when `process` is a command that runs it."""

    process: asyncio.subprocess.Process
    pid: int
    segment: Segment
    port: int


def leave_attach_file(directory: Path, config: EdgeConfig, entries: Sequence[Entry] = ()) -> None:
    """What the control process leaves for a starting worker."""
    builder = Builder()
    for entry in entries:
        builder.add(entry)
    path = directory / "decision.bin"
    builder.write(str(path), str(directory / "evidence.bin"), epoch=1, sequence=1)
    (directory / "attach.frames").write_bytes(
        frames.encode(Kind.CONFIGURE, config.to_wire())
        + frames.encode_install(1, 1, str(path))
        + frames.encode_overlay(1, 1, pack_entries([]))
    )


@contextlib.asynccontextmanager
async def running_worker(
    directory: Path, *prefix: str, segment: Segment | None = None, slot: int = 0, listener: str = ""
) -> AsyncIterator[WorkerProcess]:
    """`prefix`: a command that runs the worker. Killed at the end when it still runs. `listener`: whose the
    socket is, `[edge] listen`'s without a name."""
    segment = segment or Segment.create(1)
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        listen = f"{listener}={endpoint.fileno()}" if listener else str(endpoint.fileno())
        process = await asyncio.create_subprocess_exec(
            *prefix,
            *(sys.executable, "-m", "proxy.edge", "--slot", str(slot), "--listen-fd", listen),
            *("--segment-fd", str(segment.fileno()), "--runtime-dir", str(directory)),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(endpoint.fileno(), segment.fileno()),
        )
        assert process.stdout is not None
        pid = process.pid
        try:
            async with asyncio.timeout(20):
                assert await process.stdout.readline() == b"ready slot=%d\n" % slot
            port = endpoint.getsockname()[1]
            endpoint.close()  # from here on it listens as long as the worker does
            if prefix:
                pid = only_child(process.pid)
            yield WorkerProcess(process, pid, segment, port)
        finally:
            if process.returncode is None:
                os.kill(pid, signal.SIGKILL)
            await process.wait()


def only_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
