"""What each failure of the upstream looks like to the client, and of the client to the upstream."""

import asyncio
import contextlib
import socket

import pytest

from proxy.edge.timers import turns
from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import chunked, get, post
from tests.support.origin import Origin, OriginConnection, answer

MEGABYTE = 1_000_000


# ---------------------------------------------------------------- before the answer


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
    assert len(edge.worker.context.pool) == 0


# ---------------------------------------------------------------- stale connections


async def test_reused_connection_that_ends_unanswered_is_retried_once(edge: Edge, origin: Origin):
    """The usual keep-alive race: it costs the client nothing."""

    async def behave(connection: OriginConnection) -> None:
        await connection.read_request()
        if connection is origin.connections[0]:
            await connection.send(answer(b"first"))
            await connection.read_request()
            return
        await connection.send(answer(b"again"))

    origin.behave = behave
    client = await edge.connect()
    assert (await client.fetch(get())).body == b"first"
    assert (await client.fetch(get("/again"))).body == b"again"
    assert len(origin.connections) == 2
    assert edge.counter("upstream_retries") == 1


async def test_retry_happens_once(edge: Edge, origin: Origin):
    """A second failure is the upstream's answer."""

    async def behave(connection: OriginConnection) -> None:
        await connection.read_request()
        if connection is origin.connections[0]:
            await connection.send(answer(b"first"))
            await connection.read_request()

    origin.behave = behave
    client = await edge.connect()
    await client.fetch(get())
    assert (await client.fetch(get())).status == 502
    assert len(origin.connections) == 2


async def test_post_on_a_stale_connection_is_502_and_sent_once(edge: Edge, origin: Origin):
    """S6: whether it was processed is unknown, and twice would be worse."""

    async def behave(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(b"first"))
        await connection.read_request()

    origin.behave = behave
    client = await edge.connect()
    await client.fetch(get())
    assert (await client.fetch(post(b"pay"))).status == 502
    assert [seen.head.start_line for seen in origin.requests] == ["GET / HTTP/1.1", "POST / HTTP/1.1"]


async def test_put_whose_body_was_streamed_is_not_retried(edge: Edge, origin: Origin):
    """Idempotent, but we no longer hold it."""

    async def behave(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(b"first"))
        await connection.read_head()
        await connection.receive()

    origin.behave = behave
    client = await edge.connect()
    await client.fetch(get())
    await client.send(post(b"x" * MEGABYTE, method="PUT"))
    assert (await client.read_response()).status == 502
    assert len(origin.connections) == 1


async def test_stray_answer_on_an_idle_connection_is_given_to_nobody(edge: Edge, origin: Origin):
    """Response queue poisoning: one user's answer in another's hands."""
    pushed = asyncio.Event()

    async def push(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(b"mine"))
        if connection is origin.connections[0]:
            await pushed.wait()
            await connection.send(answer(b"stolen"))
            await connection.see_end()

    origin.behave = push
    client = await edge.connect()
    assert (await client.fetch(get())).body == b"mine"
    assert len(edge.worker.context.pool) == 1
    pushed.set()
    await until(lambda: len(edge.worker.context.pool) == 0)
    other = await edge.connect()
    assert (await other.fetch(get())).body == b"mine"
    assert len(origin.connections) == 2


async def test_bytes_behind_an_answer_cost_the_connection_its_place_in_the_pool(edge: Edge, origin: Origin):
    """P2: more than was declared is never relayed."""

    async def too_much(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(b"mine") + b"HTTP/1.1 200 OK\r\n\r\nstolen")
        await connection.see_end()

    origin.behave = too_much
    client = await edge.connect()
    for _ in range(2):
        assert (await client.fetch(get())).body == b"mine"
    assert len(origin.connections) == 2


async def test_idle_upstream_connection_is_closed_at_its_deadline(start_edge: StartEdge, origin: Origin):
    """Before the gateway does, so that the race above stays rare."""
    edge = await start_edge(upstream_idle_seconds=0.1)
    client = await edge.connect()
    await client.fetch(get())
    await until(lambda: len(edge.worker.context.pool) == 0)
    assert (await client.fetch(get())).status == 200
    assert len(origin.connections) == 2


