"""`python -m proxy.lane` in the place of an edge worker: same arguments, same frames, same signals."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastmatch import Builder, Entry, pack_entries
from fastmatch._native import Segment
from proxy import frames
from proxy.edge.config import EdgeConfig
from tests.lane.peers import UpstreamConnection, answer_always, client_to, get, upstream_running

BOUND_SECONDS = 20.0
TRUSTED = ("127.0.0.0/8",)
DENIED = "X-Forwarded-For: 203.0.113.7"


def write_list(folder: Path) -> Path:
    builder = Builder()
    builder.add(Entry("203.0.113.7", score=9.0, sources=("feed",)))
    decision = folder / "decision.bin"
    builder.write(str(decision), str(folder / "evidence.bin"), epoch=1, sequence=1)
    return decision


def attach_frames(config: EdgeConfig, decision: Path | None) -> bytes:
    content = frames.encode(frames.Kind.CONFIGURE, config.to_wire())
    if decision is not None:
        content += frames.encode_install(1, 1, str(decision)) + frames.encode_overlay(1, 1, pack_entries([]))
    return content


@asynccontextmanager
async def worker_running(
    folder: Path, segment: Segment
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """A worker process on a socket of ours, ready."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        descriptors = (listener.fileno(), segment.fileno())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy.lane", "--slot", "0", "--listen-fd", str(descriptors[0])),
            *("--segment-fd", str(descriptors[1]), "--runtime-dir", str(folder)),
            pass_fds=descriptors,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(BOUND_SECONDS):
                assert await process.stdout.readline() == b"ready slot=0\n"
            yield listener.getsockname()[1], process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


class Control:
    """The other end of the control socket."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "control.sock"
        self._frames: asyncio.Queue[frames.Frame] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "Control":
        self._server = await asyncio.start_unix_server(self._attached, str(self._path))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
        self._server.close()

    async def _attached(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        incoming = frames.FrameReader()
        while data := await reader.read(65536):
            for frame in incoming.feed(data):
                self._frames.put_nowait(frame)

    async def until(self, kind: frames.Kind) -> bytes:
        async with asyncio.timeout(BOUND_SECONDS):
            while (frame := await self._frames.get()).kind is not kind:
                pass
        return frame.payload

    def send(self, frame: bytes) -> None:
        assert self._writer is not None
        self._writer.write(frame)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Unix socket paths are short; pytest's folders may not be."""
    assert len(str(tmp_path / "control.sock")) < 100
    return tmp_path


async def test_it_serves_and_denies_from_the_files_it_starts_with(folder: Path):
    """Control may be down: the last list and configuration are on disk."""
    segment = Segment.create(1)
    async with upstream_running(answer_always) as upstream:
        config = EdgeConfig(upstream_port=upstream.port, trusted_proxies=TRUSTED)
        (folder / "attach.frames").write_bytes(attach_frames(config, write_list(folder)))
        async with worker_running(folder, segment) as (port, process), client_to(port) as client:
            assert (await client.ask(get("/")))[0].status == 200
            head, _ = await client.ask(get("/", DENIED))
            assert head.status == 403
            counters = segment.counters()
            assert (counters["requests"], counters["denied"], counters["connections_open"]) == (2, 1, 1)
            assert counters["bytes_sent"] > 0
            client.writer.close()
            process.terminate()
            assert await asyncio.wait_for(process.wait(), BOUND_SECONDS) == 0


async def test_frames_of_a_running_control_process_take_effect(folder: Path):
    """A block enforced, acknowledged, reported; a configuration swapped."""
    async with (
        upstream_running(answer_always) as upstream,
        Control(folder) as control,
        worker_running(folder, Segment.create(1)) as (port, _),
        client_to(port) as client,
    ):
        assert frames.decode_hello(await control.until(frames.Kind.HELLO))[0] == 0
        config = EdgeConfig(upstream_port=upstream.port, trusted_proxies=TRUSTED)
        control.send(attach_frames(config, write_list(folder)))
        assert frames.decode_acknowledge(await control.until(frames.Kind.ACKNOWLEDGE)) == (1, 1)
        assert (await client.ask(get("/")))[0].status == 200
        packed = pack_entries((Entry("198.51.100.9", score=10, origin="operator", sources=("me",)),))
        control.send(frames.encode_overlay(1, 2, packed))
        assert frames.decode_acknowledge(await control.until(frames.Kind.ACKNOWLEDGE)) == (1, 2)
        head, _ = await client.ask(get("/", "X-Forwarded-For: 198.51.100.9"))
        assert head.status == 403
        assert b'"198.51.100.9"' in await control.until(frames.Kind.EVENTS)


async def test_a_new_block_resets_the_streams_of_its_client(folder: Path):
    """An open stream must not outlive the block (`on_block = close`)."""
    arrived = asyncio.Event()

    async def stream(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        arrived.set()
        await connection.until_closed()

    async with (
        upstream_running(stream) as upstream,
        Control(folder) as control,
        worker_running(folder, Segment.create(1)) as (port, _),
        client_to(port) as client,
    ):
        await control.until(frames.Kind.HELLO)
        config = EdgeConfig(upstream_port=upstream.port, trusted_proxies=TRUSTED)
        control.send(attach_frames(config, write_list(folder)))
        await control.until(frames.Kind.ACKNOWLEDGE)
        await client.send(get("/", "X-Forwarded-For: 198.51.100.9"))
        await asyncio.wait_for(arrived.wait(), BOUND_SECONDS)
        packed = pack_entries((Entry("198.51.100.9", score=10, origin="operator", sources=("me",)),))
        control.send(frames.encode_overlay(1, 2, packed))
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(BOUND_SECONDS):
                await client.reader.read()
