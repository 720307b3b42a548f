"""What a proxy on aiohttp gets wrong unless it takes care (facts on aiohttp, section 3.4), one test each."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.lane.config import LaneConfig
from tests.lane.peers import (
    BOUND_SECONDS,
    Client,
    UpstreamConnection,
    answer_always,
    client_to,
    get,
    lane_running,
    read_body,
    read_chunked,
    read_head,
    upstream_running,
)
from tests.support.client import Client as RawClient


def answering(data: bytes) -> Callable[[UpstreamConnection], Awaitable[None]]:
    """Every request gets these bytes."""

    async def script(connection: UpstreamConnection) -> None:
        while True:
            await connection.head()
            await connection.send(data)

    return script


def config_for(port: int, **changes: Any) -> LaneConfig:
    return LaneConfig(upstream_port=port, drain_seconds=1.0, **changes)


# ---------------------------------------------------------------- heads


async def test_trailers_are_dropped_and_never_become_fields():
    """F7: aiohttp cannot pass them on. A trailer taken for a field would be one that nobody has judged."""

    async def script(connection: UpstreamConnection) -> None:
        head = await connection.head()
        assert await read_body(connection.reader, head) == b"hi"
        await connection.send(
            b"HTTP/1.1 200 OK\r\nTrailer: X-After\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-After: from the origin\r\n\r\n"
        )

    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        request = get("/", "Trailer: X-After", "Transfer-Encoding: chunked", method="POST")
        await client.send(request + b"2\r\nhi\r\n0\r\nX-After: from the client\r\n\r\n")
        head = await read_head(client.reader)
        # `read_chunked` insists on an empty line right behind the last chunk.
        assert await read_chunked(client.reader) == b"ok"
        for seen in (head, upstream.heads[0]):
            assert b"x-after" not in seen.raw.lower()


async def test_interim_answers_do_not_reach_a_client_of_http_10():
    """RFC 9110 section 15.2: it would take the 103 for the answer."""
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with (
        upstream_running(answering(answer)) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        head, _ = await client.ask(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
        assert head.status == 200


async def test_a_100_of_the_upstream_stays_here():
    """The lane has said it already; a second one would be taken for somebody's answer."""
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with (
        upstream_running(answering(answer)) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        assert (await client.ask(get("/")))[0].status == 200


async def test_a_client_of_http_10_may_keep_its_connection():
    """Only when it asks for it, and it is told so."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        for _ in range(2):
            head, _ = await client.ask(b"GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n")
            assert head.all("connection") == ["keep-alive"]
        head, _ = await client.ask(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
        assert head.all("connection") == ["close"]
        assert await client.is_closed()


async def test_long_fields_of_an_answer_go_through():
    """aiohttp stops at 8190 bytes; policies and cookies are longer than that."""
    field = b"Set-Cookie: a=" + b"b" * 30_000
    async with (
        upstream_running(
            answering(b"HTTP/1.1 200 OK\r\n" + field + b"\r\nContent-Length: 0\r\n\r\n")
        ) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        head, _ = await client.ask(get("/"))
        assert head.get("set-cookie") == "a=" + "b" * 30_000


@pytest.mark.parametrize("cut", [0, 20, 40, 50])
async def test_a_body_behind_the_answer_to_head_is_dropped_with_its_connection(cut: int):
    """P2: some origins send one. aiohttp takes it for the next answer and loses this one."""
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    whole = interim + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(whole[:cut])
        await asyncio.sleep(0.01)
        await connection.send(whole[cut:])
        await connection.until_closed()

    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        for _ in range(2):
            await client.send(get("/", method="HEAD"))
            assert (await read_head(client.reader)).status == 103
            head = await read_head(client.reader)
            assert (head.status, head.get("content-length")) == (200, "5")
        assert len(upstream.connections) == 2


@pytest.mark.parametrize("value", [b"a\x00b", b"a\x01b", b"a\x7fb", b"a\rb"])
async def test_control_bytes_in_an_answers_field_are_502(value: bytes):
    """aiohttp's response parser is lenient, and its writer would turn this into a 500."""
    answer = b"HTTP/1.1 200 OK\r\nA: " + value + b"\r\nContent-Length: 0\r\n\r\n"
    async with (
        upstream_running(answering(answer)) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        assert (await client.ask(get("/")))[0].status == 502


async def test_an_upgrade_that_is_refused_ends_its_connection():
    """aiohttp loses what came in one segment with it: nothing is left that could be half a request."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        upgrade = get("/first", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA")
        await client.send(upgrade + get("/second"))
        head, body = await client.answer()
        assert (head.get("connection"), body) == ("close", b"GET /first HTTP/1.1")
        assert await client.is_closed()
        assert [seen.get("upgrade") for seen in upstream.heads] == [None]


async def test_environment_variables_of_other_programs_name_no_proxy(monkeypatch: pytest.MonkeyPatch):
    """`trust_env` of a session would send everything to whatever http_proxy says."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        assert (await client.ask(get("/")))[0].status == 200


# ---------------------------------------------------------------- bodies and time


async def test_many_tiny_chunks_leave_as_few():
    """A write for each would cost a system call per byte."""
    count = 5_000
    chunks = b"1\r\nx\r\n" * count
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    async with (
        upstream_running(answering(answer)) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        await client.send(get("/"))
        await read_head(client.reader)
        sizes = []
        async with asyncio.timeout(BOUND_SECONDS):
            while size := int(await client.reader.readline(), 16):
                sizes.append(size)
                await client.reader.readexactly(size + 2)
        assert sum(sizes) == count
        assert len(sizes) < count / 100


async def test_a_stream_may_last_longer_than_any_of_the_deadlines():
    """aiohttp's `total` of 300 s cuts server-sent events and large uploads; ours are between two pieces."""
    pieces = 8
    seconds = 0.25

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(pieces):
            await connection.send(b"1\r\nx\r\n")
            await asyncio.sleep(seconds / 3)
        await connection.send(b"0\r\n\r\n")

    deadlines = dict.fromkeys(
        ("upstream_head_seconds", "upstream_read_idle_seconds", "send_idle_seconds", "keepalive_seconds"),
        seconds,
    )
    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port, **deadlines)) as port,
        client_to(port) as client,
    ):
        assert (await client.ask(get("/")))[1] == b"x" * pieces


