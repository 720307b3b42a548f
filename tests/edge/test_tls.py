"""TLS as a layer of the edge: who gets which certificate, who gets in, and what an end looks like.

That requests, bodies, tunnels and faults are the same over TLS is shown by the modules that say `OVER_TLS`.
"""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.edge.certificate_names import dns_names
from proxy.edge.config import EdgeConfig
from proxy.edge.config_listeners import ListenerConfig, TlsConfig
from proxy.edge.listener import Endpoint
from tests.edge.conftest import Edge, StartEdge, serving, until
from tests.support.authority import Authority, Pair
from tests.support.client import Client, get
from tests.support.origin import Origin, OriginConnection, answer
from tests.support.tls_client import TlsClient, client_context


@contextlib.asynccontextmanager
async def tls_edge(origin: Origin, directory: Path, tls: TlsConfig, **more: Any) -> AsyncIterator[Edge]:
    """`more`: of the listener."""
    listener = ListenerConfig("tls", tls=tls, **more)
    config = EdgeConfig(
        upstream_port=origin.port, drain_seconds=0.0, linger_seconds=0.3, listeners=(listener,)
    )
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        async with serving(config, [Endpoint("tls", endpoint)], directory) as edge:
            yield edge


async def connect(
    edge: Edge,
    context: ssl.SSLContext | None = None,
    name: str | None = "a.example",
    session: ssl.SSLSession | None = None,
) -> TlsClient:
    client = await TlsClient.connect(edge.port)
    edge.clients.append(client)
    await client.begin_tls(context or client_context(), name, session)
    return client


def name_shown(client: TlsClient) -> str:
    """The first name of the certificate that the edge has shown."""
    shown = client.tls.getpeercert(binary_form=True)
    assert shown is not None
    return dns_names(ssl.DER_cert_to_PEM_cert(shown))[0]


async def test_request_over_tls_is_verified_served_and_told_as_https(
    origin: Origin, tmp_path: Path, authority: Authority, pair: Pair
):
    """A client that checks chain and name; the upstream hears what the client spoke."""
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        client = await connect(edge, client_context(authority.certificate))
        assert (await client.fetch(get())).body == b"hello"
        assert origin.requests[0].head.get("x-forwarded-proto") == "https"
        assert client.tls.version() == "TLSv1.3"
        assert edge.counter("tls_handshakes") == 1


async def test_certificate_is_chosen_by_name(
    origin: Origin, tmp_path: Path, authority: Authority, pair: Pair
):
    """Exact before wildcard, one label deep; the first for everybody else."""
    pairs = (pair, authority.issue("wild", "*.w.example"), authority.issue("exact", "x.w.example"))
    async with tls_edge(origin, tmp_path, TlsConfig(tuple(each.files for each in pairs))) as edge:
        for asked, shown in {
            "a.example": "a.example",
            "X.W.example": "x.w.example",
            "y.w.example": "a.example",  # the first certificate names *.w.example too
            "w.example": "a.example",
            "y.x.w.example": "a.example",
            "unknown.example": "a.example",
            None: "a.example",
        }.items():
            client = await connect(edge, name=asked)
            assert name_shown(client) == shown, asked
            assert (await client.fetch(get())).status == 200


async def test_wildcard_covers_one_label(origin: Origin, tmp_path: Path, authority: Authority):
    """RFC 6125 section 6.4.3."""
    pairs = (authority.issue("first", "first.example"), authority.issue("wild2", "*.v.example"))
    async with tls_edge(origin, tmp_path, TlsConfig(tuple(each.files for each in pairs))) as edge:
        for asked, shown in {
            "a.v.example": "*.v.example",
            "b.a.v.example": "first.example",
            "v.example": "first.example",
        }.items():
            assert name_shown(await connect(edge, name=asked)) == shown


