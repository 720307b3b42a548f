"""Rules S3-S10 on sockets: what the origin is told of the request, and what is never sent twice or on trust.

S1, S2, S7 and S8 stand in the corpus (tests/support/corpus.py), S6 in test_reuse.py, S9 in test_tunnel.py.
"""

import pytest

from tests.edge.conftest import Edge, StartEdge
from tests.support.client import get, post
from tests.support.origin import Origin, OriginConnection, answer


async def test_s3_via_of_earlier_hops_is_kept_and_ours_added(edge: Edge, origin: Origin):
    """RFC 9110 section 7.6.3: each hop with the version that it received."""
    client = await edge.connect()
    assert (await client.fetch(get("/", "Via: 1.0 first, 1.1 second"))).status == 200
    assert origin.requests[-1].head.all("via") == ["1.0 first, 1.1 second", "1.1 sentra"]
    old = await edge.connect()
    assert (await old.fetch(get("/", version="1.0"))).status == 200
    assert origin.requests[-1].head.all("via") == ["1.0 sentra"]


@pytest.mark.parametrize("via", ["1.1 sentra", "1.0 first, 1.1 SENTRA (edge)"])
async def test_s3_request_that_was_here_before_is_508(edge: Edge, origin: Origin, via: str):
    """A loop ends at its second round, not when connections run out."""
    client = await edge.connect()
    assert (await client.fetch(get("/", f"Via: {via}"))).status == 508
    assert origin.connections == []


async def test_s4_options_counts_its_hops_down_and_is_answered_at_zero(edge: Edge, origin: Origin):
    """RFC 9110 section 7.6.2. Other methods only carry the number."""
    client = await edge.connect()
    assert (await client.fetch(get("/", "Max-Forwards: 2", method="OPTIONS"))).status == 200
    assert origin.requests[-1].head.all("max-forwards") == ["1"]
    assert (await client.fetch(get("/", "Max-Forwards: 0", method="OPTIONS"))).status == 204
    assert len(origin.requests) == 1
    assert (await client.fetch(get("/", "Max-Forwards: 0"))).status == 200
    assert origin.requests[-1].head.all("max-forwards") == ["0"]


async def test_s5_expectation_that_nobody_knows_is_417(edge: Edge, origin: Origin):
    """RFC 9110 section 10.1.1."""
    client = await edge.connect()
    assert (await client.fetch(get("/", "Expect: miracles"))).status == 417
    assert origin.connections == []


async def test_s5_http_10_client_that_expects_gets_no_100(edge: Edge, origin: Origin):
    """It would take the interim answer for the final one."""

    async def eager(connection: OriginConnection) -> None:
        head = await connection.read_head()
        assert head.get("expect") is None
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.send(answer(await connection.read_body(head)))

    origin.behave = eager
    client = await edge.connect()
    request = get("/", "Expect: 100-continue", "Content-Length: 4", version="1.0", method="PUT")
    await client.send(request + b"body")
    response = await client.read_response()
    assert (response.status, response.body) == (200, b"body")


async def test_s8_trusted_proxy_may_say_where_a_request_came_from(start_edge: StartEdge, origin: Origin):
    """What a stranger says of the same is removed: see the corpus."""
    edge = await start_edge(trusted_proxies=("127.0.0.0/30",))
    client = await edge.connect()
    said = (
        "X-Forwarded-For: 192.0.2.1, 198.51.100.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: out.example",
        "X-Forwarded-Port: 443",
        "X-Real-IP: 192.0.2.1",
        "X-Sentra-Score: 0",
    )
    assert (await client.fetch(get("/", *said))).status == 200
    (seen,) = origin.requests
    assert seen.head.all("x-forwarded-for") == ["198.51.100.9, 127.0.0.1"]
    assert seen.head.all("x-real-ip") == ["198.51.100.9"]
    assert seen.head.all("x-forwarded-proto") == ["https"]
    assert seen.head.all("x-forwarded-host") == ["out.example"]
    assert seen.head.all("x-forwarded-port") == ["443"]
    assert seen.head.all("x-sentra-score") == []


async def test_s8_host_is_the_clients_unless_another_is_configured(start_edge: StartEdge, origin: Origin):
    """And the client's own is told beside it."""
    edge = await start_edge(upstream_host_header="inside.example")
    client = await edge.connect()
    assert (await client.fetch(get())).status == 200
    (seen,) = origin.requests
    assert seen.head.all("host") == ["inside.example"]
    assert seen.head.all("x-forwarded-host") == ["example.com"]


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
NO_HANDSHAKES = [
    pytest.param(post(b"abc", "/", *UPGRADE), b"abc", id="POST"),
    pytest.param(post(b"abc", "/", *UPGRADE, method="GET"), b"abc", id="GET with a length"),
    pytest.param(
        get("/", *UPGRADE, "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n", b"abc", id="chunked"
    ),
    pytest.param(get("/", *UPGRADE, version="1.0"), b"", id="HTTP/1.0"),
    pytest.param(get("/", "Upgrade: websocket"), b"", id="not named by Connection"),
]


@pytest.mark.parametrize(("sent", "body"), NO_HANDSHAKES)
async def test_s9_what_is_no_websocket_handshake_upgrades_nothing(
    edge: Edge, origin: Origin, sent: bytes, body: bytes
):
    """A body, another method or an old version: an ordinary request, whose framing stays."""
    client = await edge.connect()
    assert (await client.fetch(sent)).status == 200
    (seen,) = origin.requests
    assert (seen.head.get("upgrade"), seen.head.get("connection")) == (None, None)
    assert seen.body == body


async def test_s10_http_10_request_without_a_length_has_no_body(edge: Edge, origin: Origin):
    """A request that ends with its connection does not exist (CVE-2026-2835, CVE-2026-2836): what follows the
    head is neither body nor request."""
    client = await edge.connect()
    await client.send(get("/first", version="1.0", method="POST") + get("/smuggled"))
    assert (await client.read_response()).status == 200
    assert await client.see_end() == "fin"
    assert [(seen.head.start_line, seen.body) for seen in origin.requests] == [("POST /first HTTP/1.1", b"")]


async def test_bytes_behind_a_request_that_are_none_are_refused_after_its_answer(edge: Edge, origin: Origin):
    """A trailing NUL, as some clients of old protocols send it."""
    client = await edge.connect()
    await client.send(get("/first") + b"\x00")
    assert (await client.read_response()).status == 200
    assert (await client.read_response()).status == 400
    assert await client.see_end() == "fin"
    assert len(origin.requests) == 1
