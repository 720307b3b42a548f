"""What each failure of the upstream looks like to the client."""

import asyncio
import socket

import pytest

from proxy.edge.timers import turns
from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import get, post
from tests.support.origin import Origin, OriginConnection, answer

OVER_TLS = True

MEGABYTE = 1_000_000


async def test_refused_connection_is_502_and_the_client_stays(edge: Edge, origin: Origin):
    """Nothing was sent: the fault is the upstream's, the client's connection is at a message border."""
    await origin.stop_listening()
    client = await edge.connect()
    for _ in range(2):
        response = await client.fetch(get())
        assert response.status == 502
        assert response.head.get("content-type") == "application/problem+json"
    assert edge.counter("upstream_connect_errors") == 2


async def test_connect_that_never_ends_is_504(start_edge: StartEdge, origin: Origin):
    """A host that drops SYNs must not hold a client for the kernel's two minutes."""
    # A full accept queue makes the kernel ignore further SYNs.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        edge = await start_edge(upstream_port=full.getsockname()[1], upstream_connect_seconds=0.2)
        client = await edge.connect()
        assert (await client.fetch(get())).status == 504
        for filler in fillers:
            filler.close()


async def test_reset_before_the_answer_is_502(edge: Edge, origin: Origin):
    """On a fresh connection there is no excuse of a stale one, so no retry."""

    async def reset(connection: OriginConnection) -> None:
        await connection.read_request()
        connection.reset()

    origin.behave = reset
    client = await edge.connect()
    assert (await client.fetch(get())).status == 502
    assert len(origin.connections) == 1


async def test_close_before_the_answer_is_502(edge: Edge, origin: Origin):
    """The same by FIN."""

    async def close(connection: OriginConnection) -> None:
        await connection.read_request()

    origin.behave = close
    client = await edge.connect()
    assert (await client.fetch(get())).status == 502


async def test_stall_before_the_head_is_504(start_edge: StartEdge, origin: Origin):
    """The head deadline runs from the request's last byte."""

    async def stall(connection: OriginConnection) -> None:
        await connection.read_request()
        assert await connection.see_end() in ("fin", "reset")

    origin.behave = stall
    edge = await start_edge(upstream_head_seconds=0.2)
    client = await edge.connect()
    assert (await client.fetch(get())).status == 504


async def test_stall_within_the_head_is_504(start_edge: StartEdge, origin: Origin):
    """Bytes that are not yet an answer do not extend the wait for ever."""

    async def stall(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        await connection.see_end()

    origin.behave = stall
    edge = await start_edge(upstream_head_seconds=0.2, upstream_read_idle_seconds=0.2)
    client = await edge.connect()
    assert (await client.fetch(get())).status == 504


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="P1 length is no number"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", id="P1 two lengths"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="P1 length and chunked",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", id="P1 unknown coding"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", id="P1 chunked twice"
        ),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", id="bare LF"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n", id="bare CR"),
        pytest.param(b"HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 0\r\n\r\n", id="space in name"),
        pytest.param(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="version"),
        pytest.param(b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n", id="status of two digits"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", id="101 nobody asked for"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="not HTTP"),
    ],
)
async def test_malformed_answer_is_502_and_its_connection_closed(edge: Edge, origin: Origin, response: bytes):
    """P1, P12: the client learns that the gateway failed, not how."""
    ends = []

    async def malformed(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(response)
        ends.append(await connection.see_end())

    origin.behave = malformed
    client = await edge.connect()
    answered = await client.fetch(get())
    assert answered.status == 502
    await until(lambda: bool(ends))
    assert edge.worker.context.upstreams.idle_count == 0


CUT_ANSWERS = [
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", "1.1", id="length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", "1.1", id="chunked"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", "1.0", id="chunked to 1.0"
    ),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", "1.0", id="length to 1.0"),
]


