"""A programmable upstream: each connection is handed to the behaviour that the test sets."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

from tests.support.peer import Message, Peer


def answer(body: bytes = b"hello", *fields: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class OriginConnection(Peer):
    """The upstream's end of one connection; what it reads is also kept in `Origin.requests`."""

    def __init__(self, endpoint: socket.socket, origin: "Origin") -> None:
        super().__init__(endpoint)
        self._origin = origin
        self.is_closed = False

    async def read_request(self) -> Message:
        head = await self.read_head()
        message = Message(head, await self.read_body(head))
        self._origin.requests.append(message)
        return message


Behaviour = Callable[[OriginConnection], Awaitable[None]]


async def answer_all(connection: OriginConnection) -> None:
    """200 `hello` to every request, until the peer closes."""
    while True:
        await connection.read_request()
        await connection.send(answer())


class Origin:
    """`requests`: what arrived whole. `connections`: all that were ever accepted, in order."""

    def __init__(self) -> None:
        self.behave: Behaviour = answer_all
        self.requests: list[Message] = []
        self.connections: list[OriginConnection] = []
        self.failures: list[BaseException] = []
        self._listener = socket.socket()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    async def start(self, host: str = "127.0.0.1", port: int = 0, path: str | None = None) -> None:
        """On an address of 127.0.0.0/8 and a free port unless told, or on a unix socket."""
        if path is not None:
            self._listener.close()
            self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        self._listener.bind((host, port) if path is None else path)
        self._listener.listen(128)
        self._acceptor = self._spawn(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            endpoint, _ = await loop.sock_accept(self._listener)
            connection = OriginConnection(endpoint, self)
            self.connections.append(connection)
            self._spawn(self._serve(connection))

    async def _serve(self, connection: OriginConnection) -> None:
        try:
            await self.behave(connection)
        except (EOFError, ConnectionError, TimeoutError):
            pass  # the edge closed it: what the test wants to know of that, it asserts
        except Exception as error:  # noqa: BLE001 - reported when the origin closes
            self.failures.append(error)
        finally:
            connection.close()
            connection.is_closed = True

    def _spawn(self, coroutine) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop_listening(self) -> None:
        """From here on connections are refused."""
        port = self.port
        self._acceptor.cancel()
        await asyncio.wait([self._acceptor])
        self._listener.close()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._listener.close()
        for connection in self.connections:
            connection.close()
        assert not self.failures
