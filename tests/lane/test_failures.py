"""What each failure of either side looks like to the other."""

import asyncio
import gc
from typing import Any, cast

import pytest
from aiohttp import client_exceptions

from proxy.lane import errors
from proxy.lane.config import LaneConfig
from tests.lane.peers import (
    BOUND_SECONDS,
    Client,
    UpstreamConnection,
    answer_always,
    client_to,
    get,
    lane_running,
    read_head,
    upstream_running,
)


def impatient(port: int, **changes: Any) -> LaneConfig:
    """Deadlines short enough to wait for."""
    quick: dict[str, Any] = dict.fromkeys(
        (
            "upstream_connect_seconds",
            "upstream_head_seconds",
            "upstream_read_idle_seconds",
            "upstream_write_idle_seconds",
            "head_seconds",
            "body_idle_seconds",
            "send_idle_seconds",
            "linger_seconds",
        ),
        0.2,
    )
    return LaneConfig(upstream_port=port, **(quick | {"drain_seconds": 1.0} | changes))


async def never(connection: UpstreamConnection) -> None:
    await connection.head()
    await connection.until_closed()


async def test_a_refused_connection_is_502():
    """Nothing listens."""
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with lane_running(impatient(port)) as lane, client_to(lane) as client:
        head, _ = await client.ask(get("/"))
        assert head.status == 502
        head, _ = await client.ask(get("/"))
        assert head.status == 502


async def test_an_upstream_without_an_answer_is_504_and_gets_closed():
    """The head deadline runs from the complete request."""
    closed = asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        await never(connection)
        closed.set()

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        head, _ = await client.ask(get("/"))
        assert head.status == 504
        await asyncio.wait_for(closed.wait(), BOUND_SECONDS)


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nHalf: a head",
        b"",
    ],
)
async def test_a_malformed_answer_is_502(answer: bytes):
    """Never passed on half understood (facts 2.3, P1)."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(answer)

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        head, _ = await client.ask(get("/", method="POST"))
        assert head.status == 502
        assert len(upstream.connections) == 1


async def test_a_folded_field_is_unfolded():
    """RFC 9112 section 5.2 leaves the choice; a line break must not reach the client."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n")

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        head, _ = await client.ask(get("/"))
        assert head.get("a") == "b c"


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "1.1"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "1.1"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "1.0"),
    ],
    ids=["length", "chunked", "chunked to 1.0"],
)
async def test_a_cut_answer_is_a_reset_for_the_client(answer: bytes, version: str):
    """Never a final chunk; for a close-delimited answer only a reset tells (facts 2.3, P4)."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(answer)

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        await client.send(f"GET / HTTP/{version}\r\nHost: a.test\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(BOUND_SECONDS):
                await client.reader.read()


async def test_a_stalled_answer_body_is_cut():
    """The read deadline between two pieces of an answer."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await connection.until_closed()

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        await client.send(get("/"))
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(BOUND_SECONDS):
                await client.reader.read()


async def test_a_client_that_leaves_cancels_the_upstream():
    """Otherwise abandoned requests keep the upstream busy."""
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        arrived.set()
        await connection.until_closed()
        closed.set()

    async with (
        upstream_running(script) as upstream,
        lane_running(LaneConfig(upstream_port=upstream.port)) as lane,
    ):
        async with client_to(lane) as client:
            await client.send(get("/"))
            await asyncio.wait_for(arrived.wait(), BOUND_SECONDS)
        await asyncio.wait_for(closed.wait(), BOUND_SECONDS)


async def test_a_client_that_leaves_in_mid_upload_cancels_the_upstream():
    """The upload task must not outlive its request."""
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        arrived.set()
        await connection.until_closed()
        closed.set()

    async with (
        upstream_running(script) as upstream,
        lane_running(LaneConfig(upstream_port=upstream.port)) as lane,
    ):
        async with client_to(lane) as client:
            await client.send(get("/", "Content-Length: 10", method="POST") + b"half")
            await asyncio.wait_for(arrived.wait(), BOUND_SECONDS)
        await asyncio.wait_for(closed.wait(), BOUND_SECONDS)
    assert not [task for task in asyncio.all_tasks() if "Forwarder._upload" in repr(task.get_coro())]


