"""The shipped JSON guard: what it lets through, what it refuses, and how much of a body it holds."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from fastmatch import Blocklist, Entry
from proxy.lane.config import LaneConfig
from proxy.lane.examples.json_guard import REFUSED, Rules, json_guard
from proxy.lane.examples.urls import host_of
from tests.lane.peers import (
    BOUND_SECONDS,
    UpstreamConnection,
    answer_always,
    client_to,
    get,
    lane_running,
    read_body,
    upstream_running,
)

LISTED = Blocklist.from_entries(
    (
        Entry("bad.test", score=9.0, sources=("feed",)),
        Entry("mild.test", score=3.0, sources=("feed",)),
        Entry("bücher.test", score=9.0, sources=("feed",)),
        Entry("203.0.113.7", score=9.0, sources=("feed",)),
        Entry("2001:db8::/32", score=9.0, sources=("feed",)),
    ),
    epoch=1,
    sequence=1,
)


def post(body: bytes, *lines: str, kind: str = "application/json") -> bytes:
    return get("/", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *lines, method="POST") + body


async def ask(
    request: bytes, rules: Rules | None = None, listed: Blocklist | None = LISTED
) -> tuple[int, bytes, int]:
    """(status, body of the answer, requests that the origin saw)."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(LaneConfig(upstream_port=upstream.port), (json_guard(rules, lambda: listed),)) as port,
        client_to(port) as client,
    ):
        head, body = await client.ask(request)
        return head.status, body, len(upstream.heads)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, 2.5, true, null, "text"], "b": {"c": "http://good.test/"}}',
        b' [ "http://mild.test/" ] ',
        b'"a:b/c"',
        b"0",
        json.dumps({"text": "x" * 100_000}).encode(),
        '{"name": "ä\\ud83d\\ude00"}'.encode(),
    ],
    ids=["object", "array", "string", "number", "large", "unicode"],
)
async def test_a_harmless_body_goes_on_byte_for_byte(body: bytes):
    """Blanks and escapes included: a signature over it must hold."""
    assert await ask(post(body)) == (200, body, 1)


@pytest.mark.parametrize(
    "document",
    [
        {"url": "http://bad.test/a"},
        {"a": [{"b": {"c": "https://user:secret@www.BAD.test.:8443/?q"}}]},
        ["ftp://203.0.113.7/file"],
        {"u": "http://3405803783/"},
        {"u": "http://0xcb.0x00.0x71.7/"},
        {"u": "http://[2001:db8::1]/"},
        {"u": "custom+scheme://bad.test/"},
        {"u": "//bad.test/a"},
        {"u": "\\\\bad.test\\share"},
        {"u": "  http:\\\\bad.test\\a"},
        {"u": "https:bad.test"},
        {"u": "https:///bad.test"},
        {"u": "ht\ttp://b\nad.test/"},
        {"u": "http://good.test@bad.test/"},
        {"u": "http://%62ad.test/"},
        {"u": "http://xn--bcher-kva.test/"},
        {"u": "http://bücher.test/"},
        {"u": "http://\uff42\uff41\uff44.test/"},
    ],
    ids=str,
)
async def test_a_blocked_host_in_any_url_is_403(document: Any):
    """As whoever fetches the URL reads it, not only as it is usually written."""
    status, body, seen = await ask(post(json.dumps(document).encode()))
    assert (status, seen) == (403, 0)
    assert b"bad.test" not in body


@pytest.mark.parametrize(
    "text",
    ["bad.test", "mailto:me@bad.test", "see bad.test/a", "http", "a/b", "C:\\bad.test", "http://", "1:2", ""],
)
def test_what_is_no_url_has_no_host(text: str):
    """A text that mentions a name is no request to go there."""
    assert host_of(text) is None


