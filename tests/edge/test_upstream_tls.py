"""TLS to upstreams: who is believed, what we prove, and that an answer cut short never looks whole."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.edge.config_upstreams import TargetConfig, UpstreamConfig, UpstreamTlsConfig
from proxy.edge.upstream_tls import TlsFileFault, load_client_context
from tests.edge.conftest import Edge, StartEdge, until
from tests.edge.origins import bodies
from tests.support.authority import Authority, Pair
from tests.support.client import get, post
from tests.support.origin import Origin
from tests.support.tls_origin import TlsOrigin

NAME = "up.example"


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trusted"))


@pytest.fixture(scope="module")
def up_pair(trusted: Authority) -> Pair:
    return trusted.issue("up", NAME)


@pytest.fixture
async def secure(up_pair: Pair) -> AsyncIterator[TlsOrigin]:
    made = TlsOrigin(up_pair)
    await made.start()
    yield made
    await made.close()


def https(origin: TlsOrigin, tls: UpstreamTlsConfig) -> UpstreamConfig:
    target = TargetConfig("127.0.0.1", origin.port, is_tls=True)
    return UpstreamConfig("default", (target,), tls=tls)


async def reconfigure(edge: Edge, upstream: UpstreamConfig) -> None:
    """As a CONFIGURE frame does."""
    context = edge.worker.context
    await context.configure(replace(context.config, upstreams=(upstream,)))


async def test_https_target_is_asked_by_its_name_and_its_connection_kept(
    start_edge: StartEdge, secure: TlsOrigin, trusted: Authority
):
    """SNI and the name in the certificate are the same one; HTTP/1.1 is all that we offer."""
    tls = UpstreamTlsConfig(ca=str(trusted.certificate), server_name=NAME)
    edge = await start_edge(upstreams=(https(secure, tls),))
    assert await bodies(edge, 3) == ["hello"] * 3
    assert (secure.names, secure.protocols) == ([NAME], ["http/1.1"])
    assert [head.get("host") for head in secure.heads] == ["example.com"] * 3
    large = bytes(range(256)) * 8192
    client = await edge.connect()
    assert (await client.fetch(post(large))).body == large


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"ca": None}, id="an authority that the system does not know"),
        pytest.param({"server_name": "other.example"}, id="another name than the certificate's"),
        pytest.param({"server_name": None}, id="the address, which the certificate does not have"),
    ],
)
async def test_target_that_cannot_prove_its_name_gets_nothing(
    start_edge: StartEdge, secure: TlsOrigin, trusted: Authority, change: dict[str, str | None]
):
    """Not the request's head, not a byte: it has fields that are for the gateway alone."""
    facts: dict[str, Any] = {"ca": str(trusted.certificate), "server_name": NAME} | change
    edge = await start_edge(upstreams=(https(secure, UpstreamTlsConfig(**facts)),))
    client = await edge.connect()
    assert (await client.fetch(get())).status == 502
    assert secure.heads == []
    assert edge.counter("upstream_connect_errors") == 1


async def test_unproved_target_is_used_when_verification_is_off(start_edge: StartEdge, secure: TlsOrigin):
    """Somebody else's decision, made in so many words."""
    edge = await start_edge(upstreams=(https(secure, UpstreamTlsConfig(verify=False, server_name=NAME)),))
    assert await bodies(edge, 1) == ["hello"]
    assert secure.names == [NAME]


async def test_we_prove_ourselves_when_asked(
    start_edge: StartEdge, up_pair: Pair, trusted: Authority, tmp_path: Path
):
    """Mutual TLS; without our certificate the handshake fails, which is 502."""
    ours = trusted.issue("edge", "edge.example")
    origin = TlsOrigin(up_pair, trusted.certificate)
    await origin.start()
    facts: dict[str, Any] = {"ca": str(trusted.certificate), "server_name": NAME}
    proved = UpstreamTlsConfig(**facts, certificate=str(ours.certificate), key=str(ours.key))
    edge = await start_edge(upstreams=(https(origin, proved),))
    assert await bodies(edge, 1) == ["hello"]
    assert origin.subjects == ["edge.example"]
    await reconfigure(edge, https(origin, UpstreamTlsConfig(**facts)))
    client = await edge.connect()
    assert (await client.fetch(get())).status == 502
    await origin.close()


async def test_connection_of_other_rules_is_not_used_again(
    start_edge: StartEdge, secure: TlsOrigin, trusted: Authority
):
    """The pool's key has the TLS identity: what was made without verification is no connection for later."""
    unproved = https(secure, UpstreamTlsConfig(verify=False, server_name=NAME))
    edge = await start_edge(upstreams=(unproved,))
    assert await bodies(edge, 2) == ["hello"] * 2
    proved = https(secure, UpstreamTlsConfig(ca=str(trusted.certificate), server_name=NAME))
    await reconfigure(edge, proved)
    assert await bodies(edge, 2) == ["hello"] * 2
    assert len(secure.writers) == 2
    await reconfigure(edge, proved)
    assert await bodies(edge, 2) == ["hello"] * 2
    assert len(secure.writers) == 2, "an unchanged reload keeps connections"