async def closes_after_first(connection: UpstreamConnection) -> None:
    """Keep-alive by its word, closed by its deed: what the other side of a keep-alive race looks like."""
    await connection.head()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    if connection.number == 0:
        await connection.head()


@pytest.mark.parametrize(("method", "status", "connections"), [("GET", 200, 2), ("POST", 502, 1)])
async def test_only_an_idempotent_request_is_retried_on_a_stale_connection(
    method: str, status: int, connections: int
):
    """RFC 9110 section 9.2.2; and once only, on a fresh connection."""
    async with (
        upstream_running(closes_after_first) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        assert (await client.ask(get("/")))[0].status == 200
        head, _ = await client.ask(get("/again", method=method))
        assert head.status == status
        assert len(upstream.connections) == connections


async def test_a_fresh_connection_is_never_retried():
    """aiohttp would try idempotent requests twice by itself."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        assert (await client.ask(get("/")))[0].status == 502
        assert len(upstream.connections) == 1


async def test_half_a_head_is_answered_408():
    """aiohttp waits for the rest for ever."""
    async with lane_running(impatient(1)) as lane, client_to(lane) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a")
        assert (await client.answer())[0].status == 408
        assert await client.is_closed()


async def test_a_second_head_has_a_deadline_too():
    """On a kept connection the attack is the same."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        await client.ask(get("/"))
        await client.send(b"G")
        assert (await read_head(client.reader)).status == 408


async def test_an_idle_connection_is_closed_without_a_word():
    """Keep-alive of seconds, not of aiohttp's hour."""
    async with upstream_running(answer_always) as upstream:
        config = impatient(upstream.port, keepalive_seconds=0.2)
        async with lane_running(config) as lane, client_to(lane) as client:
            await client.ask(get("/"))
            assert await client.is_closed()


async def test_a_stalled_upload_is_answered_408():
    """Slow POST: the deadline is between two pieces."""
    async with (
        upstream_running(never) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        await client.send(get("/", "Content-Length: 10", method="POST") + b"half")
        assert (await client.answer())[0].status == 408
        assert await client.is_closed()


@pytest.mark.parametrize("bad", [b"zz\r\n", b"-1\r\n", b"5\r\nhelloX\r\n", b"0x5\r\nhello\r\n"])
async def test_broken_chunks_are_answered_400_and_never_completed(bad: bytes):
    """The upstream must not take the half for the whole."""
    arrived, seen = asyncio.Event(), asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        arrived.set()
        assert b"0\r\n\r\n" not in await connection.reader.read()
        seen.set()

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        await client.send(get("/", "Transfer-Encoding: chunked", method="POST") + b"2\r\nok\r\n")
        await asyncio.wait_for(arrived.wait(), BOUND_SECONDS)
        await client.send(bad)
        assert (await client.answer())[0].status == 400
        assert await client.is_closed()
        await asyncio.wait_for(seen.wait(), BOUND_SECONDS)


@pytest.mark.parametrize("framing", ["Content-Length: 20", "Transfer-Encoding: chunked"])
async def test_a_body_above_the_limit_is_413(framing: str):
    """Known at once with a length, while it runs with chunks."""
    async with (
        upstream_running(never) as upstream,
        lane_running(impatient(upstream.port, body_bytes=10)) as lane,
        client_to(lane) as client,
    ):
        await client.send(get("/", framing, method="POST"))
        await client.send(b"14\r\n" + b"x" * 16)
        assert (await client.answer())[0].status == 413
        assert await client.is_closed()


async def test_an_answer_before_the_end_of_the_request_arrives():
    """A 413 of the upstream's, while the upload still runs: relayed, then both connections end."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await connection.until_closed()

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        await client.send(get("/", "Content-Length: 1000000", method="POST") + b"x" * 1000)
        head, body = await client.answer()
        assert (head.status, body, head.get("connection")) == (413, b"big", "close")
        assert await client.is_closed()


async def fill(client: Client, limit: int) -> None:
    """Send until the other side takes no more, or `limit` bytes."""
    piece = b"x" * 65536
    for _ in range(limit // len(piece)):
        client.writer.write(piece)
        try:
            async with asyncio.timeout(BOUND_SECONDS):
                await client.writer.drain()
        except (ConnectionError, TimeoutError):
            return


async def test_an_upstream_that_stops_reading_is_504():
    """aiohttp's read deadline does not run while a body is sent."""
    reading = asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        cast("asyncio.Transport", connection.writer.transport).pause_reading()
        reading.set()
        await asyncio.sleep(BOUND_SECONDS)

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        await client.send(get("/", "Content-Length: 100000000", method="POST"))
        filling = asyncio.ensure_future(fill(client, 100_000_000))
        assert (await client.answer())[0].status == 504
        await filling


async def test_a_client_that_stops_reading_is_reset_and_the_upstream_closed():
    """aiohttp waits for it for ever; memory stays bounded meanwhile."""
    closed = asyncio.Event()
    sent = 0

    async def script(connection: UpstreamConnection) -> None:
        nonlocal sent
        await connection.head()
        connection.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                connection.writer.write(b"x" * 65536)
                await connection.writer.drain()
                sent += 65536
        except ConnectionError:
            closed.set()

    async with (
        upstream_running(script) as upstream,
        lane_running(impatient(upstream.port)) as lane,
        client_to(lane) as client,
    ):
        cast("asyncio.Transport", client.writer.transport).pause_reading()
        await client.send(get("/"))
        await asyncio.wait_for(closed.wait(), BOUND_SECONDS)
        # Socket buffers of both hops and the lane's own; far below what the upstream would have sent.
        assert sent < 40_000_000


async def test_connections_above_the_limit_are_told_503():
    """An accept limit answers, it does not hang."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(impatient(upstream.port, connection_count=1)) as lane,
        client_to(lane) as first,
    ):
        await first.ask(get("/"))
        async with client_to(lane) as second:
            head, _ = await second.answer()
            assert (head.status, head.get("retry-after")) == (503, "1")
            assert await second.is_closed()


async def test_an_unwanted_peer_is_dropped_before_a_byte():
    """`drop_score`: the gate's word at accept."""
    asked: list[str] = []

    def may_enter(peer: str) -> bool:
        asked.append(peer)
        return False

    async with lane_running(impatient(1), may_enter=may_enter) as lane, client_to(lane) as client:
        assert await client.is_closed()
        assert asked == ["127.0.0.1"]


async def test_stopping_lets_a_running_answer_end():
    """Drain: the listener is closed first, the exchange may finish."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        arrived.set()
        await go.wait()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with upstream_running(script) as upstream:
        lane = lane_running(LaneConfig(upstream_port=upstream.port, drain_seconds=BOUND_SECONDS))
        port = await lane.__aenter__()
        async with client_to(port) as client:
            await client.send(get("/"))
            await asyncio.wait_for(arrived.wait(), BOUND_SECONDS)
            stopping = asyncio.ensure_future(lane.__aexit__(None, None, None))
            go.set()
            assert (await client.answer())[1] == b"ok"
            await asyncio.wait_for(stopping, BOUND_SECONDS)


def all_subclasses(root: type) -> set[type]:
    children: list[type] = root.__subclasses__()
    return {root}.union(*(all_subclasses(child) for child in children))


def test_every_client_error_of_aiohttp_becomes_502_or_504():
    """A new class of a new version must not turn into a 500, and no status of theirs leaks."""
    gc.collect()
    ours = [
        kind
        for kind in all_subclasses(client_exceptions.ClientError)
        if kind.__module__.startswith("aiohttp")
    ]
    assert len(ours) > 10
    for kind in [*ours, ConnectionResetError, BrokenPipeError, TimeoutError, OSError, ValueError]:
        for is_reused in (False, True):
            mapped = errors.from_upstream(cast("Any", kind).__new__(kind), is_reused=is_reused)
            assert mapped.status in {502, 504}, kind
