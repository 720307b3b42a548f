"""Connections that come from the pool: stale ones, poisoned ones, idle ones."""

import asyncio

from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import get, post
from tests.support.origin import Origin, OriginConnection, answer

OVER_TLS = True

MEGABYTE = 1_000_000


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
    assert edge.worker.context.upstreams.idle_count == 1
    pushed.set()
    await until(lambda: edge.worker.context.upstreams.idle_count == 0)
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
    await until(lambda: edge.worker.context.upstreams.idle_count == 0)
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
    assert edge.worker.context.upstreams.idle_count == 2
