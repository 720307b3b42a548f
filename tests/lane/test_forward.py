"""What goes through the lane arrives as it was sent; what may not go through never reaches the upstream."""

import asyncio
import hashlib
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.http_writer import _serialize_headers
from multidict import CIMultiDict

from proxy.lane.config import LaneConfig
from tests.lane.peers import (
    Client,
    UpstreamConnection,
    answer_always,
    client_to,
    get,
    lane_running,
    read_body,
    read_head,
    upstream_running,
)


def config_for(port: int, **changes: Any) -> LaneConfig:
    return LaneConfig(upstream_port=port, **changes)


def test_stock_writer_deletes_bytes_that_are_not_utf8():
    """The fault itself: when this fails, aiohttp has closed it."""
    path = b"/adm\xffin".decode("utf-8", "surrogateescape")
    assert _serialize_headers(f"GET {path} HTTP/1.1", CIMultiDict()) == b"GET /admin HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    "target",
    [
        b"/adm\xffin",
        b"/a\\b",
        b"/a#b",
        b"/\xc3\xa9",
        b"/a?q=\x80",
        b"http://u@a.test/",
        b"ftp://a.test/",
        b"*",
    ],
)
async def test_a_target_outside_printable_ascii_is_refused_and_not_repaired(target: bytes):
    """A request judged as one path must not reach the upstream as another."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        head, _ = await client.ask(b"GET " + target + b" HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert head.status == 400
        assert not upstream.heads


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("/?", "/?"),
        ("/a?x=%3A%27&y=+", "/a?x=%3A%27&y=+"),
        ("/%2e%2E/./..//b;c", "/%2e%2E/./..//b;c"),
        ("http://a.test/b?", "/b?"),
        ("http://a.test?x", "/?x"),
        ('/a%00%zz|{}^`"<>[]', '/a%00%zz|{}^`"<>[]'),
    ],
)
async def test_targets_travel_byte_for_byte(sent: str, received: str):
    """Signed URLs break on a lost `?` or a changed escape (RFC 9110 section 7.7)."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        head, body = await client.ask(get(sent))
        assert head.status == 200
        assert body.decode() == f"GET {received} HTTP/1.1"


