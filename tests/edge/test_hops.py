"""Fields that belong to one connection stay on it, in both directions."""

from tests.edge.conftest import Edge
from tests.support.client import get
from tests.support.origin import Origin, OriginConnection, answer

CONNECTION_FIELDS = (
    "Connection: close, X-Named",
    "X-Named: secret",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "TE: gzip",
    "Trailer: X-T",
    "Upgrade: h2c",
)


async def test_connection_fields_of_a_request_stay_on_its_connection(edge: Edge, origin: Origin):
    """S1: what `Connection` names, and what is known to be hop by hop."""
    client = await edge.connect()
    await client.fetch(get("/", *CONNECTION_FIELDS, "X-End: kept"))
    (seen,) = origin.requests
    for name in ("x-named", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"):
        assert seen.head.get(name) is None, name
    assert seen.head.get("x-end") == "kept"


async def test_connection_cannot_name_away_fields_that_we_set_or_that_frame(edge: Edge, origin: Origin):
    """CVE-2021-32813, CVE-2024-45410: strip first, add ours after."""
    client = await edge.connect()
    named = "Connection: X-Forwarded-For, Host, Content-Length, Authorization"
    request = get("/", named, "Authorization: Bearer x", "Content-Length: 3", method="POST") + b"abc"
    assert (await client.fetch(request)).status == 200
    (seen,) = origin.requests
    assert seen.head.get("x-forwarded-for") == "127.0.0.1"
    assert seen.head.get("host") == "example.com"
    assert seen.head.get("authorization") == "Bearer x"
    assert seen.body == b"abc"


async def test_fields_that_speak_for_us_are_not_taken_from_a_stranger(edge: Edge, origin: Origin):
    """In any spelling: an application behind us reads `_` as `-`."""
    client = await edge.connect()
    spoofed = ("X-Real-IP: 1.2.3.4", "X_Real_IP: 1.2.3.4", "X-Sentra-Score: 0", "x-sentra-client: 1.2.3.4")
    response = await client.fetch(get("/", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4", *spoofed))
    assert response.status in (200, 400)
    for seen in origin.requests:
        assert b"1.2.3.4" not in seen.head.raw


async def test_connection_fields_of_an_answer_stay_on_its_connection(edge: Edge, origin: Origin):
    """P10: the client's connection is ours to keep or close."""

    async def with_fields(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(b"hello", *CONNECTION_FIELDS[:4], "X-End: kept"))

    origin.behave = with_fields
    client = await edge.connect()
    for _ in range(2):
        response = await client.fetch(get())
        for name in ("x-named", "keep-alive", "proxy-connection", "connection"):
            assert response.head.get(name) is None, name
        assert response.head.get("x-end") == "kept"


async def test_101_keeps_its_upgrade_and_loses_what_else_is_hop_by_hop(edge: Edge, origin: Origin):
    """P10 on the one answer that has an `Upgrade`."""

    async def switch(connection: OriginConnection) -> None:
        await connection.read_request()
        fields = "Connection: Upgrade, X-Named\r\nUpgrade: websocket\r\nX-Named: secret\r\n"
        await connection.send(f"HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n".encode())
        await connection.see_end()

    origin.behave = switch
    client = await edge.connect()
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    await client.send(get("/", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
    head = await client.read_head()
    assert (head.status, head.get("upgrade"), head.get("x-named")) == (101, "websocket", None)