async def test_pool_keeps_no_more_than_its_limit(start_edge: StartEdge, origin: Origin):
    """Idle connections cost the gateway memory, too."""
    gate = asyncio.Event()

    async def together(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await gate.wait()
            await connection.send(answer())

    origin.behave = together
    edge = await start_edge(upstream_idle_count=2)
    clients = [await edge.connect() for _ in range(5)]
    for client in clients:
        await client.send(get())
    await until(lambda: len(origin.requests) == 5)
    gate.set()
    for client in clients:
        assert (await client.read_response()).status == 200
    assert len(edge.worker.context.pool) == 2


# ---------------------------------------------------------------- within the answer

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


# ---------------------------------------------------------------- the client's faults


async def test_client_that_closes_cancels_the_upstream(edge: Edge, origin: Origin):
    """P8: work for nobody is stopped at once."""
    ends = []

    async def wait(connection: OriginConnection) -> None:
        await connection.read_request()
        ends.append(await connection.see_end())

    origin.behave = wait
    client = await edge.connect()
    await client.send(get())
    await until(lambda: len(origin.requests) == 1)
    client.close()
    await until(lambda: bool(ends))
    assert edge.counter("client_gone") == 1


async def test_client_that_resets_within_an_answer_cancels_the_upstream(edge: Edge, origin: Origin):
    """The same while bytes flow."""
    ends = []

    async def stream(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                await connection.send(b"x" * 65536)
        except ConnectionError:
            ends.append("gone")

    origin.behave = stream
    client = await edge.connect()
    await client.send(get())
    await client.read_head()
    client.reset()
    await until(lambda: bool(ends))


async def test_fin_during_an_exchange_means_gone(edge: Edge, origin: Origin):
    """nginx's rule, the default."""
    ends = []

    async def wait(connection: OriginConnection) -> None:
        await connection.read_request()
        ends.append(await connection.see_end())

    origin.behave = wait
    client = await edge.connect()
    await client.send(get())
    await until(lambda: len(origin.requests) == 1)
    client.half_close()
    assert await client.read_to_end() == b""
    await until(lambda: bool(ends))


async def test_half_closed_client_is_served_when_configured(start_edge: StartEdge, origin: Origin):
    """`printf ... | nc` and some health checkers."""
    edge = await start_edge(half_close="serve")
    client = await edge.connect()
    await client.send(get("/one") + get("/two"))
    client.half_close()
    assert (await client.read_response()).status == 200
    assert (await client.read_response()).status == 200
    assert await client.read_to_end() == b""


async def test_client_that_leaves_while_its_socket_is_not_read_is_noticed(
    start_edge: StartEdge, origin: Origin
):
    """Reading is paused because the upstream takes no more: neither FIN nor RST would be reported."""
    ends = []

    async def stuck(connection: OriginConnection) -> None:
        await connection.read_head()
        await until(lambda: edge.counter("client_gone") == 1)
        ends.append("gone")

    origin.behave = stuck
    edge = await start_edge(write_buffer_bytes=65536)
    client = await edge.connect()
    await client.send(get("/", "Content-Length: 100000000", method="POST"))
    sender = asyncio.get_running_loop().create_task(client.send(b"x" * 20 * MEGABYTE))
    await until(lambda: len(edge.worker.context.held) == 1)
    sender.cancel()
    await asyncio.wait([sender])
    client.reset()
    await until(lambda: bool(ends))


async def test_fin_behind_unread_pipelined_requests_is_noticed(start_edge: StartEdge, origin: Origin):
    """The same for a reader that is paused because enough requests wait."""
    ends = []

    async def wait(connection: OriginConnection) -> None:
        await connection.read_request()
        ends.append(await connection.see_end())

    origin.behave = wait
    edge = await start_edge(pipelined_bytes=100)
    client = await edge.connect()
    await client.send(get() * 20)
    await until(lambda: len(edge.worker.context.held) == 1)
    client.half_close()
    await until(lambda: bool(ends))


async def test_slow_head_is_408_and_closed(start_edge: StartEdge, origin: Origin):
    """R16: the deadline counts from the first byte and does not move with the next."""
    edge = await start_edge(head_seconds=0.3)
    client = await edge.connect()
    await client.send(b"GET / HTTP/1.1\r\n")
    reading = asyncio.get_running_loop().create_task(client.read_response())
    while not reading.done():
        with contextlib.suppress(ConnectionError):  # closed between two of them
            await client.send(b"A: b\r\n")
        await asyncio.sleep(0.05)
    assert (await reading).status == 408
    assert await client.see_end() in ("fin", "reset")
    assert origin.connections == []


async def test_slow_second_head_is_408_and_closed(start_edge: StartEdge, origin: Origin):
    """Keep-alive does not reset the rule."""
    edge = await start_edge(head_seconds=0.2)
    client = await edge.connect()
    await client.fetch(get())
    await client.send(b"GET / HTTP/1.1\r\n")
    assert (await client.read_response()).status == 408
    assert await client.see_end() == "fin"


async def test_connection_that_sends_nothing_is_closed_without_a_word(start_edge: StartEdge, origin: Origin):
    """A 408 into silence would be taken for the answer to the next request."""
    edge = await start_edge(head_seconds=0.2)
    client = await edge.connect()
    assert await client.read_to_end() == b""


async def test_idle_keep_alive_connection_is_closed_without_a_word(start_edge: StartEdge, origin: Origin):
    """The same between two requests."""
    edge = await start_edge(keepalive_seconds=0.2)
    client = await edge.connect()
    await client.fetch(get())
    assert await client.read_to_end() == b""


async def test_slow_body_is_408_and_cancels_the_upstream(start_edge: StartEdge, origin: Origin):
    """Slow POST: an upstream worker is not held for a client that sends nothing."""
    ends = []

    async def wait(connection: OriginConnection) -> None:
        await connection.read_head()
        ends.append(await connection.see_end())

    origin.behave = wait
    edge = await start_edge(body_idle_seconds=0.2)
    client = await edge.connect()
    await client.send(get("/", "Content-Length: 10", method="POST") + b"12345")
    assert (await client.read_response()).status == 408
    await until(lambda: bool(ends))


async def test_bad_chunk_within_an_upload_is_400_and_cancels_the_upstream(edge: Edge, origin: Origin):
    """R17 after the head has been forwarded: the upstream never sees an end of the body."""
    bodies: list[bytes | None] = []

    async def collect(connection: OriginConnection) -> None:
        await connection.read_head()
        try:
            bodies.append(await connection.read_chunked())
        except (EOFError, ConnectionError):
            bodies.append(None)

    origin.behave = collect
    client = await edge.connect()
    await client.send(get("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
    await until(lambda: len(origin.connections) == 1)
    await client.send(b"+3\r\nabc\r\n0\r\n\r\n")
    assert (await client.read_response()).status == 400
    assert await client.see_end() == "fin"
    await until(lambda: bool(bodies))
    assert bodies == [None]


async def test_upload_cut_by_the_client_does_not_look_complete_upstream(edge: Edge, origin: Origin):
    """P4 in the other direction."""
    bodies: list[bytes | None] = []

    async def collect(connection: OriginConnection) -> None:
        head = await connection.read_head()
        try:
            bodies.append(await connection.read_body(head))
        except (EOFError, ConnectionError):
            bodies.append(None)

    origin.behave = collect
    for request in (
        get("/", "Transfer-Encoding: chunked", method="POST") + chunked(b"abc")[:-5],
        get("/", "Content-Length: 10", method="POST") + b"abc",
    ):
        bodies.clear()
        client = await edge.connect()
        await client.send(request)
        await until(lambda: len(edge.worker.context.connections) == 1 and bool(origin.connections))
        client.close()
        await until(lambda: bool(bodies))
        assert bodies == [None]


async def test_client_that_stops_reading_is_cut_off_at_the_send_deadline(
    start_edge: StartEdge, origin: Origin
):
    """Slow read: its answer is held in bounded memory, and not for ever."""
    sent_bytes = []

    async def flood(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                await connection.send(b"x" * 65536)
                sent_bytes.append(65536)
        except ConnectionError:
            pass

    origin.behave = flood
    edge = await start_edge(send_idle_seconds=0.5)
    client = await edge.connect(receive_buffer_bytes=8192)
    await client.send(get())
    await until(lambda: len(edge.worker.context.connections) == 1)
    (connection,) = edge.worker.context.connections
    await until(lambda: connection.is_writing_paused)
    # What one direction may hold: the write buffer's limit, and one read beyond it.
    assert connection.transport.get_write_buffer_size() < 262144 + 256000
    await until(lambda: not edge.worker.context.connections)
    assert await client.see_end() == "reset"


async def test_client_that_reads_slowly_but_steadily_is_served_to_the_end(
    start_edge: StartEdge, origin: Origin
):
    """Progress within each period is enough: the deadline is for those that stopped."""
    body = bytes(range(256)) * 4096 * 6

    async def large(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(body))

    origin.behave = large
    edge = await start_edge(send_idle_seconds=0.2, write_buffer_bytes=65536)
    client = await edge.connect(receive_buffer_bytes=8192)
    await client.send(get())
    head = await client.read_head()
    (connection,) = edge.worker.context.connections
    await until(lambda: connection.is_writing_paused)
    received = bytearray()
    # The kernel holds megabytes of it, so that our own buffer does not shrink for several periods.
    for _ in range(40):
        received += await client.receive(4096)
        await asyncio.sleep(0.02)
    assert connection.is_writing_paused
    while len(received) < len(body):
        received += await client.receive()
    assert head.status == 200
    assert bytes(received) == body


async def test_upstream_that_reads_slowly_but_steadily_gets_the_whole_upload(
    start_edge: StartEdge, origin: Origin
):
    """The same in the other direction."""
    body = bytes(range(256)) * 4096 * 8

    async def slow(connection: OriginConnection) -> None:
        head = await connection.read_head()
        received = bytearray()
        for _ in range(30):
            received += await connection.receive(16384)
            await asyncio.sleep(0.02)
        while len(received) < int(head.get("content-length") or 0):
            received += await connection.receive()
        await connection.send(answer(b"same" if received == body else b"other"))

    origin.behave = slow
    edge = await start_edge(upstream_write_idle_seconds=0.2, write_buffer_bytes=65536)
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