async def test_more_than_a_hundred_requests_run_at_a_time():
    """`TCPConnector(limit=100)` would let the others wait for these, without a deadline."""
    count = 120
    everyone = asyncio.Barrier(count)

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        async with asyncio.timeout(BOUND_SECONDS):
            await everyone.wait()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def ask(port: int) -> int:
        async with client_to(port) as client:
            return (await client.ask(get("/")))[0].status

    async with upstream_running(script) as upstream, lane_running(config_for(upstream.port)) as port:
        assert await asyncio.gather(*(ask(port) for _ in range(count))) == [200] * count


async def test_a_hundred_pipelined_requests_are_all_answered_in_order():
    """aiohttp holds 32 and pauses reading: the others must not be lost behind the pause."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        await client.send(b"".join(get(f"/{number}") for number in range(100)))
        for number in range(100):
            assert (await client.answer())[1] == f"GET /{number} HTTP/1.1".encode()


async def test_an_upload_that_drips_is_answered_408():
    """An idle limit alone lets a client hold a connection with a byte now and then."""
    config = {"body_idle_seconds": 0.3, "minimum_body_bytes_per_second": 1000}

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.until_closed()

    async def drip(client: Client) -> None:
        while True:
            await client.send(b"x")
            await asyncio.sleep(0.05)

    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port, **config)) as port,
        client_to(port) as client,
    ):
        await client.send(get("/", "Content-Length: 1000", method="POST"))
        dripping = asyncio.ensure_future(drip(client))
        try:
            assert (await client.answer())[0].status == 408
        finally:
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)


async def test_an_upload_at_its_pace_may_pause_for_the_upstream():
    """Time in which the upstream does not read is not the client's."""
    going_on = asyncio.Event()
    body = b"x" * 3_000_000

    async def script(connection: UpstreamConnection) -> None:
        head = await connection.head()
        await going_on.wait()
        assert await read_body(connection.reader, head) == body
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    # Ten times what the wait below would earn.
    config = {"body_idle_seconds": 0.2, "minimum_body_bytes_per_second": 10_000_000}
    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port, **config)) as port,
        client_to(port) as client,
    ):
        sending = asyncio.ensure_future(
            client.send(get("/", f"Content-Length: {len(body)}", method="PUT") + body)
        )
        await asyncio.sleep(0.5)
        going_on.set()
        assert (await client.answer())[0].status == 200
        await sending