@pytest.mark.parametrize(
    ("lowest", "offered", "is_served"),
    [
        ("1.2", ssl.TLSVersion.TLSv1_2, True),
        ("1.3", ssl.TLSVersion.TLSv1_3, True),
        ("1.3", ssl.TLSVersion.TLSv1_2, False),
    ],
)
async def test_version_below_the_minimum_is_refused(
    origin: Origin, tmp_path: Path, pair: Pair, lowest: Any, offered: ssl.TLSVersion, is_served: bool
):
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,), minimum_version=lowest)) as edge:
        context = client_context()
        context.maximum_version = offered
        if is_served:
            assert (await (await connect(edge, context)).fetch(get())).status == 200
        else:
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
                await connect(edge, context)
            assert edge.counter("tls_failures") == 1
            assert (await (await connect(edge)).fetch(get())).status == 200


async def test_only_http1_is_negotiated(origin: Origin, tmp_path: Path, pair: Pair):
    """A client that was told h2 would speak it."""
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        for offered, chosen in [(["h2", "http/1.1"], "http/1.1"), (["h2"], None)]:
            context = client_context()
            context.set_alpn_protocols(offered)
            assert (await connect(edge, context)).tls.selected_alpn_protocol() == chosen


async def is_let_in(edge: Edge, context: ssl.SSLContext) -> bool:
    """With TLS 1.3 a client believes in its handshake before the server has looked at its certificate."""
    try:
        client = await connect(edge, context)
        return (await client.fetch(get())).status == 200
    except (ssl.SSLError, ConnectionResetError, EOFError):
        return False


@pytest.mark.parametrize("asked", ["optional", "required"])
async def test_client_certificate_is_checked(
    origin: Origin, tmp_path: Path, authority: Authority, pair: Pair, asked: Any
):
    """Of the own authority: in. Of another: out, also where none is needed."""
    tls = TlsConfig((pair.files,), "1.3", asked, str(authority.certificate))
    stranger = Authority(tmp_path / "stranger").issue("client", "client")
    async with tls_edge(origin, tmp_path, tls) as edge:
        bare, known, unknown = client_context(), client_context(), client_context()
        own = authority.issue(f"client-{asked}", "client")
        known.load_cert_chain(own.certificate, own.key)
        unknown.load_cert_chain(stranger.certificate, stranger.key)
        assert await is_let_in(edge, known)
        assert await is_let_in(edge, bare) == (asked == "optional")
        assert not await is_let_in(edge, unknown)
        assert len(origin.requests) == (2 if asked == "optional" else 1)


async def sessions_of(client: TlsClient) -> ssl.SSLSession | None:
    """Tickets come with the first answer."""
    assert (await client.fetch(get())).status == 200
    return client.tls.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_session_is_resumed_without_client_certificates(
    origin: Origin, tmp_path: Path, pair: Pair, version: ssl.TLSVersion
):
    """What makes a reconnect cheap."""
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        context = client_context()
        context.maximum_version = version
        session = await sessions_of(await connect(edge, context))
        again = await connect(edge, context, session=session)
        assert again.tls.session_reused


async def test_no_session_is_resumed_where_client_certificates_are_asked_for(
    origin: Origin, tmp_path: Path, authority: Authority, pair: Pair
):
    """It would stand for a certificate that nobody looks at again (CVE-2025-23419)."""
    tls = TlsConfig((pair.files,), "1.3", "required", str(authority.certificate))
    async with tls_edge(origin, tmp_path, tls) as edge:
        own = authority.issue("resuming", "client")
        context = client_context()
        context.load_cert_chain(own.certificate, own.key)
        session = await sessions_of(await connect(edge, context))
        again = await connect(edge, context, session=session)
        assert not again.tls.session_reused


async def test_handshake_that_is_not_done_in_time_is_closed(origin: Origin, tmp_path: Path, pair: Pair):
    """Silent, or with half a hello: the cheapest way to hold what a connection costs."""
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,)), handshake_seconds=0.1) as edge:
        silent, halfway = await Client.connect(edge.port), await Client.connect(edge.port)
        await halfway.send(b"\x16\x03\x01\x02\x00\x01")
        assert await silent.see_end() == "fin"
        assert await halfway.see_end() in ("fin", "reset")
        assert edge.counter("handshake_timeouts") == 2
        assert edge.worker.context.is_empty
        silent.close()
        halfway.close()


