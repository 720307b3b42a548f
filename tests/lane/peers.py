"""A client and an upstream that we program, on real sockets and port 0."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.lane.application import build_application
from proxy.lane.config import LaneConfig
from proxy.lane.connection import Hooks
from proxy.lane.server import LaneRunner

BOUND_SECONDS = 5.0
Script = Callable[["UpstreamConnection"], Awaitable[None]]


@dataclass
class Head:
    start: str
    fields: list[tuple[str, str]]
    raw: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    @property
    def status(self) -> int:
        return int(self.start.split()[1])


async def read_head(reader: asyncio.StreamReader) -> Head:
    async with asyncio.timeout(BOUND_SECONDS):
        raw = await reader.readuntil(b"\r\n\r\n")
    lines = raw[:-4].decode("latin-1").split("\r\n")
    return Head(
        lines[0],
        [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])],
        raw,
    )


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    async with asyncio.timeout(BOUND_SECONDS):
        while size := int((await reader.readline()).strip(), 16):
            body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
    return body


async def read_body(reader: asyncio.StreamReader, head: Head) -> bytes:
    async with asyncio.timeout(BOUND_SECONDS):
        if head.get("transfer-encoding"):
            return await read_chunked(reader)
        length = head.get("content-length")
        return await (reader.read() if length is None else reader.readexactly(int(length)))


@dataclass
class UpstreamConnection:
    """One accepted connection, as a script sees it."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upstream: "Upstream"
    request_count: int = 0

    async def head(self) -> Head:
        head = await read_head(self.reader)
        self.request_count += 1
        self.upstream.heads.append(head)
        return head

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Returns when the other side is gone, by FIN or by reset."""
        async with asyncio.timeout(BOUND_SECONDS):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass


@dataclass
class Upstream:
    port: int = 0
    heads: list[Head] = field(default_factory=list)
    connections: list[UpstreamConnection] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def upstream_running(script: Script) -> AsyncIterator[Upstream]:
    """Each connection runs the script; a failure inside it fails the test."""
    upstream = Upstream()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(connection: UpstreamConnection) -> None:
        try:
            await script(connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001  # reported when the test ends
            upstream.errors.append(error)
        finally:
            connection.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = UpstreamConnection(len(upstream.connections), reader, writer, upstream)
        upstream.connections.append(connection)
        task = asyncio.ensure_future(serve(connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not upstream.errors, upstream.errors


@asynccontextmanager
async def lane_running(
    config: LaneConfig,
    middlewares: tuple[Middleware, ...] = (),
    may_enter: Callable[[str], bool] | None = None,
    *,
    send_buffer_bytes: int = 0,
) -> AsyncIterator[int]:
    """The lane on an ephemeral port. `send_buffer_bytes`: of its connections, so that little fills them."""
    runner = LaneRunner(build_application(config, middlewares), config, Hooks(may_enter=may_enter))
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        if send_buffer_bytes:
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        try:
            await web.SockSite(runner, endpoint).start()
            yield endpoint.getsockname()[1]
        finally:
            await runner.cleanup()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[Head, bytes]:
        head = await read_head(self.reader)
        return head, await read_body(self.reader, head)

    async def ask(self, data: bytes) -> tuple[Head, bytes]:
        await self.send(data)
        return await self.answer()

    async def is_closed(self) -> bool:
        """True when the other side closes without sending anything more."""
        async with asyncio.timeout(BOUND_SECONDS):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def client_to(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def get(target: str = "/", *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: a.test", *lines, "", ""]).encode("latin-1")


async def answer_always(connection: UpstreamConnection) -> None:
    """Echo the request's body (or its start line) with a length, for ever."""
    while True:
        head = await connection.head()
        framed = head.get("content-length") or head.get("transfer-encoding")
        body = await read_body(connection.reader, head) if framed else head.start.encode("latin-1")
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
