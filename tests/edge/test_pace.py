"""Slow clients that are never silent, caps of one listener, and the budget of all buffers."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from proxy.edge.config import EdgeConfig
from proxy.edge.config_listeners import ListenerConfig
from proxy.edge.listener import Endpoint
from tests.edge.conftest import Edge, port_of, serving, until
from tests.support.client import Client, get
from tests.support.origin import Origin, OriginConnection, answer

MEGABYTE = 1_000_000


@contextlib.asynccontextmanager
async def paced_edge(
    origin: Origin, directory: Path, listener: ListenerConfig, **more: Any
) -> AsyncIterator[Edge]:
    """`more`: of the worker."""
    listeners = (listener, ListenerConfig("other"))
    config = EdgeConfig(
        upstream_port=origin.port, drain_seconds=0.0, linger_seconds=0.3, listeners=listeners, **more
    )
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        endpoints = [Endpoint(listener.name, first), Endpoint("other", second)]
        async with serving(config, endpoints, directory) as edge:
            edge.other_port = port_of(second)
            yield edge


async def send_large(connection: OriginConnection) -> None:
    """More than any buffer takes, to every request."""
    while True:
        await connection.read_request()
        await connection.send(answer(b"x" * (8 * MEGABYTE)))


async def test_listener_has_a_limit_of_its_own(origin: Origin, tmp_path: Path):
    """A crowd at the public door must leave room at the one for operators."""
    async with paced_edge(origin, tmp_path, ListenerConfig("public", connection_count=1)) as edge:
        first = await edge.connect()
        assert (await first.fetch(get())).status == 200
        shed = await edge.connect()
        await shed.send(get())
        assert (await shed.read_response()).status == 503
        other = await Client.connect(edge.other_port)
        assert (await other.fetch(get())).status == 200
        other.close()
        first.close()
        shed.close()
        await until(lambda: edge.worker.context.is_empty)
        assert (await (await edge.connect()).fetch(get())).status == 200


async def test_address_has_a_limit_of_its_own(origin: Origin, tmp_path: Path):
    """One client with a thousand connections is not a thousand clients."""
    async with paced_edge(origin, tmp_path, ListenerConfig("public", connections_per_address=2)) as edge:
        held = [await edge.connect() for _ in range(2)]
        for client in held:
            assert (await client.fetch(get())).status == 200
        shed = await edge.connect()
        await shed.send(get())
        assert (await shed.read_response()).status == 503
        other = await edge.connect(source="127.0.0.9")
        assert (await other.fetch(get())).status == 200
        held[0].close()
        shed.close()
        await until(lambda: len(edge.worker.context.connections) == 2)
        assert (await (await edge.connect()).fetch(get())).status == 200


async def keep_sending(client: Client, piece: bytes) -> None:
    """A piece every tenth of a second, until the edge ends it."""
    with contextlib.suppress(ConnectionError):
        while True:
            await client.send(piece)
            await asyncio.sleep(0.1)


async def test_body_below_the_minimum_rate_is_408(origin: Origin, tmp_path: Path):
    """A byte now and then keeps every idle limit quiet."""
    listener = ListenerConfig("public", minimum_body_bytes_per_second=1000, minimum_rate_seconds=0.5)
    async with paced_edge(origin, tmp_path, listener) as edge:
        client = await edge.connect()
        await client.send(get("/", "Content-Length: 1000000", method="POST"))
        trickle = asyncio.get_running_loop().create_task(keep_sending(client, b"x"))
        assert (await client.read_response()).status == 408
        assert edge.counter("slow_bodies") == 1
        trickle.cancel()
        await asyncio.wait([trickle])


async def test_body_above_the_minimum_rate_arrives(origin: Origin, tmp_path: Path):
    """Slow is not too slow: several periods go by."""
    listener = ListenerConfig("public", minimum_body_bytes_per_second=1000, minimum_rate_seconds=0.2)
    async with paced_edge(origin, tmp_path, listener) as edge:
        client = await edge.connect()
        await client.send(get("/", "Content-Length: 30000", method="POST"))
        for _ in range(30):
            await client.send(b"x" * 1000)
            await asyncio.sleep(0.1)
        assert (await client.read_response()).status == 200
        assert len(origin.requests[0].body) == 30000
        assert edge.counter("slow_bodies") == 0


async def test_client_whose_body_the_upstream_does_not_take_owes_nothing(origin: Origin, tmp_path: Path):
    """It is held by us."""
    gate = asyncio.Event()

    async def late(connection: OriginConnection) -> None:
        head = await connection.read_head()
        await gate.wait()
        await connection.read_body(head)
        await connection.send(answer())

    origin.behave = late
    listener = ListenerConfig("public", minimum_body_bytes_per_second=MEGABYTE, minimum_rate_seconds=0.2)
    async with paced_edge(origin, tmp_path, listener) as edge:
        client = await edge.connect()
        size = 20 * MEGABYTE
        await client.send(get("/", f"Content-Length: {size}", method="POST"))
        sending = asyncio.get_running_loop().create_task(client.send(b"x" * size))
        context = edge.worker.context
        await until(lambda: bool(context.held))
        looks = context.wheel.turn
        await until(lambda: context.wheel.turn > looks + 45)  # two rounds of the watch
        assert edge.counter("slow_bodies") == 0
        gate.set()
        await sending
        assert (await client.read_response()).status == 200


async def test_reader_below_the_minimum_rate_is_cut_off(origin: Origin, tmp_path: Path):
    """It takes something within every idle limit, and holds an upstream and a buffer for hours."""
    origin.behave = send_large
    listener = ListenerConfig(
        "public", minimum_send_bytes_per_second=100 * MEGABYTE, minimum_rate_seconds=0.5
    )
    async with paced_edge(origin, tmp_path, listener) as edge:
        client = await edge.connect(receive_buffer_bytes=8192)
        await client.send(get())
        with contextlib.suppress(ConnectionError):
            while True:
                assert await client.receive(1000) != b""
                await asyncio.sleep(0.05)
        assert edge.counter("slow_readers") == 1
        await until(lambda: edge.counter("upstream_open") == 0)


async def test_reader_above_the_minimum_rate_is_served(origin: Origin, tmp_path: Path):
    origin.behave = send_large
    listener = ListenerConfig("public", minimum_send_bytes_per_second=1000, minimum_rate_seconds=0.2)
    async with paced_edge(origin, tmp_path, listener) as edge:
        client = await edge.connect(receive_buffer_bytes=8192)
        await client.send(get())
        head = await client.read_head()
        for _ in range(25):
            await client.read_exactly(20000)
            await asyncio.sleep(0.1)
        left = int(head.get("content-length") or 0) - 25 * 20000
        assert len(await client.read_exactly(left)) == left
        assert edge.counter("slow_readers") == 0


async def test_slowest_readers_go_when_all_together_hold_too_much(origin: Origin, tmp_path: Path):
    """Each is within its own limits; a thousand of them would take the worker's memory."""
    origin.behave = send_large
    # Each that stops to read leaves more than 64 KiB.
    budget = 1 * MEGABYTE
    async with paced_edge(
        origin, tmp_path, ListenerConfig("public"), buffer_bytes=budget, write_buffer_bytes=65536
    ) as edge:
        silent = [await edge.connect(receive_buffer_bytes=8192) for _ in range(40)]
        for client in silent:
            await client.send(get())
        context = edge.worker.context
        await until(lambda: edge.counter("closed_for_memory") > 0)
        await until(lambda: sum(client.held_bytes for client in context.connections) <= budget)
        assert 0 < len(context.connections) < 40
        assert await silent[0].see_end() == "reset"  # the one that has waited for the longest time
        fast = await edge.connect()
        await fast.send(get())
        head = await fast.read_head()
        assert len(await fast.read_body(head)) == 8 * MEGABYTE
        await until(lambda: 0 < edge.counter("buffered_bytes") <= budget)
        for client in silent:
            client.close()
        await until(lambda: edge.counter("buffered_bytes") == 0)
        assert not context.pace.unread


async def test_tunnel_that_is_not_read_counts_too(origin: Origin, tmp_path: Path):
    """What a websocket's client leaves unread lies in the same memory."""

    async def flood(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            while True:
                await connection.send(b"x" * 65536)

    origin.behave = flood
    fields = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: a",
    )
    listener = ListenerConfig("public", minimum_send_bytes_per_second=1000, minimum_rate_seconds=0.2)
    async with paced_edge(origin, tmp_path, listener) as edge:
        client = await edge.connect(receive_buffer_bytes=8192)
        await client.send(get("/", *fields))
        await until(lambda: edge.counter("slow_readers") == 1)
        assert await client.see_end() == "reset"
        await until(lambda: edge.counter("tunnels_open") == 0)
