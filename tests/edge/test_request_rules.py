"""Rules R1-R19 for requests as raw bytes: the stated status, a closed connection, and nothing at the
upstream."""

import contextlib

import pytest

from tests.edge.conftest import Edge, StartEdge
from tests.support.origin import Origin


def request(*fields: bytes, line: bytes = b"POST / HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join([line, b"Host: example.com", *fields]) + b"\r\n\r\n" + body


LENGTH_AND_CHUNKED = request(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")

RULES = [
    ("R1 length and chunked", LENGTH_AND_CHUNKED, 400),
    (
        "R1 chunked and length",
        request(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        400,
    ),
    ("R2 two lengths that differ", request(b"Content-Length: 1", b"Content-Length: 2", body=b"ab"), 400),
    ("R2 two lengths that agree", request(b"Content-Length: 1", b"Content-Length: 1", body=b"a"), 400),
    ("R2 list of lengths", request(b"Content-Length: 1, 1", body=b"a"), 400),
    *(
        (f"R3 length {value!r}", request(b"Content-Length: " + value, body=b"a"), 400)
        for value in (
            b"+1",
            b"-0",
            b"-1",
            b"0x10",
            b"1_0",
            b"1 0",
            b"",
            b"9223372036854775808",
            b"1e1",
            b"1.0",
            b"\xb2",
        )
    ),
    *(
        (f"R4 coding {value!r}", request(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"), 501)
        for value in (b"gzip", b"gzip, chunked", b"xchunked")
    ),
    *(
        (f"R4 coding {value!r}", request(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"), 400)
        for value in (
            b"chunked, chunked",
            b",chunked",
            b"chunked,",
            b"chunked, identity",
            b"\x0bchunked",
            b"chunked\x0c",
            b"\x00chunked",
            b"\xa0chunked",
            b"",
        )
    ),
    (
        "R4 two fields",
        request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
    ),
    (
        "R4 coding in HTTP/1.0",
        request(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0", body=b"0\r\n\r\n"),
        400,
    ),
    ("R5 bare CR in a value", request(b"A: b\rc"), 400),
    ("R5 bare CR ends a line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
    ("R5 bare LF ends the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("R5 bare LF ends a field", b"GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", 400),
    ("R5 bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("R6 folded field", request(b"A: b\r\n c"), 400),
    ("R6 folded with tab", request(b"A: b\r\n\tc"), 400),
    ("R7 space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("R7 space before the colon", request(b"A : b"), 400),
    ("R7 tab before the colon", request(b"A\t: b"), 400),
    ("R8 empty name", request(b": b"), 400),
    ("R8 no colon", request(b"nocolon"), 400),
    ("R8 separator in a name", request(b"A(b): c"), 400),
    ("R8 byte above 127 in a name", request(b"\xc3\xa4: c"), 400),
    ("R8 NUL in a value", request(b"A: b\x00c"), 400),
    ("R8 control in a value", request(b"A: b\x01c"), 400),
    ("R8 DEL in a value", request(b"A: b\x7fc"), 400),
    ("R9 no host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("R9 two hosts", request(b"Host: example.com"), 400),
    ("R9 empty host", b"GET / HTTP/1.1\r\nHost: \r\n\r\n", 400),
    *(
        (f"R9 host {value!r}", b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n", 400)
        for value in (
            b"u@a",
            b"a/b",
            b"a,b",
            b"a b",
            b"a\x00b",
            b"a:b",
            b"a:99999",
            b"[::1",
            b"a?b",
            b"a#b",
            b"a\\b",
            b"a..b",
            b".a",
            b"a~b",
            b"a" * 64,
            b"1.2.3",
            b"0x7f000001",
        )
    ),
    ("R10 other host in the target", b"GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R10 scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R11 star for GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R11 target without slash", b"GET admin/a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R11 authority form", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R12 fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R12 space", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R12 tab", b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R12 control", b"GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R12 backslash", b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R12 byte above 127", b"GET /adm\xffin HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("R14 HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("R14 HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("R14 HTTP/0.9", b"GET /\r\n\r\n", 400),
    ("R14 lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    ("R14 not HTTP", b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400),
    ("R15 target too long", b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("R15 one field too long", request(b"A: " + b"b" * 16384), 431),
    ("R15 too many fields", request(*[b"A: b"] * 101), 431),
    ("R15 connection options too long", request(b"Connection: " + b"," * 1100 + b"a"), 400),
    ("R15 connection options in many lines", request(*[b"Connection: " + b"a" * 100] * 11), 400),
    ("R15 head too long", request(*[b"A: " + b"b" * 1000] * 17), 431),
    *(
        (f"R17 chunk size {value!r}", request(b"Transfer-Encoding: chunked", body=value), 400)
        for value in (
            b"+1\r\na\r\n0\r\n\r\n",
            b"-1\r\na\r\n0\r\n\r\n",
            b"0x1\r\na\r\n0\r\n\r\n",
            b"1_0\r\na\r\n0\r\n\r\n",
            b" 1\r\na\r\n0\r\n\r\n",
            b"\r\na\r\n0\r\n\r\n",
            b"g\r\na\r\n0\r\n\r\n",
            b"10000000000000000\r\na\r\n0\r\n\r\n",
            b"1\na\r\n0\r\n\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
            b"1\r\na\n0\r\n\r\n",
            b"1;a\nb\r\na\r\n0\r\n\r\n",
            b"0\r\nA: b\n\r\n",
            b"1;" + b"e" * 20000,
        )
    ),
]

# Their own answer is as good as 501 by RFC 9110 section 9.1.
METHODS = [
    ("R11 CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", {405, 501}),
    ("R14 HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405, 501, 505}),
]
CASES = [pytest.param(sent, {status}, id=name) for name, sent, status in RULES] + [
    pytest.param(sent, statuses, id=name) for name, sent, statuses in METHODS
]


@pytest.mark.parametrize(("sent", "statuses"), CASES)
async def test_rule_is_answered_and_the_connection_closed(
    edge: Edge, origin: Origin, sent: bytes, statuses: set[int]
):
    """R18: behind a framing error nothing is processed, though it looks like a request."""
    client = await edge.connect()
    await client.send(sent + b"GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n")
    response = await client.read_response()
    assert response.status in statuses
    assert response.head.get("connection") == "close"
    assert await client.read_to_end() == b""
    assert origin.connections == []
    assert edge.counter("requests") == 1


@pytest.mark.parametrize(("sent", "statuses"), CASES[:: len(CASES) // 12])
async def test_rule_holds_when_bytes_come_one_at_a_time(
    edge: Edge, origin: Origin, sent: bytes, statuses: set[int]
):
    """R15: a limit that is only looked at once per read is none (CVE-2026-54277)."""
    client = await edge.connect()
    with contextlib.suppress(ConnectionError):  # refused before the last byte
        await client.send_slowly(sent, 1 if len(sent) < 500 else 700)
    assert (await client.read_response()).status in statuses
    assert origin.requests == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
async def test_r19_body_of_any_method_is_part_of_its_request(edge: Edge, origin: Origin, method: bytes):
    """Left in the buffer it would be the next request."""
    client = await edge.connect()
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    await client.send(
        request(b"Content-Length: %d" % len(smuggled), line=method + b" /a HTTP/1.1", body=smuggled)
    )
    assert (await client.read_response(to_head=method == b"HEAD")).status == 200
    assert [(seen.head.start_line.split(" ")[1], seen.body) for seen in origin.requests] == [("/a", smuggled)]


@pytest.mark.parametrize("target", [b"/a?", b"/a//b/../c", b"/%2e%2E/%2F?x=%00;y", b"/a?b=c&d", b"/'!()*"])
async def test_r13_target_travels_byte_for_byte(edge: Edge, origin: Origin, target: bytes):
    """A proxy that normalises breaks signatures, and judges another path than the origin serves."""
    client = await edge.connect()
    await client.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await client.read_response()).status == 200
    assert origin.requests[0].head.start_line.encode() == b"GET " + target + b" HTTP/1.1"


async def test_r10_absolute_form_is_sent_in_origin_form(edge: Edge, origin: Origin):
    """RFC 9112 section 3.2.2."""
    client = await edge.connect()
    await client.send(b"GET http://example.com/a?b HTTP/1.1\r\nHost: example.com\r\n\r\n")
    assert (await client.read_response()).status == 200
    assert origin.requests[0].head.start_line == "GET /a?b HTTP/1.1"


async def test_r16_body_above_the_limit_is_413(start_edge: StartEdge, origin: Origin):
    """Declared or counted."""
    edge = await start_edge(body_bytes=10)
    for sent in (
        request(b"Content-Length: 11", body=b"x" * 11),
        request(b"Transfer-Encoding: chunked", body=b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n"),
    ):
        client = await edge.connect()
        await client.send(sent)
        assert (await client.read_response()).status == 413
        assert await client.read_to_end() == b""
    assert origin.connections == []