@pytest.mark.parametrize(("response", "version"), CUT_ANSWERS)
async def test_answer_cut_by_fin_is_a_reset_for_the_client(
    edge: Edge, origin: Origin, response: bytes, version: str
):
    """P4: an incomplete message must never look complete."""

    async def cut(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(response)

    origin.behave = cut
    client = await edge.connect()
    await client.send(get(version=version))
    assert await client.see_end() == "reset"


async def test_close_delimited_answer_cut_by_reset_is_a_reset_for_the_client(edge: Edge, origin: Origin):
    """The only framing in which a FIN would say `complete`."""
    seen = asyncio.Event()

    async def cut(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.0 200 OK\r\n\r\npart")
        await seen.wait()
        connection.reset()

    origin.behave = cut
    for version in ("1.0", "1.1"):
        seen.clear()
        client = await edge.connect()
        await client.send(get(version=version))
        await client.read_until(b"part")
        seen.set()
        assert await client.see_end() == "reset"


async def test_malformed_chunk_within_an_answer_is_a_reset_for_the_client(edge: Edge, origin: Origin):
    """After the head there is no error page."""
    seen = asyncio.Event()

    async def lie(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        await seen.wait()
        await connection.send(b"-1\r\n")
        await connection.see_end()

    origin.behave = lie
    client = await edge.connect()
    await client.send(get())
    await client.read_until(b"part")
    seen.set()
    assert await client.see_end() == "reset"


async def test_stall_within_the_body_is_a_reset_for_the_client(start_edge: StartEdge, origin: Origin):
    """The body idle deadline: the upstream is stuck, and the client must learn it."""

    async def stall(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
        await connection.see_end()

    origin.behave = stall
    edge = await start_edge(upstream_read_idle_seconds=0.2)
    client = await edge.connect()
    await client.send(get())
    assert await client.see_end() == "reset"


async def test_upstream_that_reads_slowly_but_steadily_gets_the_whole_upload(
    start_edge: StartEdge, origin: Origin
):
    """The same in the other direction."""
    body = bytes(range(256)) * 4096 * 8

    async def slow(connection: OriginConnection) -> None:
        head = await connection.read_head()
        received = bytearray()
        for _ in range(45):
            received += await connection.receive(16384)
            await asyncio.sleep(0.02)
        while len(received) < int(head.get("content-length") or 0):
            received += await connection.receive()
        await connection.send(answer(b"same" if received == body else b"other"))

    origin.behave = slow
    edge = await start_edge(upstream_write_idle_seconds=0.4, write_buffer_bytes=65536)
    client = await edge.connect()
    sender = asyncio.get_running_loop().create_task(client.send(post(body)))
    assert (await client.read_response()).body == b"same"
    await sender


async def test_upstream_that_stops_reading_is_504(start_edge: StartEdge, origin: Origin):
    """An upload into a stuck gateway: the write deadline, with bounded memory before it."""

    async def stuck(connection: OriginConnection) -> None:
        await connection.read_head()
        await until(lambda: edge.counter("responses_5xx") == 1)

    origin.behave = stuck
    edge = await start_edge(upstream_write_idle_seconds=0.5)
    client = await edge.connect()
    await client.send(get("/", "Content-Length: 1000000000", method="POST"))
    sender = asyncio.get_running_loop().create_task(client.send(b"x" * 30 * MEGABYTE))
    await until(lambda: len(edge.worker.context.connections) == 1)
    (connection,) = edge.worker.context.connections
    await until(lambda: connection.exchange.upstream is not None)
    upstream = connection.exchange.upstream
    assert upstream is not None
    await until(lambda: upstream.is_writing_paused)
    # What one direction may hold: the write buffer's limit, and one read beyond it.
    assert 262144 < upstream.transport.get_write_buffer_size() < 262144 + 256000
    assert (await client.read_response()).status == 504
    sender.cancel()
    await asyncio.wait([sender])


async def test_connection_that_was_just_reset_is_no_send_timeout(start_edge: StartEdge, origin: Origin):
    """A deadline of what it did before may come in the same sweep as the fault that resets it."""
    edge = await start_edge(keepalive_seconds=0.1)
    client = await edge.connect()
    assert (await client.fetch(get())).status == 200
    (connection,) = edge.worker.context.connections
    wheel = edge.worker.context.wheel
    connection.reset()
    wheel.advance(wheel.turn + turns(0.1))
    assert edge.counter("send_timeouts") == 0
    assert await client.see_end() == "reset"
