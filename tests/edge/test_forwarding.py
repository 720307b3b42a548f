"""What passes through unharmed: requests, answers, framing, connections."""

import asyncio

import pytest

from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import chunked, get, post
from tests.support.origin import Origin, OriginConnection, answer

OVER_TLS = True


async def test_request_reaches_the_origin_and_its_answer_the_client(edge: Edge, origin: Origin):
    """The vertical slice: bytes in, bytes out, headers of both sides kept."""
    client = await edge.connect()
    response = await client.fetch(get("/a?b=%20", "X-Mine: 1"))
    assert (response.status, response.body) == (200, b"hello")
    (seen,) = origin.requests
    assert seen.head.start_line == "GET /a?b=%20 HTTP/1.1"
    assert seen.head.get("x-mine") == "1"
    assert seen.head.get("x-forwarded-for") == "127.0.0.1"


async def test_keep_alive_serves_many_requests_over_one_connection_each_side(edge: Edge, origin: Origin):
    """The pooled path: no connection is opened per request."""
    client = await edge.connect()
    for number in range(20):
        response = await client.fetch(get(f"/{number}"))
        assert response.status == 200
    assert len(origin.requests) == 20
    assert len(origin.connections) == 1


async def test_pool_hands_out_the_connection_that_was_given_back_last(edge: Edge, origin: Origin):
    """LIFO keeps a few connections warm and lets the others reach their idle deadline."""
    gate = asyncio.Event()

    async def hold_then_answer(connection: OriginConnection) -> None:
        while True:
            request = await connection.read_request()
            if request.head.start_line.startswith("GET /hold"):
                await gate.wait()
            await connection.send(answer(str(origin.connections.index(connection)).encode()))

    origin.behave = hold_then_answer
    first, second = await edge.connect(), await edge.connect()
    await first.send(get("/hold"))
    await until(lambda: len(origin.requests) == 1)
    assert (await second.fetch(get())).body == b"1"
    gate.set()
    assert (await first.read_response()).body == b"0"
    await until(lambda: edge.worker.context.upstreams.idle_count == 2)
    assert (await second.fetch(get())).body == b"0"


@pytest.mark.parametrize("piece_bytes", [1, 7, 4096])
async def test_any_split_of_a_request_gives_the_same_request(edge: Edge, origin: Origin, piece_bytes: int):
    """TCP has no message borders."""
    client = await edge.connect()
    request = post(b"0123456789", "/split", "X-A: b") + post(b"abc", "/second")
    await client.send_slowly(request, piece_bytes)
    assert (await client.read_response()).status == 200
    assert (await client.read_response()).status == 200
    assert [(seen.head.start_line, seen.body) for seen in origin.requests] == [
        ("POST /split HTTP/1.1", b"0123456789"),
        ("POST /second HTTP/1.1", b"abc"),
    ]


