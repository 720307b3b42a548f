"""Rules P1-P12 on sockets, as far as no failure of a connection is meant: those are in
test_upstream_failures.py.
"""

import pytest

from tests.edge.conftest import Edge, until
from tests.support.client import get
from tests.support.origin import Origin, OriginConnection, answer


def says(*responses: bytes):
    """Each connection answers its requests with these, in turn."""

    async def behave(connection: OriginConnection) -> None:
        while True:
            for response in responses:
                await connection.read_request()
                await connection.send(response)

    return behave


async def test_p1_blanks_before_a_colon_are_stripped(edge: Edge, origin: Origin):
    """RFC 9112 section 5.1 has it so for answers. As part of the name they would hide the length."""
    origin.behave = says(b"HTTP/1.1 200 OK\r\nContent-Length \t: 5\r\nX-A : b\r\n\r\nhello")
    client = await edge.connect()
    for _ in range(2):
        response = await client.fetch(get())
        assert response.body == b"hello"
        assert b"\r\nX-A: b\r\n" in response.head.raw
        assert b"Content-Length: 5\r\n" in response.head.raw
    assert len(origin.connections) == 1


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Secret: one\r\n two\r\nContent-Length: 0\r\n\r\n", id="folded"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Secret: \x00\r\nContent-Length: 0\r\n\r\n", id="NUL"),
        pytest.param(b"HTTP/1.1 200 O\rK\r\nX-Secret: a\r\nContent-Length: 0\r\n\r\n", id="CR in the reason"),
        pytest.param(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked in 1.0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na", id="list of lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", id="signed length"),
    ],
)
async def test_p1_p12_answer_that_parsers_read_differently_is_502_without_a_word_of_it(
    edge: Edge, origin: Origin, response: bytes
):
    """RFC 9112 section 6.3, and CVE-2026-34519 for the CR."""
    origin.behave = says(response)
    client = await edge.connect()
    answered = await client.fetch(get("/marker-4711"))
    assert answered.status == 502
    said = answered.head.raw + answered.body
    assert b"Secret" not in said
    assert b"marker-4711" not in said
    assert answered.head.get("server") is None
    await until(lambda: origin.connections[0].is_closed)


@pytest.mark.parametrize(
    ("request_bytes", "response"),
    [
        (get(method="HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"),
        (get(), b"HTTP/1.1 204 No Content\r\n\r\nstolen"),
        (get(), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nstolen"),
    ],
)
async def test_p2_body_of_an_answer_that_has_none_is_never_relayed(
    edge: Edge, origin: Origin, request_bytes: bytes, response: bytes
):
    """It would be the beginning of the next answer."""
    origin.behave = says(response)
    client = await edge.connect()
    for _ in range(2):
        await client.send(request_bytes)
        head = await client.read_head()
        assert head.status in (200, 204, 304)
    client.half_close()
    assert await client.read_to_end() == b""
    assert len(origin.connections) == 2


async def test_p3_every_interim_answer_goes_through_in_order(edge: Edge, origin: Origin):
    """RFC 9110 section 15.2: forwarded unless the proxy itself has asked for it."""
    origin.behave = says(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" + answer(b"final")
    )
    client = await edge.connect()
    for _ in range(2):
        await client.send(get())
        assert [(await client.read_response()).status for _ in range(3)] == [100, 102, 103]
        assert (await client.read_response()).body == b"final"
    assert len(origin.connections) == 1


async def test_s7_what_an_answer_says_to_the_client_is_not_ours_to_change(edge: Edge, origin: Origin):
    """Repeated fields keep their order, challenges their spelling."""
    fields = (
        'WWW-Authenticate: Digest realm="a, b", nonce="c"',
        "Set-Cookie: a=1; Path=/",
        "www-authenticate: Basic realm=x",
        "Set-Cookie: b=2",
        "Allow: GET, HEAD",
        "Cache-Control: no-transform",
        "Content-Encoding: gzip",
    )
    origin.behave = says(answer(b"\x1f\x8bnot really", *fields, status="401 Unauthorized"))
    client = await edge.connect()
    response = await client.fetch(get())
    lines = response.head.raw.decode("latin-1").split("\r\n")
    assert [line for line in lines if line in fields] == list(fields)
    assert response.body == b"\x1f\x8bnot really"


async def test_p10_alternative_services_are_not_announced(edge: Edge, origin: Origin):
    """They would lead clients around the edge."""
    origin.behave = says(answer(b"hello", 'Alt-Svc: h3=":443"'))
    client = await edge.connect()
    assert (await client.fetch(get())).head.get("alt-svc") is None
