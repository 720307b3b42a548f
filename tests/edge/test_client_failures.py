"""What each fault of a client costs: it, the upstream, and nobody else."""

import asyncio
import contextlib
from functools import partial

from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import chunked, get
from tests.support.origin import Origin, OriginConnection, answer

OVER_TLS = True

MEGABYTE = 1_000_000


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


def has_count(found: list[OriginConnection], count: int) -> bool:
    return len(found) == count


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
    requests = (
        get("/", "Transfer-Encoding: chunked", method="POST") + chunked(b"abc")[:-5],
        get("/", "Content-Length: 10", method="POST") + b"abc",
    )
    for count, request in enumerate(requests, 1):
        bodies.clear()
        client = await edge.connect()
        await client.send(request)
        await until(partial(has_count, origin.connections, count))
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