async def test_replaced_authority_counts_from_the_next_reload_on(
    start_edge: StartEdge, secure: TlsOrigin, trusted: Authority, tmp_path: Path
):
    """Certificates are renewed by others, in place."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(trusted.certificate.read_bytes())
    upstream = https(secure, UpstreamTlsConfig(ca=str(ca), server_name=NAME))
    edge = await start_edge(upstreams=(upstream,))
    assert await bodies(edge, 1) == ["hello"]
    ca.write_bytes(Authority(tmp_path / "other").certificate.read_bytes())
    await edge.worker.context.configure(edge.worker.context.config)
    client = await edge.connect()
    assert (await client.fetch(get())).status == 502


@pytest.mark.parametrize(("is_proper", "end"), [(True, "whole"), (False, "reset")])
async def test_close_delimited_answer_without_close_notify_is_cut(
    start_edge: StartEdge, secure: TlsOrigin, trusted: Authority, is_proper: bool, end: str
):
    """A FIN can be forged by anybody on the way; the end of TLS cannot."""

    async def to_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await secure.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart")
        await writer.drain()
        if is_proper:
            writer.close()
        else:
            writer.transport.abort()

    secure.handle = to_close
    tls = UpstreamTlsConfig(ca=str(trusted.certificate), server_name=NAME)
    edge = await start_edge(upstreams=(https(secure, tls),))
    client = await edge.connect()
    await client.send(get())
    if end == "whole":
        assert (await client.read_response()).body == b"part"
    else:
        assert await client.see_end() == "reset"


async def test_handshake_that_never_ends_is_504(start_edge: StartEdge, origin: Origin):
    """connect_seconds has the handshake in it."""

    async def silent(connection) -> None:
        await connection.see_end()

    origin.behave = silent
    target = TargetConfig("127.0.0.1", origin.port, is_tls=True)
    edge = await start_edge(upstreams=(UpstreamConfig("default", (target,), connect_seconds=0.2),))
    client = await edge.connect()
    assert (await client.fetch(get())).status == 504
    await until(lambda: origin.connections[0].is_closed)


async def test_plain_answer_on_a_tls_port_is_502(start_edge: StartEdge, origin: Origin):
    """Bytes that precede the handshake end it (CVE-2026-1642)."""

    async def clear(connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await connection.see_end()

    origin.behave = clear
    target = TargetConfig("127.0.0.1", origin.port, is_tls=True)
    edge = await start_edge(upstreams=(UpstreamConfig("default", (target,)),))
    client = await edge.connect()
    assert (await client.fetch(get())).status == 502


async def test_websocket_over_tls_is_a_tunnel(start_edge: StartEdge, secure: TlsOrigin, trusted: Authority):
    """A client that ends its side ends the tunnel: TLS here has one end for both directions."""

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await secure.read_head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await reader.read(65536):
            writer.write(data)

    secure.handle = upgrade
    tls = UpstreamTlsConfig(ca=str(trusted.certificate), server_name=NAME)
    edge = await start_edge(upstreams=(https(secure, tls),))
    client = await edge.connect()
    fields = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: a",
        "Sec-WebSocket-Version: 13",
    )
    await client.send(get("/", *fields))
    assert (await client.read_response()).status == 101
    await client.send(b"ping" * 1000)
    assert await client.read_exactly(4000) == b"ping" * 1000
    client.half_close()
    assert await client.see_end() == "fin"
    await until(lambda: edge.counter("tunnels_open") == 0)
    await until(lambda: edge.counter("upstream_open") == 0)


@pytest.mark.parametrize("key", ["ca", "certificate", "key"])
def test_file_at_fault_is_named(trusted: Authority, tmp_path: Path, key: str):
    """Missing, and not what it should be."""
    pair = trusted.issue("good", "a.example")
    facts: dict[str, Any] = {
        "ca": str(trusted.certificate),
        "certificate": str(pair.certificate),
        "key": str(pair.key),
    }
    with pytest.raises(TlsFileFault, match=r"none\.pem: cannot be read") as caught:
        load_client_context(UpstreamTlsConfig(**facts | {key: str(tmp_path / "none.pem")}))
    assert caught.value.key == key
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    with pytest.raises(TlsFileFault, match=r"rubbish\.pem"):
        load_client_context(UpstreamTlsConfig(**facts | {key: str(rubbish)}))


def test_key_that_is_anothers_or_encrypted_is_named(trusted: Authority):
    """Both would otherwise show only when the first request comes."""
    pair, other = trusted.issue("one", "a.example"), trusted.issue("two", "a.example")
    locked = trusted.issue("locked", "a.example", passphrase="secret")
    with pytest.raises(TlsFileFault, match="does not belong to"):
        load_client_context(UpstreamTlsConfig(certificate=str(pair.certificate), key=str(other.key)))
    with pytest.raises(TlsFileFault, match="is encrypted"):
        load_client_context(UpstreamTlsConfig(certificate=str(locked.certificate), key=str(locked.key)))