@pytest.mark.parametrize("piece_bytes", [1, 5])
async def test_any_split_of_an_answer_gives_the_same_answer(edge: Edge, origin: Origin, piece_bytes: int):
    """And none on the other side."""

    async def slowly(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await connection.send_slowly(answer(b"0123456789", "X-A: b"), piece_bytes)

    origin.behave = slowly
    client = await edge.connect()
    for _ in range(2):
        response = await client.fetch(get())
        assert (response.body, response.head.get("x-a")) == (b"0123456789", "b")


async def test_pipelined_requests_are_answered_in_order(edge: Edge, origin: Origin):
    """RFC 9112 section 9.3.2."""

    async def echo_path(connection: OriginConnection) -> None:
        while True:
            request = await connection.read_request()
            await connection.send(answer(request.head.start_line.split(" ")[1].encode()))

    origin.behave = echo_path
    client = await edge.connect()
    await client.send(b"".join(get(f"/{number}") for number in range(50)))
    assert [(await client.read_response()).body for _ in range(50)] == [b"/%d" % n for n in range(50)]


async def test_pipelined_requests_beyond_the_bound_wait_in_the_socket(start_edge: StartEdge, origin: Origin):
    """Otherwise a client could make a worker hold any number of requests."""
    gate = asyncio.Event()

    async def hold_first(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await gate.wait()
            await connection.send(answer())

    origin.behave = hold_first
    edge = await start_edge(pipelined_bytes=1000)
    client = await edge.connect()
    await client.send(get("/first"))
    await until(lambda: len(origin.requests) == 1)
    count = 200
    await client.send(b"".join(get(f"/{number}") for number in range(count)))
    await until(lambda: len(edge.worker.context.held) == 1)
    gate.set()
    for _ in range(count + 1):
        assert (await client.read_response()).status == 200
    assert len(origin.requests) == count + 1


async def test_chunked_upload_is_decoded_and_encoded_anew(edge: Edge, origin: Origin):
    """The client's framing bytes never go upstream: chunk extensions are where parsers disagree."""
    client = await edge.connect()
    head = get("/up", "Transfer-Encoding: chunked", method="POST")
    await client.send(head + b"3;ext=1\r\nabc\r\n" + b"4\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n")
    assert (await client.read_response()).status == 200
    (seen,) = origin.requests
    assert seen.body == b"abcdefg"
    assert seen.head.all("transfer-encoding") == ["chunked"]
    assert seen.head.get("content-length") is None


async def test_request_behind_a_chunked_body_is_the_next_request(edge: Edge, origin: Origin):
    """The end of a body is where the next head begins, also within one read."""
    client = await edge.connect()
    head = get("/up", "Transfer-Encoding: chunked", method="POST")
    await client.send(head + chunked(b"x" * 100) + get("/next"))
    assert (await client.read_response()).status == 200
    assert (await client.read_response()).status == 200
    assert [seen.head.start_line.split(" ")[1] for seen in origin.requests] == ["/up", "/next"]


async def test_body_on_get_is_forwarded_with_its_framing(edge: Edge, origin: Origin):
    """R19: a body left in the buffer would be read as the next request."""
    client = await edge.connect()
    assert (await client.fetch(post(b"GET /evil HTTP/1.1\r\n\r\n", "/", method="GET"))).status == 200
    assert [seen.body for seen in origin.requests] == [b"GET /evil HTTP/1.1\r\n\r\n"]


async def test_http_10_client_gets_a_closed_connection(edge: Edge, origin: Origin):
    """RFC 9112 section 9.3: persistence must be asked for."""
    client = await edge.connect()
    await client.send(get(version="1.0"))
    response = await client.read_response()
    assert response.body == b"hello"
    assert await client.see_end() == "fin"


async def test_http_10_client_that_asks_keeps_its_connection(edge: Edge, origin: Origin):
    """ab and old health checkers do."""
    client = await edge.connect()
    for _ in range(2):
        response = await client.fetch(get("/", "Connection: keep-alive", version="1.0"))
        assert response.head.get("connection") == "keep-alive"


async def test_connection_close_from_the_client_is_honoured(edge: Edge, origin: Origin):
    """And is between us and the client only: the upstream connection goes back to the pool."""
    client = await edge.connect()
    response = await client.fetch(get("/", "Connection: close"))
    assert response.head.get("connection") == "close"
    assert await client.see_end() == "fin"
    await until(lambda: edge.worker.context.upstreams.idle_count == 1)


async def test_connection_close_from_the_origin_does_not_close_the_client(edge: Edge, origin: Origin):
    """Connections are hop by hop."""

    async def close_each(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(b"bye", "Connection: close"))

    origin.behave = close_each
    client = await edge.connect()
    for _ in range(3):
        assert (await client.fetch(get())).body == b"bye"
    assert len(origin.connections) == 3


async def test_head_204_and_304_have_no_body_whatever_their_fields_say(edge: Edge, origin: Origin):
    """P2: a body taken for one would shift every answer behind it."""

    async def bodyless(connection: OriginConnection) -> None:
        while True:
            request = await connection.read_request()
            path = request.head.start_line.split(" ")[1]
            if path == "/head":
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            elif path == "/204":
                await connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                await connection.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: a\r\n\r\n")

    origin.behave = bodyless
    client = await edge.connect()
    await client.send(get("/head", method="HEAD"))
    assert (await client.read_response(to_head=True)).head.get("content-length") == "1000"
    assert (await client.fetch(get("/204"))).status == 204
    assert (await client.fetch(get("/304"))).head.get("etag") == "a"
    assert len(origin.connections) == 1


async def test_close_delimited_answer_is_chunked_for_11_and_closed_for_10(edge: Edge, origin: Origin):
    """P5: without length the end must still be visible."""

    async def to_close(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.0 200 OK\r\n\r\npart one, ")
        await connection.send(b"part two")

    origin.behave = to_close
    client = await edge.connect()
    response = await client.fetch(get())
    assert response.head.get("transfer-encoding") == "chunked"
    assert response.body == b"part one, part two"
    assert (await client.fetch(get())).status == 200
    old = await edge.connect()
    await old.send(get(version="1.0"))
    response = await old.read_response()
    assert response.head.get("transfer-encoding") is None
    assert response.body == b"part one, part two"


async def test_chunked_answer_reaches_an_old_client_undressed(edge: Edge, origin: Origin):
    """P6: HTTP/1.0 knows no chunks."""

    async def in_chunks(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await connection.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ab", b"c")
            )

    origin.behave = in_chunks
    client = await edge.connect()
    await client.send(get(version="1.0"))
    response = await client.read_response()
    assert (response.head.get("transfer-encoding"), response.body) == (None, b"abc")
    assert await client.see_end() == "fin"


async def test_interim_responses_reach_11_clients_only(edge: Edge, origin: Origin):
    """P3: a proxy forwards 1xx it did not ask for, and never to HTTP/1.0."""

    async def hint(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            await connection.send(answer())

    origin.behave = hint
    client = await edge.connect()
    await client.send(get())
    assert (await client.read_response()).status == 103
    assert (await client.read_response()).status == 200
    old = await edge.connect()
    await old.send(get(version="1.0"))
    assert (await old.read_response()).status == 200


async def test_expect_continue_waits_for_the_origins_100(edge: Edge, origin: Origin):
    """RFC 9110 section 10.1.1: the origin decides whether it wants the body."""

    async def ask_for_body(connection: OriginConnection) -> None:
        head = await connection.read_head()
        assert head.get("expect") == "100-continue"
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await connection.read_body(head)
        await connection.send(answer(body))

    origin.behave = ask_for_body
    client = await edge.connect()
    await client.send(get("/", "Expect: 100-continue", "Content-Length: 4", method="PUT"))
    assert (await client.read_response()).status == 100
    await client.send(b"body")
    assert (await client.read_response()).body == b"body"


async def test_refused_expectation_closes_after_the_answer(edge: Edge, origin: Origin):
    """The client may or may not send the body now: the connection's next bytes have no meaning."""

    async def refuse(connection: OriginConnection) -> None:
        await connection.read_head()
        await connection.send(answer(b"no", status="417 Expectation Failed"))

    origin.behave = refuse
    client = await edge.connect()
    await client.send(get("/", "Expect: 100-continue", "Content-Length: 4", method="PUT"))
    assert (await client.read_response()).status == 417
    assert await client.see_end() == "fin"


async def test_early_answer_while_uploading_is_relayed_and_both_sides_close(edge: Edge, origin: Origin):
    """P7: the 413 case. The rest of the upload is not a request."""

    async def too_large(connection: OriginConnection) -> None:
        await connection.read_head()
        await connection.send(answer(b"too large", status="413 Content Too Large"))
        assert await connection.see_end() in ("fin", "reset")

    origin.behave = too_large
    client = await edge.connect()
    await client.send(get("/", "Content-Length: 10000000", method="POST") + b"x" * 1000)
    response = await client.read_response()
    assert (response.status, response.head.get("connection")) == (413, "close")
    # What the client still sends is taken for a while: a reset could overtake the answer.
    for _ in range(3):
        await client.send(b"x" * 1000)
        await asyncio.sleep(0.02)
    assert await client.see_end() == "fin"
    assert edge.worker.context.upstreams.idle_count == 0


async def test_early_answer_survives_the_reset_that_follows_it(edge: Edge, origin: Origin):
    """A gateway that answers and closes with our bytes unread sends RST; its answer must not be lost to
    it."""

    async def answer_and_slam(connection: OriginConnection) -> None:
        await connection.read_head()
        await connection.send(answer(b"too large", status="413 Content Too Large"))

    origin.behave = answer_and_slam
    client = await edge.connect()
    await client.send(get("/", "Content-Length: 100000000", method="POST") + b"x" * 500_000)
    assert (await client.read_response()).status == 413


async def test_configuration_of_another_upstream_leaves_the_old_one(edge: Edge, origin: Origin):
    """Idle connections to the old address are closed, running exchanges end where they are."""
    client = await edge.connect()
    await client.fetch(get())
    other = Origin()
    await other.start()
    try:
        edge.configure(upstream_port=other.port)
        assert (await client.fetch(get("/moved"))).status == 200
        assert [seen.head.start_line for seen in other.requests] == ["GET /moved HTTP/1.1"]
        await until(lambda: origin.connections[0].is_closed)
    finally:
        await other.close()
