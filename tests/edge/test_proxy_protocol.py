"""PROXY headers: believed of the proxies that are named, before TLS, and judged like a direct connection."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastmatch._native import Entry
from proxy.edge.config import EdgeConfig
from proxy.edge.config_listeners import ListenerConfig, TlsConfig
from proxy.edge.listener import Endpoint
from tests.edge.conftest import Edge, serving, until
from tests.support.authority import Pair
from tests.support.client import Client, get
from tests.support.origin import Origin
from tests.support.tls_client import TlsClient, client_context

PROXY = "127.0.0.2"
CLIENT = "203.0.113.9"
LINE = f"PROXY TCP4 {CLIENT} 192.0.2.2 12345 443\r\n".encode()
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


def binary(source: str) -> bytes:
    """Version 2."""
    addresses = socket.inet_aton(source) + socket.inet_aton("192.0.2.2") + struct.pack(">HH", 12345, 443)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(addresses)) + addresses


@contextlib.asynccontextmanager
async def proxied_edge(
    origin: Origin, directory: Path, *entries: Entry, trusted: tuple[str, ...] = (), **more: Any
) -> AsyncIterator[Edge]:
    """`more`: of the listener."""
    listener = ListenerConfig(
        "proxied", proxy_protocol="required", proxy_protocol_from=(f"{PROXY}/32",), **more
    )
    config = EdgeConfig(
        upstream_port=origin.port,
        drain_seconds=0.0,
        linger_seconds=0.3,
        trusted_proxies=trusted,
        listeners=(listener,),
    )
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        async with serving(config, [Endpoint("proxied", endpoint)], directory, entries) as edge:
            yield edge


@pytest.mark.parametrize("header", [LINE, binary(CLIENT)])
async def test_client_is_the_one_that_the_header_names(origin: Origin, tmp_path: Path, header: bytes):
    """Identity, verdict and what goes upstream; the request may come in the same segment."""
    async with proxied_edge(origin, tmp_path, Entry("203.0.113.66", score=9)) as edge:
        client = await edge.connect(source=PROXY)
        assert (await client.fetch(header + get())).body == b"hello"
        assert (await client.fetch(get())).status == 200
        assert [request.head.all("x-forwarded-for") for request in origin.requests] == [[CLIENT]] * 2
        denied = await edge.connect(source=PROXY)
        assert (await denied.fetch(binary("203.0.113.66") + get())).status == 403


@pytest.mark.parametrize("header", [LINE, binary(CLIENT)])
async def test_header_in_single_bytes_is_one(origin: Origin, tmp_path: Path, header: bytes):
    async with proxied_edge(origin, tmp_path) as edge:
        client = await edge.connect(source=PROXY)
        await client.send_slowly(header + get())
        assert (await client.read_response()).status == 200
        assert origin.requests[0].head.get("x-real-ip") == CLIENT


async def test_named_client_may_be_a_trusted_proxy_itself(origin: Origin, tmp_path: Path):
    """A balancer in front of a proxy of ours: its X-Forwarded-For is believed, nobody else's."""
    async with proxied_edge(origin, tmp_path, trusted=("203.0.113.0/24",)) as edge:
        client = await edge.connect(source=PROXY)
        await client.fetch(LINE + get("/", "X-Forwarded-For: 198.51.100.1"))
        stranger = await edge.connect(source=PROXY)
        await stranger.fetch(binary("192.0.2.77") + get("/", "X-Forwarded-For: 198.51.100.1"))
        found = [request.head.get("x-real-ip") for request in origin.requests]
        assert found == ["198.51.100.1", "192.0.2.77"]


async def test_proxy_speaks_for_itself(origin: Origin, tmp_path: Path):
    """LOCAL and UNKNOWN: health checks of the balancer."""
    async with proxied_edge(origin, tmp_path) as edge:
        for header in (LOCAL, b"PROXY UNKNOWN\r\n"):
            client = await edge.connect(source=PROXY)
            assert (await client.fetch(header + get())).status == 200
        assert [request.head.get("x-real-ip") for request in origin.requests] == [PROXY] * 2


@pytest.mark.parametrize("first", [get(), b"\x16\x03\x01", LINE.replace(b"\r", b""), binary(CLIENT)[:-1]])
async def test_proxy_without_a_right_header_is_refused(origin: Origin, tmp_path: Path, first: bytes):
    """ "Optional" would let the client write it."""
    async with proxied_edge(origin, tmp_path, proxy_header_seconds=0.1) as edge:
        client = await edge.connect(source=PROXY)
        await client.send(first)
        assert await client.see_end() == "reset"
        assert edge.counter("proxy_headers_refused") + edge.counter("proxy_header_timeouts") == 1
        assert origin.requests == []
        assert edge.worker.context.is_empty


async def test_header_of_somebody_else_is_refused(origin: Origin, tmp_path: Path):
    """Whoever may send it chooses the address that is judged."""
    async with proxied_edge(origin, tmp_path) as edge:
        client = await edge.connect(source="127.0.0.3")
        assert await client.see_end() == "reset"
        assert edge.counter("proxy_headers_refused") == 1