async def test_handshake_in_single_bytes_is_one(origin: Origin, tmp_path: Path, pair: Pair):
    """Where segments end is nobody's choice."""
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        client = await TlsClient.connect(edge.port)
        edge.clients.append(client)
        sent = client.send_raw

        async def in_single_bytes(data: bytes) -> None:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(len(data)):
                await sent(data[start : start + 1])
                await asyncio.sleep(0)

        client.send_raw = in_single_bytes  # type: ignore[method-assign] # this one client sends so
        await client.begin_tls(client_context())
        assert (await client.fetch(get())).status == 200
        await client.send(get("/1") + get("/2"))
        assert [(await client.read_response()).status for _ in range(2)] == [200, 200]


async def test_http_on_the_tls_port_is_told_so(origin: Origin, tmp_path: Path, pair: Pair):
    """In clear text, because that is what the client understands."""
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        client = await Client.connect(edge.port)
        response = await client.fetch(get())
        assert (response.status, response.head.get("connection")) == (400, "close")
        assert b"TLS" in response.body
        assert await client.see_end() == "fin"
        client.close()
        assert origin.requests == []


async def test_anything_before_the_handshake_is_refused(origin: Origin, tmp_path: Path, pair: Pair):
    """Bytes put in front of a handshake would be the first of a request (CVE-2026-1642)."""
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        for first in (b"\x00", b"\r\n", b"\x17\x03\x03\x00\x01a"):
            client = await Client.connect(edge.port)
            await client.send(first)
            assert await client.see_end() == "reset"
            client.close()
        spoilt = await TlsClient.connect(edge.port)
        await spoilt.send_raw(b"GET / HTTP/1.1\r\n")
        with pytest.raises((ssl.SSLError, EOFError, ConnectionResetError)):
            await spoilt.begin_tls(client_context())
        spoilt.socket.close()
        assert origin.requests == []
        assert edge.counter("tls_failures") == 4


async def test_record_that_is_not_the_clients_ends_the_connection(origin: Origin, tmp_path: Path, pair: Pair):
    """Injected into the stream, it must reach nobody."""
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        client = await connect(edge)
        await client.fetch(get())
        await client.send_raw(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with pytest.raises((ssl.SSLError, EOFError, ConnectionResetError)):
            await client.receive()
        await until(lambda: edge.worker.context.is_empty)
        assert edge.counter("tls_failures") == 1


async def test_whole_answers_end_in_close_notify_and_cut_ones_in_a_reset(
    origin: Origin, tmp_path: Path, pair: Pair
):
    """A close-delimited body has nothing else that tells the two apart (RFC 9112 section 9.8)."""

    async def half(connection: OriginConnection) -> None:
        request = await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf!")
        if "whole" in request.head.start_line:
            await connection.send(b"whole")
        else:
            connection.reset()

    origin.behave = half
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        whole = await connect(edge)
        assert (await whole.fetch(get("/whole", "Connection: close"))).body == b"half!whole"
        assert await whole.receive() == b""
        cut = await connect(edge)
        await cut.send(get("/cut"))
        await cut.read_head()
        with pytest.raises((ConnectionResetError, EOFError)):
            await cut.read_to_end()


async def test_client_that_cuts_is_gone_whatever_half_close_says(origin: Origin, tmp_path: Path, pair: Pair):
    """`serve` is for a client that has said that it only stops sending; a FIN without that says nothing."""
    ends: list[str] = []

    async def wait(connection: OriginConnection) -> None:
        await connection.read_request()
        ends.append(await connection.see_end())

    origin.behave = wait
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,)), half_close="serve") as edge:
        client = await connect(edge)
        await client.send(get())
        await until(lambda: len(origin.requests) == 1)
        client.cut()
        await until(lambda: bool(ends))
        assert edge.counter("client_gone") == 1


async def test_tunnel_that_is_cut_ends_in_a_reset_upstream(origin: Origin, tmp_path: Path, pair: Pair):
    """The last message may be half of one."""
    ends: list[str] = []

    async def switch(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        ends.append(await connection.see_end())

    origin.behave = switch
    fields = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: a",
    )
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        client = await connect(edge)
        await client.send(get("/", *fields))
        assert (await client.read_head()).status == 101
        await client.send(b"half a message")
        client.cut()
        await until(lambda: bool(ends))
        assert ends == ["reset"]