@pytest.mark.parametrize(
    ("rules", "body", "status"),
    [
        (Rules(url_fields=frozenset({"callback"})), b'{"callback": "http://bad.test/"}', 403),
        (Rules(url_fields=frozenset({"callback"})), b'{"callback": {"to": ["http://bad.test/"]}}', 403),
        (Rules(url_fields=frozenset({"callback"})), b'{"text": "http://bad.test/"}', 200),
        (Rules(block_score=2.0), b'{"a": "http://mild.test/"}', 403),
        (Rules(maximum_depth=3), b"[[[1]]]", 200),
        (Rules(maximum_depth=3), b"[[[[1]]]]", 400),
        (Rules(maximum_depth=3), b'{"a":{"b":{"c":{}}}}', 400),
        (Rules(), b"[" * 50_000, 400),
        (Rules(), b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400),
        (Rules(maximum_bytes=4), b"1234", 200),
        (Rules(maximum_bytes=4), b"12345", 413),
    ],
)
async def test_rules_decide(rules: Rules, body: bytes, status: int):
    """Depth and size, which fields, from which score."""
    assert (await ask(post(body), rules))[0] == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b"NaN",
        b"[Infinity]",
        b'"\xff"',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"url": "http://good.test/", "url": "http://bad.test/"}',
        '{"a": 1}'.encode("utf-16"),
    ],
)
@pytest.mark.parametrize(("invalid", "status"), [("refuse", 400), ("pass", 200)])
async def test_invalid_json_is_refused_or_passed_as_the_rule_says(body: bytes, invalid: Any, status: int):
    """Two equal names too: parsers differ in which of them counts."""
    request = (
        post(body)
        if body
        else get("/", "Content-Type: application/json", "Transfer-Encoding: chunked", method="POST")
        + b"0\r\n\r\n"
    )
    assert (await ask(request, Rules(invalid=invalid)))[0] == status


@pytest.mark.parametrize(
    ("kind", "rules", "status"),
    [
        ("application/json; charset=utf-8", Rules(), 403),
        ("APPLICATION/JSON", Rules(), 403),
        ("text/json", Rules(), 403),
        ("application/vnd.api+json", Rules(), 403),
        ("application/x-ours", Rules(content_types=frozenset({"Application/X-Ours"})), 403),
        ("application/x-ours", Rules(), 200),
        ("text/plain", Rules(), 200),
        ("application/jsonx", Rules(), 200),
    ],
)
async def test_the_content_type_says_what_is_json(kind: str, rules: Rules, status: int):
    """Other bodies are not guessed at: they stream on."""
    assert (await ask(post(b'"http://bad.test/"', kind=kind), rules))[0] == status


async def test_a_compressed_body_is_415():
    """Nobody unpacks here: it would be an offer to whoever sends a bomb."""
    assert (await ask(post(b"\x1f\x8b", "Content-Encoding: gzip")))[0] == 415
    assert (await ask(post(b"1", "Content-Encoding: identity")))[0] == 200


@pytest.mark.parametrize(("on_missing", "status"), [("closed", 503), ("open", 200)])
async def test_without_a_list_the_rule_decides(on_missing: Any, status: int):
    """A start without lists must not open the door unasked."""
    assert (await ask(post(b'"http://bad.test/"'), Rules(on_missing=on_missing), None))[0] == status


async def test_no_more_than_the_limit_is_ever_held():
    """A chunked body has no length to look at: it is refused when it has grown too long, not at its end."""
    limit = 100_000
    async with (
        lane_running(
            LaneConfig(upstream_port=1), (json_guard(Rules(maximum_bytes=limit), lambda: LISTED),)
        ) as port,
        client_to(port) as client,
    ):
        await client.send(
            get("/", "Content-Type: application/json", "Transfer-Encoding: chunked", method="POST")
        )
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        await client.send(piece * 2)
        head, _ = await client.answer()
        assert (head.status, head.get("connection")) == (413, "close")