async def test_others_may_come_without_a_header_where_that_is_said(origin: Origin, tmp_path: Path):
    """A header of theirs is then a bad request and nothing else."""
    async with proxied_edge(origin, tmp_path, proxy_protocol_others="plain") as edge:
        client = await edge.connect(source="127.0.0.3")
        assert (await client.fetch(get())).status == 200
        assert origin.requests[0].head.get("x-real-ip") == "127.0.0.3"
        liar = await edge.connect(source="127.0.0.3")
        assert (await liar.fetch(LINE + get())).status == 400


async def test_header_that_does_not_come_ends_at_its_deadline(origin: Origin, tmp_path: Path):
    """Before anything else is known of the connection."""
    async with proxied_edge(origin, tmp_path, proxy_header_seconds=0.1) as edge:
        client = await edge.connect(source=PROXY)
        await client.send(LINE[:10])
        assert await client.see_end() == "reset"
        assert edge.counter("proxy_header_timeouts") == 1


async def test_drop_score_judges_the_named_client_and_not_the_proxy(origin: Origin, tmp_path: Path):
    """Lists may well know the balancer's network; the drop is for who comes through it."""
    entries = (Entry(PROXY, score=10), Entry(CLIENT, score=9))
    async with proxied_edge(origin, tmp_path, *entries, drop_score=8.0) as edge:
        dropped = await edge.connect(source=PROXY)
        await dropped.send(LINE)
        assert await dropped.see_end() == "reset"
        assert edge.counter("dropped") == 1
        served = await edge.connect(source=PROXY)
        assert (await served.fetch(binary("192.0.2.1") + get())).status == 200


async def test_header_comes_before_the_handshake(origin: Origin, tmp_path: Path, pair: Pair):
    """As HAProxy and cloud balancers send it; within TLS it would be the client's own."""
    async with proxied_edge(origin, tmp_path, tls=TlsConfig((pair.files,))) as edge:
        client = await TlsClient.connect(edge.port, source=PROXY)
        edge.clients.append(client)
        await client.send_raw(LINE)
        await client.begin_tls(client_context())
        assert (await client.fetch(get())).status == 200
        head = origin.requests[0].head
        assert (head.get("x-real-ip"), head.get("x-forwarded-proto")) == (CLIENT, "https")
        late = await TlsClient.connect(edge.port, source=PROXY)
        with pytest.raises((ConnectionResetError, EOFError, ssl.SSLError)):
            await late.begin_tls(client_context())
        late.socket.close()


async def test_unix_socket_takes_the_header_of_everybody(origin: Origin, tmp_path: Path):
    """Its mode says who may connect."""
    path = tmp_path / "edge.sock"
    listener = ListenerConfig("local", proxy_protocol="required")
    config = EdgeConfig(upstream_port=origin.port, drain_seconds=0.0, listeners=(listener,))
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))
        opened.listen()
        async with serving(config, [Endpoint("local", opened)], tmp_path):
            endpoint = socket.socket(socket.AF_UNIX)
            endpoint.setblocking(False)
            await asyncio.get_running_loop().sock_connect(endpoint, str(path))
            client = Client(endpoint)
            assert (await client.fetch(LINE + get())).status == 200
            assert origin.requests[0].head.get("x-real-ip") == CLIENT
            client.close()


@pytest.mark.parametrize("over_tls", [False, True])
async def test_limits_count_the_named_client_once(origin: Origin, tmp_path: Path, pair: Pair, over_tls: bool):
    """Not the proxy, and not each layer that a connection goes through."""
    tls = TlsConfig((pair.files,)) if over_tls else None

    async def open_as(edge: Edge, address: str) -> Client:
        kind = TlsClient if over_tls else Client
        client = await kind.connect(edge.port, source=PROXY)
        edge.clients.append(client)
        await client.send_raw(binary(address))
        if isinstance(client, TlsClient):
            await client.begin_tls(client_context())
        await client.send(get())
        return client

    more: dict[str, Any] = {"connections_per_address": 1, "connection_count": 2}
    async with proxied_edge(origin, tmp_path, tls=tls, **more) as edge:
        for address in ("192.0.2.1", "192.0.2.2"):
            assert (await (await open_as(edge, address)).read_response()).status == 200
        assert [entrance.open_count for entrance in edge.worker.context.entrances.values()] == [2]
    async with proxied_edge(origin, tmp_path, tls=tls, connections_per_address=1) as edge:
        assert (await (await open_as(edge, "192.0.2.1")).read_response()).status == 200
        if over_tls:
            with pytest.raises((ConnectionError, EOFError)):
                await open_as(edge, "192.0.2.1")
        else:
            assert (await (await open_as(edge, "192.0.2.1")).read_response()).status == 503
        assert (await (await open_as(edge, "192.0.2.2")).read_response()).status == 200


async def test_connections_that_have_said_nothing_count_and_are_drained(origin: Origin, tmp_path: Path):
    async with proxied_edge(origin, tmp_path) as edge:
        edge.configure(connection_count=1)
        silent = await Client.connect(edge.port, source=PROXY)
        await until(lambda: len(edge.worker.context.arriving) == 1)
        shed = await edge.connect(source=PROXY)
        assert await shed.see_end() == "reset"
        assert edge.counter("connections_shed") == 1
    assert await silent.see_end() in ("fin", "reset")
    silent.close()
