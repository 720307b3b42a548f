"""What a blocked client sees, what it costs, and what never reaches the upstream."""

import asyncio
from functools import partial

import pytest

from fastmatch._native import Entry
from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import Client, chunked, get, post
from tests.support.origin import Origin, OriginConnection

OVER_TLS = True

BLOCKED = Entry("127.0.0.66", score=9, sources=["test"])
BLOCKED_SOURCE = "127.0.0.66"


async def test_blocked_client_gets_403_and_origin_sees_nothing(start_edge: StartEdge, origin: Origin):
    """The product."""
    edge = await start_edge(BLOCKED)
    client = await edge.connect(source=BLOCKED_SOURCE)
    response = await client.fetch(get())
    assert response.status == 403
    assert response.head.get("content-type") == "application/problem+json"
    assert response.head.get("x-request-id")
    assert origin.connections == []
    assert edge.counter("denied") == 1


async def test_blocked_host_gets_403(start_edge: StartEdge, origin: Origin):
    """Domains are judged as the client writes them."""
    edge = await start_edge(Entry("bad.example", score=8))
    client = await edge.connect()
    assert (await client.fetch(b"GET / HTTP/1.1\r\nHost: a.BAD.example\r\n\r\n")).status == 403
    assert (await client.fetch(get())).status == 200


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example..",
        b".evil.example",
        b"a..evil.example",
        b"~.evil.example",
        b"a" * 64 + b".evil.example",
        b"a." * 130 + b"evil.example",
        b"198.51.100.7.",
        b"198.51.100.007",
        b"198.51.25607",
        b"3325256711",
        b"0xc6336407",
    ],
)
async def test_host_that_no_list_could_hold_is_refused_and_not_let_past_the_lists(
    start_edge: StartEdge, origin: Origin, host: bytes
):
    """A wildcard gateway behind us may still answer for it: an unlistable label must not hide a blocked
    domain."""
    edge = await start_edge(Entry("evil.example", score=9), Entry("198.51.100.7", score=9))
    client = await edge.connect()
    assert (await client.fetch(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")).status == 400
    client = await edge.connect()
    absolute = b"GET http://" + host + b"/ HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
    assert (await client.fetch(absolute)).status == 400
    assert origin.connections == []


async def test_denied_request_without_a_body_keeps_its_connection(start_edge: StartEdge, origin: Origin):
    """Closing would make the client open another, which costs us more."""
    edge = await start_edge(BLOCKED)
    client = await edge.connect(source=BLOCKED_SOURCE)
    for _ in range(5):
        response = await client.fetch(get())
        assert (response.status, response.head.get("connection")) == (403, None)


async def test_denied_request_whose_body_has_arrived_keeps_its_connection(
    start_edge: StartEdge, origin: Origin
):
    """The body is consumed: what follows is a request again (CVE-2025-4366)."""
    edge = await start_edge(BLOCKED)
    client = await edge.connect(source=BLOCKED_SOURCE)
    assert (await client.fetch(post(b"GET /evil HTTP/1.1\r\n\r\n"))).status == 403
    head = get("/", "Transfer-Encoding: chunked", method="POST")
    assert (await client.fetch(head + chunked(b"abc"))).status == 403
    assert (await client.fetch(get())).status == 403
    assert edge.counter("denied") == 3


async def test_denied_request_whose_body_is_to_come_is_answered_drained_and_closed(
    start_edge: StartEdge, origin: Origin
):
    """Answer, FIN, drain: the answer is not lost to a reset, and the body is never a request."""
    edge = await start_edge(BLOCKED)
    client = await edge.connect(source=BLOCKED_SOURCE)
    await client.send(get("/", "Content-Length: 30000", method="POST"))
    response = await client.read_response()
    assert (response.status, response.head.get("connection")) == (403, "close")
    assert await client.read_to_end() == b""
    await client.send(b"x" * 30000)
    client.close()
    await until(lambda: not edge.worker.context.connections)
    assert edge.counter("requests") == 1


async def test_drain_after_a_denial_ends_at_its_byte_limit(start_edge: StartEdge, origin: Origin):
    """A denied client must not be able to make us read for long."""
    edge = await start_edge(BLOCKED, linger_bytes=10000, linger_seconds=60.0)
    client = await edge.connect(source=BLOCKED_SOURCE)
    await client.send(get("/", "Content-Length: 1000000000", method="POST"))
    assert (await client.read_response()).status == 403
    await client.send(b"x" * 20000)
    await until(lambda: not edge.worker.context.connections)


async def test_drain_after_a_denial_ends_at_its_deadline(start_edge: StartEdge, origin: Origin):
    """Nor hold a connection by doing nothing."""
    edge = await start_edge(BLOCKED, linger_seconds=0.2)
    client = await edge.connect(source=BLOCKED_SOURCE)
    await client.send(get("/", "Content-Length: 10", method="POST"))
    assert (await client.read_response()).status == 403
    await until(lambda: not edge.worker.context.connections)


async def test_thousands_of_pipelined_denials_are_answered_in_turn(start_edge: StartEdge, origin: Origin):
    """Answered at once they would be a recursion; the client's reading sets the pace."""
    edge = await start_edge(BLOCKED)
    client = await edge.connect(source=BLOCKED_SOURCE)
    count = 4000
    sender = asyncio.get_running_loop().create_task(client.send(get() * count))
    for _ in range(count):
        assert (await client.read_response()).status == 403
    await sender


async def test_denials_of_a_client_that_does_not_read_stay_bounded(start_edge: StartEdge, origin: Origin):
    """Each answer is larger than its request: unread ones must stop the next."""
    edge = await start_edge(BLOCKED, write_buffer_bytes=65536)
    client = await edge.connect(source=BLOCKED_SOURCE, receive_buffer_bytes=8192)
    sent_count = 0
    while not edge.worker.context.held:
        # As many as never reach the bound for pipelined requests.
        await client.send(get() * 200)
        sent_count += 200
        await until(partial(is_answered_or_held, edge, sent_count))
        assert sent_count < 100_000
    (connection,) = edge.worker.context.connections
    assert connection.is_writing_paused
    assert connection.transport.get_write_buffer_size() < 65536 + 4096


def is_answered_or_held(edge: Edge, denied_count: int) -> bool:
    return edge.counter("denied") == denied_count or bool(edge.worker.context.held)


async def test_observed_client_is_forwarded_and_counted(start_edge: StartEdge, origin: Origin):
    """What would have been blocked, before blocking it."""
    edge = await start_edge(BLOCKED, observe=True)
    client = await edge.connect(source=BLOCKED_SOURCE)
    assert (await client.fetch(get())).status == 200
    assert (edge.counter("observed"), edge.counter("denied")) == (1, 0)


async def test_peer_at_the_drop_score_is_reset_before_a_byte_is_read(start_edge: StartEdge, origin: Origin):
    """The cheapest refusal."""
    edge = await start_edge(BLOCKED, drop_score=8.5)
    client = await Client.connect(edge.port, source=BLOCKED_SOURCE)
    assert await client.see_end() == "reset"
    assert edge.counter("dropped") == 1
    client.close()
    assert (await (await edge.connect()).fetch(get())).status == 200


async def test_without_a_list_requests_are_refused_when_closed_and_served_when_open(
    start_edge: StartEdge, origin: Origin
):
    """`on_missing`: what a worker does before its first list."""
    edge = await start_edge()
    edge.worker.context.gate.install(None)
    client = await edge.connect()
    assert (await client.fetch(get())).status == 503
    edge.configure(on_missing="open")
    client = await edge.connect()
    assert (await client.fetch(get())).status == 200


async def test_new_block_ends_an_open_stream(edge: Edge, origin: Origin):
    """Within a second of the swap, not at the stream's own end."""
    ends = []

    async def stream(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n")
        ends.append(await connection.see_end())

    origin.behave = stream
    client = await edge.connect(source=BLOCKED_SOURCE)
    other = await edge.connect()
    for each in (client, other):
        await each.send(get())
        await each.read_until(b"data")
    await edge.block(BLOCKED)
    assert await client.see_end() == "reset"
    await until(lambda: len(ends) == 1)
    assert len(edge.worker.context.connections) == 1


async def test_new_block_ends_an_upload_with_403(edge: Edge, origin: Origin):
    """Nothing of an answer has been sent: it can still be said."""
    heads = []

    async def collect(connection: OriginConnection) -> None:
        heads.append(await connection.read_head())
        await connection.see_end()

    origin.behave = collect
    client = await edge.connect(source=BLOCKED_SOURCE)
    await client.send(get("/", "Content-Length: 100000", method="POST") + b"x" * 100)
    await until(lambda: len(heads) == 1)
    await edge.block(BLOCKED)
    assert (await client.read_response()).status == 403
    assert await client.see_end() == "fin"


async def test_new_block_lets_streams_finish_when_configured(start_edge: StartEdge, origin: Origin):
    """`on_block = "finish"`."""
    gate = asyncio.Event()

    async def stream(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ndata")
            await gate.wait()
            await connection.send(b"more")

    origin.behave = stream
    edge = await start_edge(on_block="finish")
    client = await edge.connect(source=BLOCKED_SOURCE)
    await client.send(get())
    await client.read_until(b"data")
    await edge.block(BLOCKED)
    gate.set()
    assert await client.read_exactly(4) == b"more"
    assert (await client.fetch(get())).status == 403


async def test_new_block_reaches_every_one_of_many_streams(edge: Edge, origin: Origin):
    """More connections than one slice of the round."""
    count = 600

    async def stream(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ndata")
        await connection.see_end()

    origin.behave = stream
    clients = [await edge.connect(source=BLOCKED_SOURCE) for _ in range(count)]
    for client in clients:
        await client.send(get())
        await client.read_until(b"data")
    await edge.block(BLOCKED)
    await until(lambda: not edge.worker.context.connections, patience_seconds=4.0)
    assert edge.counter("closed_on_block") == count


async def test_client_over_the_connection_limit_gets_503(start_edge: StartEdge, origin: Origin):
    """Cheap, and with `Retry-After`: overload must not be a mystery."""
    edge = await start_edge(connection_count=2)
    served = [await edge.connect() for _ in range(2)]
    for client in served:
        assert (await client.fetch(get())).status == 200
    if edge.tls is not None:
        with pytest.raises(ConnectionResetError):  # a handshake for nothing would be the worst of overload
            await edge.connect()
    else:
        shed = await edge.connect()
        await shed.send(get())
        response = await shed.read_response()
        assert (response.status, response.head.get("retry-after")) == (503, "1")
        assert await shed.see_end() == "fin"
    served[0].close()
    await until(lambda: len(edge.worker.context.connections) == 1)
    assert (await (await edge.connect()).fetch(get())).status == 200


async def test_trusted_proxy_speaks_for_its_client(start_edge: StartEdge, origin: Origin):
    """The address that is judged is the client's, and one that lies about it is not believed."""
    edge = await start_edge(Entry("203.0.113.9", score=9), trusted_proxies=("127.0.0.0/30",))
    trusted = await edge.connect()
    assert (await trusted.fetch(get("/", "X-Forwarded-For: 203.0.113.9"))).status == 403
    assert (await trusted.fetch(get("/", "X-Forwarded-For: 203.0.113.10"))).status == 200
    stranger = await edge.connect(source="127.0.0.77")
    assert (await stranger.fetch(get("/", "X-Forwarded-For: 203.0.113.9"))).status == 200
    assert origin.requests[-1].head.all("x-forwarded-for") == ["127.0.0.77"]


async def test_answers_of_our_own_carry_nothing_of_the_input(start_edge: StartEdge, origin: Origin):
    """P12: an error page that echoes is a place to inject."""
    edge = await start_edge(BLOCKED)
    client = await edge.connect(source=BLOCKED_SOURCE)
    response = await client.fetch(get("/marker-4711"))
    assert b"marker-4711" not in response.head.raw + response.body
    client = await edge.connect()
    response = await client.fetch(b"GET /marker-4711 HTTP/1.1\r\nmarker-4711\r\n\r\n")
    assert response.status == 400
    assert b"marker-4711" not in response.head.raw + response.body