def put(pair: Pair, at: Pair) -> None:
    """As a certificate manager does: new files under the old names."""
    for source, target in ((pair.certificate, at.certificate), (pair.key, at.key)):
        fresh = target.with_suffix(".new")
        shutil.copy(source, fresh)
        fresh.replace(target)


async def test_reload_takes_changed_files_and_leaves_connections_open(
    origin: Origin, tmp_path: Path, authority: Authority
):
    """What SIGHUP does: control sends the same configuration again."""
    live = Pair(tmp_path / "live.pem", tmp_path / "live.key")
    old, new = authority.issue("old", "old.example"), authority.issue("new", "new.example")
    put(old, live)
    async with tls_edge(origin, tmp_path, TlsConfig((live.files,))) as edge:
        context = edge.worker.context
        client = await connect(edge)
        kept = context.keyrings["tls"]
        await context.configure(context.config)
        assert context.keyrings["tls"] is kept  # and with it the sessions of its clients
        put(new, live)
        await context.configure(context.config)
        assert name_shown(await connect(edge)) == "new.example"
        assert (await client.fetch(get())).status == 200
        assert name_shown(client) == "old.example"


async def test_broken_files_keep_what_is_loaded(
    origin: Origin, tmp_path: Path, authority: Authority, pair: Pair
):
    """A half-written key at 3 a.m. is no outage; nothing of that configuration is taken."""
    live = Pair(tmp_path / "live.pem", tmp_path / "live.key")
    put(pair, live)
    async with tls_edge(origin, tmp_path, TlsConfig((live.files,))) as edge:
        context = edge.worker.context
        live.key.write_text("-----BEGIN PRIVATE KEY-----\n")
        with pytest.raises(ValueError, match=r"listener 'tls': .*live\.key: is no private key"):
            await context.configure(replace(context.config, via="other"))
        assert context.config.via == "sentra"
        assert name_shown(await connect(edge)) == "a.example"


async def test_listener_without_its_certificates_does_not_open(origin: Origin, tmp_path: Path, pair: Pair):
    """Better nobody is served than somebody in clear text."""
    tls = TlsConfig((pair.files,))
    async with tls_edge(origin, tmp_path, tls) as edge:
        context = edge.worker.context
        later = ListenerConfig("later", tls=tls)
        context.apply(replace(context.config, listeners=(*context.config.listeners, later)))
        with socket.create_server(("127.0.0.1", 0)) as opened:
            await context.listeners.start([Endpoint("later", opened)])
            client = await TlsClient.connect(opened.getsockname()[1])
            edge.clients.append(client)
            assert "later" not in context.entrances
            await context.configure(context.config)
            await client.begin_tls(client_context())
            assert (await client.fetch(get())).status == 200


async def test_drain_ends_handshakes_too(start_edge: StartEdge, origin: Origin, tmp_path: Path, pair: Pair):
    """Whoever has connected and says nothing does not hold up a stop."""
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        client = await Client.connect(edge.port)
        await until(lambda: len(edge.worker.context.arriving) == 1)
    assert await client.see_end() in ("fin", "reset")
    client.close()


async def test_curl_is_served(origin: Origin, tmp_path: Path, authority: Authority, pair: Pair):
    """A client that nobody here has written, with a body that needs many records."""
    body = bytes(range(256)) * 4096

    async def mirror(connection: OriginConnection) -> None:
        request = await connection.read_request()
        await connection.send(answer(request.body))

    origin.behave = mirror
    async with tls_edge(origin, tmp_path, TlsConfig((pair.files,))) as edge:
        curl = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--fail", "--http1.1", "--cacert", str(authority.certificate)),
            *("--resolve", f"a.example:{edge.port}:127.0.0.1", "--data-binary", "@-", "--output", "-"),
            f"https://a.example:{edge.port}/",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        received, _ = await curl.communicate(body)
        assert (curl.returncode, received == body) == (0, True)
