"""Several listeners of one worker, each with its own rules."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from fastmatch._native import Entry
from proxy.edge.config import EdgeConfig
from proxy.edge.config_listeners import ListenerConfig
from proxy.edge.listener import Endpoint
from tests.edge.conftest import Edge, port_of, serving, until
from tests.support.client import Client, get
from tests.support.origin import Origin, OriginConnection, answer


@contextlib.asynccontextmanager
async def open_edge(
    origin: Origin, directory: Path, *listeners: ListenerConfig, entries: tuple[Entry, ...] = ()
) -> AsyncIterator[tuple[Edge, dict[str, int]]]:
    """(the worker, port by listener)"""
    config = EdgeConfig(upstream_port=origin.port, drain_seconds=0.0, linger_seconds=0.5, listeners=listeners)
    with contextlib.ExitStack() as stack:
        sockets = {
            listener.name: stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for listener in listeners
        }
        endpoints = [Endpoint(name, opened) for name, opened in sockets.items()]
        async with serving(config, endpoints, directory, entries) as edge:
            yield edge, {name: port_of(opened) for name, opened in sockets.items()}


async def test_each_listener_drops_by_its_own_score(origin: Origin, tmp_path: Path):
    """The public door is stricter than the one that partners use."""
    strict, mild = ListenerConfig("strict", drop_score=8.0), ListenerConfig("mild", drop_score=10.0)
    bad = Entry("127.0.0.66", score=9)
    async with open_edge(origin, tmp_path, strict, mild, entries=(bad,)) as (edge, ports):
        dropped = await Client.connect(ports["strict"], source="127.0.0.66")
        assert await dropped.see_end() == "reset"
        denied = await Client.connect(ports["mild"], source="127.0.0.66")
        assert (await denied.fetch(get())).status == 403
        assert edge.counter("dropped") == 1
        denied.close()
        dropped.close()


async def test_half_close_is_the_listeners_own(origin: Origin, tmp_path: Path):
    """`serve` on one listener must not make `cancel` of another forget clients that left."""
    serve = ListenerConfig("serve", half_close="serve")
    async with open_edge(origin, tmp_path, serve, ListenerConfig("cancel")) as (edge, ports):
        gate = asyncio.Event()

        async def held(connection: OriginConnection) -> None:
            await connection.read_request()
            await gate.wait()
            await connection.send(answer())

        origin.behave = held
        clients = {name: await Client.connect(port) for name, port in ports.items()}
        for client in clients.values():
            await client.send(get())
        await until(lambda: len(origin.requests) == 2)
        for client in clients.values():
            client.half_close()
        assert await clients["cancel"].read_to_end() == b""
        await until(lambda: edge.counter("client_gone") == 1)
        gate.set()
        assert (await clients["serve"].read_response()).body == b"hello"
        for client in clients.values():
            client.close()


async def test_listener_waits_until_the_configuration_knows_it(origin: Origin, tmp_path: Path):
    """Before control has attached nobody can say what this door is to speak: served by guess, one that is for
    TLS would be open in clear text. What the kernel has queued is served afterwards."""
    async with open_edge(origin, tmp_path, ListenerConfig("known")) as (edge, _):
        context = edge.worker.context
        with socket.create_server(("127.0.0.1", 0)) as later:
            await context.listeners.start([Endpoint("later", later)])
            client = await Client.connect(port_of(later))
            await client.send(get())
            assert (await (await edge.connect()).fetch(get())).status == 200
            assert edge.counter("connections") == 1
            listeners = (*context.config.listeners, ListenerConfig("later"))
            await context.configure(replace(context.config, listeners=listeners))
            assert (await client.read_response()).status == 200
            client.close()


async def test_reload_reaches_open_connections(origin: Origin, tmp_path: Path):
    """Half-close of the listener is read at the moment it counts, not at accept."""
    gate = asyncio.Event()

    async def held(connection: OriginConnection) -> None:
        await connection.read_request()
        await gate.wait()
        await connection.send(answer())

    origin.behave = held
    async with open_edge(origin, tmp_path, ListenerConfig("a")) as (edge, ports):
        client = await Client.connect(ports["a"])
        await client.send(get())
        await until(lambda: len(origin.requests) == 1)
        context = edge.worker.context
        await context.configure(replace(context.config, listeners=(ListenerConfig("a", half_close="serve"),)))
        client.half_close()
        gate.set()
        assert (await client.read_response()).body == b"hello"
        client.close()


async def test_unix_listener_serves_as_loopback(origin: Origin, tmp_path: Path):
    """A peer on a unix socket has no address; it counts as this machine."""
    path = tmp_path / "edge.sock"
    listener = ListenerConfig("local")
    config = EdgeConfig(upstream_port=origin.port, drain_seconds=0.0, listeners=(listener,))
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))
        opened.listen()
        async with serving(config, [Endpoint("local", opened)], tmp_path):
            endpoint = socket.socket(socket.AF_UNIX)
            endpoint.setblocking(False)
            await asyncio.get_running_loop().sock_connect(endpoint, str(path))
            client = Client(endpoint)
            assert (await client.fetch(get())).body == b"hello"
            assert origin.requests[0].head.get("x-forwarded-for") == "127.0.0.1"
            client.close()
