"""A connection from the pool must carry nothing that belongs to somebody else."""

import asyncio

import pytest
from aiohttp import ClientSession, TCPConnector

from proxy.lane.connector import GuardedConnector, UpstreamProtocol
from tests.lane.peers import BOUND_SECONDS, UpstreamConnection, upstream_running

STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
HONEST = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhonest"


class PushingUpstream:
    """Answers honestly, and pushes `stray` on the first connection once `push` is set."""

    def __init__(self, stray: bytes, behind: bytes = b"") -> None:
        self.stray = stray
        self.behind = behind
        self.push = asyncio.Event()
        self.pushed = asyncio.Event()

    async def __call__(self, connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(HONEST + (self.behind if connection.number == 0 else b""))
        if connection.number == 0 and self.stray:
            await self.push.wait()
            await connection.send(self.stray)
            self.pushed.set()
        while True:
            await connection.head()
            await connection.send(HONEST)


async def ask_twice(connector: TCPConnector, upstream: PushingUpstream, port: int) -> bytes:
    """The answer to the second request, made after the stray bytes have arrived."""
    async with ClientSession(connector=connector) as session:
        async with session.get(f"http://127.0.0.1:{port}/first") as answer:
            assert await answer.read() == b"honest"
        if upstream.stray:
            upstream.push.set()
            await asyncio.wait_for(upstream.pushed.wait(), BOUND_SECONDS)
            # The loop must have read the pushed bytes: that is when stock aiohttp queues them.
            for _ in range(3):
                await asyncio.sleep(0.01)
        async with session.get(f"http://127.0.0.1:{port}/second") as answer:
            return await answer.read()


async def test_stock_connector_hands_a_stray_answer_to_the_next_request():
    """The fault itself: when this fails, aiohttp has closed it and the guard may go."""
    upstream = PushingUpstream(STRAY)
    async with upstream_running(upstream) as running:
        assert await ask_twice(TCPConnector(), upstream, running.port) == b"stolen"


@pytest.mark.parametrize(
    "stray",
    [STRAY, STRAY[:1], STRAY[:20], b"\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"],
    ids=["whole answer", "first byte", "half a head", "empty line", "interim answer"],
)
async def test_any_byte_on_an_idle_connection_ends_it(stray: bytes):
    """Not only whole answers: half of one now and half of it later is the same attack."""
    upstream = PushingUpstream(stray)
    async with upstream_running(upstream) as running:
        assert await ask_twice(GuardedConnector(), upstream, running.port) == b"honest"
        assert len(running.connections) == 2


@pytest.mark.parametrize(
    "behind", [STRAY, STRAY[:1], STRAY[:30]], ids=["whole answer", "first byte", "half a head"]
)
async def test_bytes_behind_a_complete_answer_keep_its_connection_out_of_use(behind: bytes):
    """They come in the same segment, so the parser has swallowed them before the connection is idle."""
    upstream = PushingUpstream(b"", behind)
    async with upstream_running(upstream) as running:
        assert await ask_twice(GuardedConnector(), upstream, running.port) == b"honest"
        assert len(running.connections) == 2


class GatedUpstream:
    """Holds its first two answers back until both requests are there, so that both need a connection."""

    def __init__(self) -> None:
        self.gate = asyncio.Barrier(2)

    async def __call__(self, connection: UpstreamConnection) -> None:
        await connection.head()
        await self.gate.wait()
        await connection.send(HONEST)
        while True:
            await connection.head()
            await connection.send(HONEST)


async def ask(session: ClientSession, port: int) -> None:
    async with session.get(f"http://127.0.0.1:{port}/") as answer:
        assert await answer.read() == b"honest"


async def test_clean_connections_are_reused_the_last_one_first():
    """The guard must not cost the pool, and LIFO keeps the warm ones."""
    async with upstream_running(GatedUpstream()) as running:
        async with ClientSession(connector=GuardedConnector()) as session:
            await asyncio.gather(ask(session, running.port), ask(session, running.port))
            for _ in range(3):
                await ask(session, running.port)
        assert len(running.connections) == 2
        counts = sorted(connection.request_count for connection in running.connections)
        assert counts == [1, 4]


async def test_a_connection_with_unread_bytes_in_the_kernel_is_not_taken():
    """Bytes may have arrived that the loop has not read yet; nothing but the kernel knows of them."""
    upstream = PushingUpstream(STRAY)
    async with upstream_running(upstream) as running:
        connector = GuardedConnector()
        async with ClientSession(connector=connector) as session:
            url = f"http://127.0.0.1:{running.port}/"
            async with session.get(url) as answer:
                assert await answer.read() == b"honest"
            ((protocol, _),) = next(iter(connector._conns.values()))
            assert isinstance(protocol, UpstreamProtocol)
            assert protocol.transport is not None
            protocol.transport.pause_reading()
            upstream.push.set()
            await asyncio.wait_for(upstream.pushed.wait(), BOUND_SECONDS)
            assert protocol.has_unread_bytes()
            async with session.get(url) as answer:
                assert await answer.read() == b"honest"


async def test_the_pool_keeps_no_more_idle_connections_than_configured():
    """A burst must not pin its connections for ever."""
    async with upstream_running(GatedUpstream()) as running:
        connector = GuardedConnector(idle_count=1)
        async with ClientSession(connector=connector) as session:
            await asyncio.gather(ask(session, running.port), ask(session, running.port))
            assert len(running.connections) == 2
            assert sum(len(waiting) for waiting in connector._conns.values()) == 1
