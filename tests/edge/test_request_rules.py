"""Rules R1-R19 for requests as raw bytes: the stated status, a closed connection, and nothing at the
upstream."""

import contextlib

import pytest

from tests.edge.conftest import Edge, StartEdge
from tests.support.client import get
from tests.support.corpus import ACCEPTED, REFUSED, Accepted, assert_same_meaning, request
from tests.support.origin import Origin

CASES = [pytest.param(case.sent, case.statuses, id=case.name) for case in REFUSED]


@pytest.mark.parametrize(("sent", "statuses"), CASES)
async def test_rule_is_answered_and_the_connection_closed(
    edge: Edge, origin: Origin, sent: bytes, statuses: frozenset[int]
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
    edge: Edge, origin: Origin, sent: bytes, statuses: frozenset[int]
):
    """R15: a limit that is only looked at once per read is none (CVE-2026-54277)."""
    client = await edge.connect()
    with contextlib.suppress(ConnectionError):  # refused before the last byte
        await client.send_slowly(sent, 1 if len(sent) < 500 else 700)
    assert (await client.read_response()).status in statuses
    assert origin.requests == []


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in ACCEPTED])
async def test_request_reaches_the_origin_as_it_was_meant(edge: Edge, origin: Origin, case: Accepted):
    """Target byte for byte, fields in order, the body whole, and nothing behind it taken for part of it."""
    client = await edge.connect()
    await client.send(case.sent)
    assert (await client.read_response()).status == 200
    (seen,) = origin.requests
    assert_same_meaning(case, seen)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
async def test_r19_body_of_any_method_is_not_the_next_request(edge: Edge, origin: Origin, method: bytes):
    """Left in the buffer it would be one."""
    client = await edge.connect()
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    line = method + b" /a HTTP/1.1"
    await client.send(request(b"Content-Length: %d" % len(smuggled), line=line, body=smuggled) + get("/next"))
    for to_head in (method == b"HEAD", False):
        assert (await client.read_response(to_head=to_head)).status == 200
    seen = [(seen.head.start_line.split(" ")[1], seen.body) for seen in origin.requests]
    assert seen == [("/a", smuggled), ("/next", b"")]


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
