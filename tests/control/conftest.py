"""A control process inside the test's own loop, with real sockets, store and lists, and peers of it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from fastmatch._native import Blocklist, Segment
from proxy import frames
from proxy.control import process
from proxy.control.context import Control
from proxy.frames import FrameReader, Kind

BOUND_SECONDS = 5.0


async def until(condition: Callable[[], object], what: str) -> None:
    """Give the loop turns until the condition holds; the bound only ends a test that would fail anyway."""
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            while not condition():  # noqa: ASYNC110 what is waited for sets no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


class WorkerPeer:
    """A worker's end of the socket, with the real list behind it, that acknowledges as it is told to."""

    def __init__(self, slot: int = 0, process_id: int = 4711) -> None:
        self.slot = slot
        self.process_id = process_id
        self.acknowledges = True
        self.kinds: list[Kind] = []
        self.configuration = b""
        self.health: dict[str, dict[str, bool]] = {}
        self.base: Blocklist | None = None
        self.blocklist: Blocklist | None = None
        self.version = (0, 0)
        self.is_closed = False
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    async def attach(self, runtime_directory: Path) -> "WorkerPeer":
        reader, self._writer = await asyncio.open_unix_connection(str(runtime_directory / "control.sock"))
        self.send(frames.encode_hello(self.slot, self.process_id))
        self._task = asyncio.ensure_future(self._read(reader))
        return self

    def send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._task is not None:
            await self._task

    def blocks(self, address: str) -> bool:
        verdict = self.blocklist.lookup(address) if self.blocklist is not None else None
        return verdict is not None and verdict.disposition == "block"

    async def _read(self, reader: asyncio.StreamReader) -> None:
        incoming = FrameReader()
        try:
            while data := await reader.read(65536):
                for frame in incoming.feed(data):
                    self._apply(frame)
        except ConnectionError:
            pass
        finally:
            self.is_closed = True

    def _apply(self, frame: frames.Frame) -> None:
        self.kinds.append(frame.kind)
        if frame.kind is Kind.CONFIGURE:
            self.configuration = frame.payload
            return
        if frame.kind is Kind.HEALTH:
            self.health = orjson.loads(frame.payload)
            return
        if frame.kind is Kind.INSTALL:
            epoch, sequence, path = frames.decode_install(frame.payload)
            self.base = self.blocklist = Blocklist.open(path)
        else:
            epoch, sequence, packed = frames.decode_overlay(frame.payload)
            assert self.base is not None
            self.blocklist = self.base.with_overlay(packed, sequence=sequence)
        self.version = (epoch, sequence)
        if self.acknowledges:
            self.send(frames.encode_acknowledge(epoch, sequence))


class Pod:
    """A folder with a configuration and list files, and the control process that works there."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.config_path = folder / "sentra.toml"
        self.runtime_directory = folder / "run"
        self.segment = Segment.create(2)
        self.control: Control
        self._stack = stack
        self._running: AsyncExitStack | None = None
        self._session: aiohttp.ClientSession | None = None

    def configure(
        self, text: str = "", *, control: str = 'auth = "none"', lists: tuple[str, ...] = ("bad",)
    ) -> None:
        named = "".join(f'[[lists]]\npath = "{name}.txt"\nsource = "{name}"\n' for name in lists)
        listen = 'admin_listen = "127.0.0.1:0"\nops_listen = "127.0.0.1:0"'
        self.config_path.write_text(
            f"{text}\n{named}\n[control]\n{listen}\n{control}\n"
            f'[state]\ndirectory = "var"\nruntime_directory = "{self.runtime_directory}"\n'
        )

    def write(self, content: str, name: str = "bad") -> None:
        """As a careful feed does: aside, then in place."""
        aside = self.folder / "aside"
        aside.write_text(content)
        aside.rename(self.folder / f"{name}.txt")

    @property
    def options(self) -> process.ControlOptions:
        return process.ControlOptions(self.config_path, self.segment.fileno(), self.runtime_directory)

    async def start(self) -> Control:
        if not self.config_path.exists():
            self.configure()
        running = process.load_running(self.config_path, os.environ)
        self._running = await self._stack.enter_async_context(AsyncExitStack())
        self.control = await self._running.enter_async_context(
            process.started(running, self.options, self.segment)
        )
        return self.control

    async def stop(self) -> None:
        assert self._running is not None
        await self._running.aclose()

    async def restart(self) -> Control:
        await self.stop()
        return await self.start()

    async def worker(self, slot: int = 0, **values: Any) -> WorkerPeer:
        peer = WorkerPeer(slot, **values)
        self._stack.push_async_callback(peer.close)
        await peer.attach(self.runtime_directory)
        return peer

    async def current_worker(self, slot: int = 0) -> WorkerPeer:
        """Attached, and at the newest version."""
        peer = await self.worker(slot)
        epoch, sequence = self.control.state.version
        wanted = {
            "slot": slot,
            "process_id": peer.process_id,
            "version": {"epoch": epoch, "sequence": sequence},
        }
        await until(lambda: wanted in self.control.links.workers(), "the worker is current")
        return peer

    async def call(
        self, method: str, path: str, body: object = None, *, port: str = "admin", **options: Any
    ) -> tuple[int, Any]:
        """(status, JSON) of one request; the response stays in `response`."""
        if self._session is None:
            self._session = await self._stack.enter_async_context(aiohttp.ClientSession())
        if body is not None:
            options["json"] = body
        async with self._session.request(method, f"http://{self.address(port)}{path}", **options) as response:
            self.response = response
            content = await response.read()
        is_json = response.content_type == "application/json"
        return response.status, (orjson.loads(content) if is_json else content.decode())

    def address(self, port: str) -> str:
        found: dict[str, str] = orjson.loads((self.runtime_directory / "control.json").read_bytes())
        return found[port]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """The variables of whoever runs the tests must not decide them."""
    for name in list(os.environ):
        if name.startswith("SENTRA_") or name in ("TYK_GATEWAY_URL", "LOG_LEVEL"):
            monkeypatch.delenv(name)


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    """One list with one network; not started yet."""
    async with AsyncExitStack() as stack:
        made = Pod(tmp_path, stack)
        made.write("198.51.100.0/24\n")
        yield made


@pytest.fixture
async def running_pod(pod: Pod) -> Pod:
    await pod.start()
    return pod