async def test_an_early_answer_arrives_though_the_upstream_resets():
    """P7: it answers 413 and closes with the upload unread, so our next write fails."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        connection.writer.close()

    async with upstream_running(script) as upstream, lane_running(config_for(upstream.port)) as port:
        for _ in range(20):
            client = await RawClient.connect(port)
            with contextlib.closing(client):
                sending = asyncio.ensure_future(
                    client.send(get("/", "Content-Length: 100000000", method="POST") + b"x" * 2_000_000)
                )
                response = await client.read_response()
                assert (response.status, response.body) == (413, b"big")
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)


# ---------------------------------------------------------------- ends


async def test_what_is_read_behind_a_refusal_is_bounded():
    """aiohttp reads on for ten seconds at full speed; the answer is out, the rest is the client's loss."""
    config = {"body_bytes": 10, "linger_bytes": 100_000, "linger_seconds": BOUND_SECONDS}
    async with lane_running(config_for(1, **config)) as port:
        client = await RawClient.connect(port)
        with contextlib.closing(client):
            await client.send(get("/", "Content-Length: 100000000", method="POST"))
            assert (await client.read_response()).status == 413
            with pytest.raises(ConnectionError):
                await client.send(b"x" * 50_000_000)


async def test_an_answer_that_is_not_taken_does_not_keep_a_closed_connection():
    """What is left in the transport's buffer below its high-water mark has no deadline of its own."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
    async with (
        upstream_running(answering(answer)) as upstream,
        lane_running(config_for(upstream.port, send_idle_seconds=0.2), send_buffer_bytes=4096) as port,
    ):
        client = await RawClient.connect(port, receive_buffer_bytes=4096)
        with contextlib.closing(client):
            await client.send(get("/", "Connection: close"))
            await asyncio.sleep(1.0)
            with pytest.raises((EOFError, ConnectionError)):
                await client.read_response()


async def test_stopping_says_close_and_lets_an_upload_end():
    """aiohttp's own stop ignores what still arrives: an upload would never be complete."""
    arrived = asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        head = await connection.head()
        arrived.set()
        assert await read_body(connection.reader, head) == b"first half, second half"
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with upstream_running(script) as upstream:
        lane = lane_running(LaneConfig(upstream_port=upstream.port, drain_seconds=BOUND_SECONDS))
        port = await lane.__aenter__()
        async with client_to(port) as client, client_to(port) as idle:
            await client.send(get("/", "Content-Length: 23", method="PUT") + b"first half, ")
            await asyncio.wait_for(arrived.wait(), BOUND_SECONDS)
            stopping = asyncio.ensure_future(lane.__aexit__(None, None, None))
            assert await idle.is_closed()
            await client.send(b"second half")
            head, body = await client.answer()
            assert (head.status, head.get("connection"), body) == (200, "close", b"ok")
            assert await client.is_closed()
            await asyncio.wait_for(stopping, BOUND_SECONDS)