async def test_a_length_above_the_limit_is_refused_before_a_byte_of_it():
    """It says so itself."""
    request = get("/", "Content-Type: application/json", "Content-Length: 2000000", method="POST")
    assert (await ask(request))[0] == 413


async def test_other_bodies_stream_through_while_they_arrive():
    """The guard must not make an upload wait for its end."""
    arrived = asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        head = await connection.head()
        assert await connection.reader.readexactly(5) == b"first"
        arrived.set()
        assert await connection.reader.readexactly(6) == b"second"
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert head.get("content-length") == "11"

    async with (
        upstream_running(script) as upstream,
        lane_running(LaneConfig(upstream_port=upstream.port), (json_guard(None, lambda: LISTED),)) as port,
        client_to(port) as client,
    ):
        await client.send(get("/", "Content-Type: text/plain", "Content-Length: 11", method="PUT") + b"first")
        await asyncio.wait_for(arrived.wait(), BOUND_SECONDS)
        await client.send(b"second")
        assert (await client.answer())[0].status == 200


async def test_a_client_that_waits_for_100_is_told_to_send():
    """A middleware reads the body before the proxy does; somebody has to say it."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_running(LaneConfig(upstream_port=upstream.port), (json_guard(None, lambda: LISTED),)) as port,
        client_to(port) as client,
    ):
        await client.send(
            get(
                "/",
                "Content-Type: application/json",
                "Content-Length: 2",
                "Expect: 100-continue",
                method="POST",
            )
        )
        async with asyncio.timeout(BOUND_SECONDS):
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(b"{}"))[1] == b"{}"
        assert upstream.heads[0].get("expect") is None


async def test_the_reason_is_there_for_middlewares_around():
    """To count it, or to answer in words of one's own."""
    reasons: list[str | None] = []

    @web.middleware
    async def around(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        reasons.append(request.get(REFUSED))
        return response

    guard = json_guard(None, lambda: LISTED)
    async with (
        lane_running(LaneConfig(upstream_port=1), (around, guard)) as port,
        client_to(port) as client,
    ):
        await client.ask(post(b'"http://bad.test/"'))
        await client.ask(post(b"{"))
    assert reasons == ["blocked_url", "invalid"]


@pytest.mark.parametrize(
    "rule", [{"maximum_bytes": 0}, {"maximum_depth": 0}, {"maximum_depth": 501}, {"block_score": 11}]
)
def test_a_rule_that_makes_no_sense_stops_the_start(rule: dict[str, Any]):
    """It is read when the module is imported, so the lane does not start."""
    (name,) = rule
    with pytest.raises(ValueError, match=name):
        Rules(**rule)


async def test_bodies_read_by_an_earlier_middleware_are_looked_at_too():
    """`request.read()` leaves nothing in the stream."""

    @web.middleware
    async def reads(request: web.Request, handler: Any) -> web.StreamResponse:
        await request.read()
        response: web.StreamResponse = await handler(request)
        return response

    guard = json_guard(None, lambda: LISTED)
    async with (
        lane_running(LaneConfig(upstream_port=1), (reads, guard)) as port,
        client_to(port) as client,
    ):
        assert (await client.ask(post(b'"http://bad.test/"')))[0].status == 403


async def test_body_that_the_guard_has_read_has_one_length_upstream():
    """Chunks become a length: the body is whole by then."""

    async def script(connection: UpstreamConnection) -> None:
        head = await connection.head()
        assert (head.get("transfer-encoding"), head.all("content-length")) == (None, ["2"])
        assert await read_body(connection.reader, head) == b"{}"
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with (
        upstream_running(script) as upstream,
        lane_running(LaneConfig(upstream_port=upstream.port), (json_guard(None, lambda: LISTED),)) as port,
        client_to(port) as client,
    ):
        request = get("/", "Content-Type: application/json", "Transfer-Encoding: chunked", method="POST")
        head, _ = await client.ask(request + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")
        assert head.status == 200
