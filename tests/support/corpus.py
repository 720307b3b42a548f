"""Requests as raw bytes, by the rule that they try: what must be refused, and what must arrive as it was
meant.

The same bytes go to the edge and through the lane.
"""

from dataclasses import dataclass

from tests.support.peer import Message


@dataclass(frozen=True, slots=True)
class Refused:
    """`statuses`: any of them is right."""

    name: str
    sent: bytes
    statuses: frozenset[int]


@dataclass(frozen=True, slots=True)
class Accepted:
    """`start_line`, `fields` and `body` as the origin must read them; fields in this order, among others."""

    name: str
    sent: bytes
    start_line: str
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    absent: tuple[str, ...] = ()


def assert_same_meaning(case: Accepted, seen: Message) -> None:
    """What the origin has read is what the client meant."""
    assert seen.head.start_line == case.start_line
    assert seen.body == case.body
    left = iter(seen.head.fields)
    for wanted in case.fields:
        assert wanted in left, f"{wanted} is missing or out of order in {seen.head.fields}"
    for name in case.absent:
        assert seen.head.get(name) is None, name
    assert b"192.0.2.1" not in seen.head.raw


def request(*fields: bytes, line: bytes = b"POST / HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join([line, b"Host: example.com", *fields]) + b"\r\n\r\n" + body


LENGTH_AND_CHUNKED = request(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")

_ONE_STATUS = [
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
        "R4 S10 coding in HTTP/1.0",
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
    ("R11 S4 TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n", 405),
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
    ("R14 NUL before the request", b"\x00GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
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
            b"1;a\rb\r\na\r\n0\r\n\r\n",
            b"0\r\nA: b\n\r\n",
            b"1;" + b"e" * 20000,
        )
    ),
]

# Their own answer is as good as 501 by RFC 9110 section 9.1.
_ONE_OF_SEVERAL = [
    ("R11 CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", {405, 501}),
    ("R14 HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405, 501, 505}),
]

# Each name begins with its rules.
REFUSED = [Refused(name, sent, frozenset((status,))) for name, sent, status in _ONE_STATUS] + [
    Refused(name, sent, frozenset(statuses)) for name, sent, statuses in _ONE_OF_SEVERAL
]


_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n"


def _target(name: str, target: bytes) -> Accepted:
    sent = b"GET " + target + b" HTTP/1.1\r\nHost: example.com\r\n\r\n"
    return Accepted(name, sent, f"GET {target.decode()} HTTP/1.1", (("host", "example.com"),))


ACCEPTED = [
    *(
        _target(f"R13 target {target!r}", target)
        for target in (
            b"/",
            b"/a?",
            b"/a?b=c&d",
            b"/a//b/../c/./d",
            b"/%2e%2E/%2F%5c?x=%00;y",
            b"/'!()*~;,:@&=+$",
            b"/%61%3A%27?%2B+%20",
            b"/a?b?c/d",
        )
    ),
    Accepted(
        "R10 absolute form",
        b"GET http://example.com/a?b HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "GET /a?b HTTP/1.1",
        (("host", "example.com"),),
    ),
    Accepted(
        "R10 absolute form without a path",
        b"GET http://example.com?b HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "GET /?b HTTP/1.1",
    ),
    Accepted(
        "R11 star for OPTIONS",
        b"OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "OPTIONS * HTTP/1.1",
    ),
    Accepted(
        "R8 value with tabs and bytes above 127",
        request(b"X-Latin: caf\xe9\t1", line=b"GET / HTTP/1.1"),
        "GET / HTTP/1.1",
        (("x-latin", "caf\xe9\t1"),),
    ),
    Accepted(
        "R8 empty value and blanks around one",
        request(b"X-Empty:", b"X-Blank: \t a b \t", line=b"GET / HTTP/1.1"),
        "GET / HTTP/1.1",
        (("x-empty", ""), ("x-blank", "a b")),
    ),
    Accepted(
        "R17 chunks with extensions and trailers",
        request(
            b"Transfer-Encoding: chunked",
            b"Trailer: X-Sum",
            body=b'3;a="b"\r\nabc\r\n0004\r\ndefg\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n',
        ),
        "POST / HTTP/1.1",
        body=b"abcdefg",
        absent=("trailer", "x-sum", "content-length"),
    ),
    *(
        Accepted(
            f"R19 body of {method}",
            request(
                b"Content-Length: %d" % len(_SMUGGLED), line=method.encode() + b" /a HTTP/1.1", body=_SMUGGLED
            ),
            f"{method} /a HTTP/1.1",
            body=_SMUGGLED,
        )
        for method in ("GET", "DELETE", "OPTIONS", "PUT", "PATCH", "M-SEARCH")
    ),
    Accepted(
        "S1 fields of the connection",
        request(
            b"Connection: close, X-Named",
            b"X-Named: secret",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"TE: gzip",
            b"X-End: kept",
            line=b"GET / HTTP/1.1",
        ),
        "GET / HTTP/1.1",
        (("x-end", "kept"),),
        absent=("x-named", "keep-alive", "proxy-connection", "te"),
    ),
    Accepted(
        "S1 connection options that name what others need",
        request(
            b"Connection: Host, Content-Length, Authorization, X-Forwarded-For",
            b"Authorization: Bearer x",
            b"Content-Length: 3",
            body=b"abc",
        ),
        "POST / HTTP/1.1",
        (("host", "example.com"), ("authorization", "Bearer x")),
        b"abc",
    ),
    Accepted(
        "S2 order and repetition",
        request(
            b"Cookie: a=1",
            b"X-One: 1",
            b"cookie: b=2",
            b"X-Two: 2",
            b"X-One: 3",
            line=b"GET / HTTP/1.1",
        ),
        "GET / HTTP/1.1",
        (("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("x-two", "2"), ("x-one", "3")),
    ),
    Accepted(
        "S7 what belongs to the ends",
        request(
            b'Authorization: Digest a=b, c="d"',
            b"Cache-Control: no-transform",
            b"Accept-Encoding: gzip;q=0.5, br",
            line=b"GET / HTTP/1.1",
        ),
        "GET / HTTP/1.1",
        (
            ("authorization", 'Digest a=b, c="d"'),
            ("cache-control", "no-transform"),
            ("accept-encoding", "gzip;q=0.5, br"),
        ),
    ),
    Accepted(
        "S8 names that only we may use",
        request(
            b"X-Real-IP: 192.0.2.1",
            b"X_Real_IP: 192.0.2.1",
            b"X-Forwarded-For: 192.0.2.1",
            b"X-Forwarded_For: 192.0.2.1",
            b"Forwarded: for=192.0.2.1",
            b"X-Forwarded-Prefix: /192.0.2.1",
            b"X-Original-URL: /192.0.2.1",
            b"X-Rewrite-URL: /192.0.2.1",
            b"X-Sentra-Score: 192.0.2.1",
            b"x_sentra_client: 192.0.2.1",
            line=b"GET / HTTP/1.1",
        ),
        "GET / HTTP/1.1",
        absent=(
            "x_real_ip",
            "x-forwarded_for",
            "forwarded",
            "x-forwarded-prefix",
            "x-original-url",
            "x-rewrite-url",
            "x-sentra-score",
            "x_sentra_client",
        ),
    ),
]
