"""SIGTERM: what is under way ends well, what is idle ends now, and the deadline ends the rest."""

import asyncio

import pytest

from proxy.edge import patrol
from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import Client, get
from tests.support.origin import Origin, OriginConnection, answer

OVER_TLS = True


async def held(origin: Origin) -> asyncio.Event:
    """From now on the origin answers when the event is set."""
    gate = asyncio.Event()

    async def behave(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await gate.wait()
            await connection.send(answer())

    origin.behave = behave
    return gate


async def test_exchange_under_way_is_finished_and_its_connection_closed(
    start_edge: StartEdge, origin: Origin
):
    """The client sees a whole answer that says close."""
    edge = await start_edge(drain_seconds=30.0)
    gate = await held(origin)
    client = await edge.connect()
    await client.send(get())
    await until(lambda: len(origin.requests) == 1)
    drain = asyncio.get_running_loop().create_task(edge.worker.drain())
    await until(lambda: edge.worker.context.draining)
    gate.set()
    response = await client.read_response()
    assert (response.body, response.head.get("connection")) == (b"hello", "close")
    assert await client.see_end() == "fin"
    await drain


async def test_idle_connections_are_closed_before_the_deadline(start_edge: StartEdge, origin: Origin):
    """They would otherwise hold the drain until its end."""
    edge = await start_edge(drain_seconds=30.0)
    client = await edge.connect()
    await client.fetch(get())
    async with asyncio.timeout(5):
        await edge.worker.drain()
    assert await client.see_end() == "fin"
    await until(lambda: origin.connections[0].is_closed)


async def test_connection_that_has_not_sent_anything_gets_a_moment(start_edge: StartEdge, origin: Origin):
    """Its request may be on the way."""
    edge = await start_edge(drain_seconds=30.0, linger_seconds=1.0)
    client = await edge.connect()
    silent = await edge.connect()
    await until(lambda: len(edge.worker.context.connections) == 2)
    drain = asyncio.get_running_loop().create_task(edge.worker.drain())
    await until(lambda: edge.worker.context.draining)
    assert (await client.fetch(get())).status == 200
    await drain
    assert await silent.see_end() == "fin"


async def test_new_connections_are_refused_while_draining(start_edge: StartEdge, origin: Origin):
    """Other workers have their own sockets."""
    edge = await start_edge(drain_seconds=30.0)
    gate = await held(origin)
    client = await edge.connect()
    await client.send(get())
    await until(lambda: len(origin.requests) == 1)
    drain = asyncio.get_running_loop().create_task(edge.worker.drain())
    await until(lambda: edge.worker.context.draining)
    await asyncio.sleep(0.01)
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(edge.port)
    gate.set()
    await drain


async def test_deadline_ends_what_does_not_finish(start_edge: StartEdge, origin: Origin):
    """An endless stream must not hold a restart."""
    edge: Edge = await start_edge(drain_seconds=0.2)
    await held(origin)
    client = await edge.connect()
    await client.send(get())
    await until(lambda: len(origin.requests) == 1)
    await edge.worker.drain()
    assert await client.see_end() == "reset"
    assert not edge.worker.context.connections


async def test_idle_connection_whose_next_request_has_come_is_not_closed(edge: Edge, origin: Origin):
    """It is in the socket already: closing now would answer it with a reset."""
    client, idle = await edge.connect(), await edge.connect()
    await client.fetch(get())
    await idle.fetch(get())
    client.send_at_once(get("/in-the-socket"))
    patrol.close_idle(edge.worker.context, quiet_turns=0, with_fresh=False)
    assert (await client.read_response()).status == 200
    assert await idle.see_end() == "fin"


async def test_client_that_was_just_answered_may_ask_once_more(start_edge: StartEdge, origin: Origin):
    """Its next request is on the way: met by a closed connection it would be a failed one."""
    edge = await start_edge(drain_seconds=30.0)
    client, quiet = await edge.connect(), await edge.connect()
    await quiet.fetch(get())
    wheel = edge.worker.context.wheel
    asked_at = wheel.turn
    await until(lambda: wheel.turn >= asked_at + 30)
    await client.fetch(get())
    drain = asyncio.get_running_loop().create_task(edge.worker.drain())
    assert await quiet.see_end() == "fin"
    response = await client.fetch(get())
    assert (response.status, response.head.get("connection")) == (200, "close")
    assert await client.see_end() == "fin"
    await drain


async def test_drain_under_load_fails_no_request(start_edge: StartEdge, origin: Origin):
    """Each client gets whole answers, and a last one that says close."""
    edge = await start_edge(drain_seconds=30.0)
    counts: list[int] = []

    async def load() -> None:
        client = await edge.connect()
        count = 0
        while (await client.fetch(get())).head.get("connection") != "close":
            count += 1
        counts.append(count)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(load())
        await until(lambda: len(origin.requests) > 200)
        await edge.worker.drain()
    assert len(counts) == 20
    assert edge.counter("client_gone") == 0
