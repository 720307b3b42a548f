"""Keep-alive clients on raw sockets: every answer is looked at, every fault is kept."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_ANSWER_SECONDS = 20.0


class Client:
    """One connection at a time; `get` returns (status, body) of an answer with a stated length.

    An answer that says `Connection: close` is the last on its connection: the next request opens another one.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_over = False
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def local_port(self) -> int:
        assert self._writer is not None
        port: int = self._writer.get_extra_info("sockname")[1]
        return port

    async def __aenter__(self) -> "Client":
        await self._connect()
        return self

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._is_over = False

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def forget(self) -> None:
        """The next request opens a connection."""
        self._is_over = True

    async def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    async def get(
        self, path: str = "/", client: str | None = None, host: str = "edge.example"
    ) -> tuple[int, bytes]:
        if self._is_over:
            await self._close()
            await self._connect()
        assert self._reader is not None
        assert self._writer is not None
        forwarded = f"X-Forwarded-For: {client}\r\n" if client else ""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{forwarded}\r\n".encode())
        async with asyncio.timeout(_ANSWER_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
            self._is_over = b"\r\nconnection: close\r\n" in head.lower()
            length = _LENGTH.search(head)
            assert length is not None, head
            return int(head[9:12]), await self._reader.readexactly(int(length[1]))


@dataclass
class Load:
    """`clients` connections that ask again as soon as they are answered. A fault ends its connection."""

    port: int
    clients: int = 16
    path: str = "/bytes/100"
    # Each request on a connection of its own.
    is_fresh: bool = False
    # Between two requests of a client: a start needs the processor as well.
    pause_seconds: float = 0.0
    answered: int = 0
    faults: list[str] = field(default_factory=list)
    connections: list[Client] = field(default_factory=list)
    _stopping: bool = False
    _target: int = 0
    _reached: asyncio.Event = field(default_factory=asyncio.Event)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> "Load":
        opened = [self._stack.enter_async_context(Client(self.port)) for _ in range(self.clients)]
        self.connections = [await client for client in opened]
        self._tasks = [asyncio.create_task(self._ask(client)) for client in self.connections]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)
        await self._stack.aclose()

    async def progress(self, count: int = 200) -> None:
        """Return when so many further requests were answered."""
        self._target = self.answered + count
        self._reached.clear()
        async with asyncio.timeout(_ANSWER_SECONDS):
            await self._reached.wait()

    async def _ask(self, client: Client) -> None:
        while not self._stopping:
            if self.is_fresh:
                client.forget()
            try:
                status, body = await client.get(self.path)
            except (OSError, EOFError, TimeoutError) as error:
                self.faults.append(f"{client.local_port}: {error!r}")
                return
            if status != 200 or len(body) != 100:
                self.faults.append(f"{client.local_port}: status {status}, {len(body)} bytes")
                return
            await asyncio.sleep(self.pause_seconds)
            self.answered += 1
            if self.answered >= self._target:
                self._reached.set()


def owner_of(client: Client, edge_port: int, workers: dict[int, int]) -> int:
    """The slot whose worker holds the other end of the connection, by the kernel's own tables."""
    local = f":{edge_port:04X}"
    remote = f"0100007F:{client.local_port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(local) and fields[2] == remote:
            name = f"socket:[{fields[9]}]"
            for slot, process_id in workers.items():
                for link in Path(f"/proc/{process_id}/fd").iterdir():
                    with suppress(OSError):
                        if str(link.readlink()) == name:
                            return slot
    raise AssertionError(f"no worker holds the connection from port {client.local_port}")


@asynccontextmanager
async def client_of_each_slot(edge_port: int, workers: dict[int, int]) -> AsyncIterator[dict[int, Client]]:
    """One open connection to every worker, by slot."""
    found: dict[int, Client] = {}
    async with AsyncExitStack() as stack:
        for _ in range(200):
            client = await stack.enter_async_context(Client(edge_port))
            assert (await client.get())[0] == 200
            found.setdefault(owner_of(client, edge_port, workers), client)
            if len(found) == len(workers):
                yield found
                return
        raise AssertionError(f"after 200 connections only {sorted(found)} of {sorted(workers)} were reached")