async def test_field_bytes_travel_exactly_both_ways():
    """Latin-1 and any other byte are legal in values (obs-text, RFC 9110 section 5.5)."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 Fin\xe9\r\nx-ODD: \xff\xfe caf\xe9\r\nContent-Length: 0\r\n\r\n")

    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        await client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\nx-wEIRD: \xff\xc3\x28 ok\r\n\r\n")
        head = await read_head(client.reader)
        assert b"\r\nx-wEIRD: \xff\xc3\x28 ok\r\n" in upstream.heads[0].raw
        assert head.raw.startswith(b"HTTP/1.1 200 Fin\xe9\r\n")
        assert b"\r\nx-ODD: \xff\xfe caf\xe9\r\n" in head.raw


async def test_nothing_is_invented_in_either_direction():
    """No Accept, User-Agent, Content-Type, Server or cookies of our own."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 1\r\n\r\nx")
        await connection.head()
        await connection.send(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        head, _ = await client.ask(get("/"))
        assert [name for name, _ in head.fields] == ["Set-Cookie", "Content-Length", "Date"]
        head, _ = await client.ask(get("/", method="POST"))
        assert head.status == 302
        assert len(upstream.heads) == 2
        sent = {name for name, _ in upstream.heads[0].fields}
        forwarded = {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP"}
        assert sent == {"Host", "Via", "X-Request-Id", *forwarded}
        assert {name for name, _ in upstream.heads[1].fields} == sent


async def test_compressed_bodies_stay_as_they_are():
    """Decompressing would leave a Content-Encoding that lies."""
    body = bytes.fromhex("1f8b08000000000002ff") + b"not even gzip"

    async def script(connection: UpstreamConnection) -> None:
        head = await connection.head()
        assert await read_body(connection.reader, head) == body
        await connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        request = get("/", "Content-Encoding: gzip", f"Content-Length: {len(body)}", method="POST") + body
        _, received = await client.ask(request)
        assert received == body


async def test_hop_by_hop_and_spoofable_fields_stop_here():
    """RFC 9110 section 7.6.1; a client must not speak as a proxy, in any spelling."""
    lines = (
        "Connection: close, X-Secret, Authorization, X-Forwarded-For",
        "X-Secret: 1",
        "Authorization: keep",
        "Keep-Alive: 5",
        "TE: trailers",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP",
        "Proxy-Connection: x",
        "X-Forwarded-For: 6.6.6.6",
        "X_Forwarded_For: 6.6.6.6",
        "X-Real-Ip: 6.6.6.6",
        "X-Sentra-Score: 0",
        "x_sentra-score: 0",
        "Forwarded: for=6.6.6.6",
        "X-Forwarded-Proto: https",
    )
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        await client.ask(get("/", *lines))
        head = upstream.heads[0]
        assert "6.6.6.6" not in head.raw.decode()
        assert [value for name, value in head.fields if "sentra" in name.lower()] == []
        for name in (
            "connection",
            "x-secret",
            "keep-alive",
            "te",
            "upgrade",
            "http2-settings",
            "proxy-connection",
        ):
            assert head.get(name) is None, name
        assert head.get("authorization") == "keep"
        assert head.all("x-forwarded-for") == ["127.0.0.1"]
        assert head.get("x-forwarded-proto") == "http"
        assert head.get("via") == "1.1 sentra"


async def test_a_trusted_proxy_is_believed_from_right_to_left():
    """The client is the last address that is not one of ours."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port, trusted_proxies=("127.0.0.0/8", "10.0.0.0/8"))) as port,
        client_to(port) as client,
    ):
        lines = (
            "X-Forwarded-For: 6.6.6.6, 198.51.100.7",
            "X-Forwarded-For: 10.1.1.1",
            "X-Forwarded-Proto: https",
        )
        await client.ask(get("/", *lines))
        head = upstream.heads[0]
        assert head.all("x-forwarded-for") == ["6.6.6.6, 198.51.100.7, 10.1.1.1, 127.0.0.1"]
        assert head.get("x-real-ip") == "198.51.100.7"
        assert head.all("x-forwarded-proto") == ["https"]
        refused, _ = await client.ask(get("/", "X-Forwarded-For: 1.2.3.4, garbage"))
        assert refused.status == 400


@pytest.mark.parametrize("size", [0, 1, 65536, 3_000_000])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
async def test_bodies_arrive_unchanged_both_ways(size: int, is_chunked: bool):
    """Each of the framings, from nothing to many buffers."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    digest = hashlib.sha256(body).hexdigest()

    async def script(connection: UpstreamConnection) -> None:
        head = await connection.head()
        received = await read_body(connection.reader, head)
        assert hashlib.sha256(received).hexdigest() == digest
        if is_chunked:
            await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 100_000):
                piece = body[start : start + 100_000]
                await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await connection.send(b"0\r\n\r\n")
        else:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await connection.until_closed()

    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        if is_chunked:
            pieces = [body[start : start + 70_000] for start in range(0, len(body), 70_000)]
            framed = b"".join(b"%X;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            request = get("/", "Transfer-Encoding: chunked", method="PUT") + framed
        else:
            request = get("/", f"Content-Length: {len(body)}", method="PUT") + body
        sending = asyncio.ensure_future(client.send(request))
        head, received = await client.answer()
        await sending
        assert head.status == 200
        assert hashlib.sha256(received).hexdigest() == digest


async def test_a_close_delimited_answer_becomes_chunked_for_11_and_closes_for_10():
    """Otherwise a cut answer could not be told from a complete one."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\nhello")

    async with upstream_running(script) as upstream, lane_running(config_for(upstream.port)) as port:
        async with client_to(port) as client:
            head, body = await client.ask(get("/"))
            assert (head.get("transfer-encoding"), body) == ("chunked", b"hello")
        async with client_to(port) as client:
            head, body = await client.ask(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
            assert (head.get("transfer-encoding"), body) == (None, b"hello")
            assert await client.is_closed()


@pytest.mark.parametrize(
    ("request_bytes", "head_lines"),
    [
        (get("/", method="HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (get("/"), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n"),
        (get("/"), b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
    ids=["HEAD", "304", "204"],
)
async def test_answers_without_a_body_keep_both_connections(request_bytes: bytes, head_lines: bytes):
    """HEAD and 304 keep the length of the body that is not there."""

    async def script(connection: UpstreamConnection) -> None:
        while True:
            await connection.head()
            await connection.send(head_lines)

    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        for _ in range(2):
            await client.send(request_bytes)
            head = await read_head(client.reader)
            assert head.get("content-length") == ("5" if b"Length" in head_lines else None)
            assert head.get("transfer-encoding") is None
        assert len(upstream.connections) == 1


async def test_interim_answers_go_through():
    """RFC 9110 section 15.2: a proxy must forward 1xx answers it did not ask for."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        )

    async with (
        upstream_running(script) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        await client.send(get("/"))
        interim = await read_head(client.reader)
        final = await read_head(client.reader)
        assert (interim.status, interim.get("link"), final.status) == (103, "</a>", 200)


async def test_the_lane_says_100_only_when_it_wants_the_body():
    """aiohttp would say it before any middleware; the upstream must not wait for it a second time."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        await client.send(get("/", "Content-Length: 2", "Expect: 100-continue", method="POST"))
        assert (await read_head(client.reader)).status == 100
        _, body = await client.ask(b"hi")
        assert body == b"hi"
        assert upstream.heads[0].get("expect") is None


async def test_a_middleware_stands_before_100_continue():
    """A refused client must not be told to send its body."""

    @web.middleware
    async def refuse(request: web.Request, handler: object) -> web.StreamResponse:
        raise web.HTTPForbidden

    async with lane_running(config_for(1), (refuse,)) as port, client_to(port) as client:
        head, _ = await client.ask(get("/", "Content-Length: 2", "Expect: 100-continue", method="POST"))
        assert head.status == 403


async def test_a_body_that_a_middleware_has_read_still_goes_out():
    """Ordinary middlewares call `await request.read()`."""

    @web.middleware
    async def read(request, handler):
        assert await request.read() == b"hello"
        return await handler(request)

    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port), (read,)) as port,
        client_to(port) as client,
    ):
        request = get("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n0\r\n\r\n"
        _, body = await client.ask(request)
        assert body == b"hello"
        assert upstream.heads[0].get("content-length") == "5"


async def test_a_middleware_may_change_request_and_answer():
    """The point of the lane: ordinary aiohttp middlewares."""

    @web.middleware
    async def change(request, handler):
        headers = request.headers.copy()
        headers["X-Added"] = "1"
        return await handler(request.clone(rel_url="/changed?", headers=headers))

    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port), (change,)) as port,
        client_to(port) as client,
    ):
        _, body = await client.ask(get("/original"))
        assert body.startswith(b"GET /changed")
        assert upstream.heads[0].get("x-added") == "1"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/", method="CONNECT").replace(b"CONNECT /", b"CONNECT a.test:443"), 405),
        (get("/", method="TRACE"), 405),
        (get("/", "Upgrade: websocket", "Connection: Upgrade"), 501),
        (get("/", "Content-Length: 1", "Content-Length: 1", method="POST") + b"x", 400),
        (get("/", "Content-Length: 1", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n", 400),
        (get("/", "Transfer-Encoding: gzip, chunked", method="POST") + b"0\r\n\r\n", 501),
        (get("/", "Content-Length: +1", method="POST") + b"x", 400),
        (get("/", "Host: b.test"), 400),
        (b"GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nA: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nA: b\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a.test\n\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a.test\r\n\r\n", 505),
        (get("/", "Expect: miracles"), 417),
        (get("/", "Via: 1.0 other, 1.1 sentra"), 508),
        (get("/" + "a" * 8300), 414),
        (get("/", "A: " + "a" * 17000), 431),
    ],
)
async def test_bad_requests_are_refused_and_reach_nobody(request_bytes: bytes, status: int):
    """facts 2.1: raw bytes on a socket, the stated status, nothing upstream, no echo of the input."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        head, body = await client.ask(request_bytes)
        assert head.status == status
        assert head.get("content-type") == "application/problem+json"
        assert head.get("server") != "aiohttp"
        assert b"a.test" not in body
        assert not upstream.heads
        assert await client.is_closed()


async def test_two_users_share_a_pooled_connection_one_after_the_other():
    """The pool works at all."""
    async with upstream_running(answer_always) as upstream, lane_running(config_for(upstream.port)) as port:
        for _ in range(3):
            async with client_to(port) as client:
                await client.ask(get("/"))
        assert len(upstream.connections) == 1


async def test_pipelined_requests_are_answered_in_order():
    """RFC 9112 section 9.3.2."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        await client.send(b"".join(get(f"/{number}") for number in range(5)))
        for number in range(5):
            _, body = await client.answer()
            assert body == f"GET /{number} HTTP/1.1".encode()


async def test_an_ordinary_client_session_sees_an_ordinary_server():
    """One check with a client that we did not write."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/", data=b"x" * 99) as answer,
    ):
        assert await answer.read() == b"x" * 99


async def send_slowly(client: Client, data: bytes) -> None:
    for byte in data:
        await client.send(bytes([byte]))
        await asyncio.sleep(0)


async def test_a_head_in_single_bytes_is_the_same_head():
    """Any split of the input gives the same result."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(config_for(upstream.port)) as port,
        client_to(port) as client,
    ):
        await send_slowly(client, get("/slow", "A: b"))
        _, body = await client.answer()
        assert body == b"GET /slow HTTP/1.1"
