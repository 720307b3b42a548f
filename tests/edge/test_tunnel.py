"""WebSocket handshakes: a raw tunnel after a real 101, ordinary HTTP after everything else."""

import asyncio
from hashlib import sha256

import pytest

from fastmatch._native import Entry
from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import Client, get
from tests.support.origin import Origin, OriginConnection, answer

OVER_TLS = True

HANDSHAKE = get(
    "/ws",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


async def echo(connection: OriginConnection) -> None:
    """101, then every byte back; FIN is answered with FIN."""
    await connection.read_request()
    await connection.send(SWITCH)
    while data := await connection.receive():
        await connection.send(data)
    connection.half_close()
    await connection.see_end()


async def open_tunnel(edge: Edge, source: str = "127.0.0.1") -> Client:
    client = await edge.connect(source=source)
    await client.send(HANDSHAKE)
    head = await client.read_head()
    assert head.status == 101
    assert head.get("upgrade") == "websocket"
    return client


async def test_bytes_pass_both_ways_after_101(edge: Edge, origin: Origin):
    """Frames are none of our business: also bytes that are no frames."""
    origin.behave = echo
    client = await open_tunnel(edge)
    for data in (b"\x81\x05hello", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256))):
        await client.send(data)
        assert await client.read_exactly(len(data)) == data
    assert edge.counter("tunnels_open") == 1
    client.close()
    await until(lambda: edge.counter("tunnels_open") == 0)


async def test_bytes_around_the_101_are_the_tunnels(edge: Edge, origin: Origin):
    """What the client sends early, and what comes in one segment with the 101."""

    async def greet(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(SWITCH + b"greeting")
        assert await connection.read_exactly(5) == b"early"
        await connection.send(b"got it")
        await connection.see_end()

    origin.behave = greet
    client = await edge.connect()
    await client.send(HANDSHAKE + b"early")
    assert (await client.read_head()).status == 101
    assert await client.read_exactly(14) == b"greetinggot it"


async def test_early_bytes_do_not_reach_an_origin_that_declines(edge: Edge, origin: Origin):
    """Switched early, they would be a smuggled request (CVE-2026-2833)."""

    async def decline(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await connection.send(answer(b"no", status="426 Upgrade Required"))

    origin.behave = decline
    client = await edge.connect()
    await client.send(HANDSHAKE + get("/next"))
    assert (await client.read_response()).status == 426
    assert (await client.read_response()).status == 426
    assert [seen.head.start_line for seen in origin.requests] == ["GET /ws HTTP/1.1", "GET /next HTTP/1.1"]


@pytest.mark.parametrize("token", ["h2c", "websocket, h2c", "TLS/1.0"])
async def test_other_upgrades_are_removed(edge: Edge, origin: Origin, token: str):
    """An accepted h2c would be a tunnel past every later check."""
    client = await edge.connect()
    fields = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {token}", "HTTP2-Settings: AAMAAABkAAQAAP__")
    response = await client.fetch(get("/", *fields))
    assert response.status in (200, 400)
    for seen in origin.requests:
        assert seen.head.get("upgrade") is None
        assert seen.head.get("http2-settings") is None


async def test_half_closed_direction_is_passed_on(edge: Edge, origin: Origin):
    """The other one goes on until it ends, too."""

    async def count(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(SWITCH)
        received = await connection.read_to_end()
        await connection.send(b"%d bytes" % len(received))

    origin.behave = count
    client = await open_tunnel(edge)
    await client.send(b"x" * 1000)
    client.half_close()
    assert await client.read_to_end() == b"1000 bytes"
    await until(lambda: not edge.worker.context.connections)


async def test_reset_of_one_end_is_a_reset_for_the_other(edge: Edge, origin: Origin):
    """A broken tunnel must not look like a finished one."""
    ends = []

    async def wait(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(SWITCH)
        ends.append(await connection.see_end())

    origin.behave = wait
    client = await open_tunnel(edge)
    client.reset()
    await until(lambda: bool(ends))
    assert ends == ["reset"]


async def test_large_transfer_is_bounded_and_exact_both_ways(edge: Edge, origin: Origin):
    """Back-pressure: neither end may run ahead of the other by more than the buffers."""
    origin.behave = echo
    client = await open_tunnel(edge)
    data = bytes(range(256)) * 40_000
    sender = asyncio.get_running_loop().create_task(client.send(data))
    digest = sha256()
    for _ in range(len(data) // 256_000):
        digest.update(await client.read_exactly(256_000))
    await sender
    assert digest.digest() == sha256(data).digest()


async def test_end_that_does_not_read_stops_the_other(edge: Edge, origin: Origin):
    """Memory in a tunnel is bounded by the write buffer's limit."""
    sent_count = 0

    async def flood(connection: OriginConnection) -> None:
        nonlocal sent_count
        await connection.read_request()
        await connection.send(SWITCH)
        while True:
            await connection.send(b"x" * 65536)
            sent_count += 1

    origin.behave = flood
    client = await edge.connect(receive_buffer_bytes=8192)
    await client.send(HANDSHAKE)
    await until(lambda: edge.counter("tunnels_open") == 1)
    (connection,) = edge.worker.context.connections
    transport = connection.transport
    await until(lambda: transport.get_write_buffer_size() > 262144)
    before = -1
    while before != sent_count:
        before = sent_count
        await asyncio.sleep(0.05)
    assert transport.get_write_buffer_size() < 262144 + 256000


async def test_idle_tunnel_ends_at_its_deadline(start_edge: StartEdge, origin: Origin):
    """A deadline of its own: nothing else would ever end a silent tunnel."""
    origin.behave = echo
    edge = await start_edge(tunnel_idle_seconds=0.2)
    client = await open_tunnel(edge)
    assert await client.see_end() in ("fin", "reset")
    await until(lambda: not edge.worker.context.connections)


async def test_new_block_closes_the_addresss_tunnel(edge: Edge, origin: Origin):
    """And no other one."""
    ends = []

    async def wait(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(SWITCH)
        ends.append(await connection.see_end())

    origin.behave = wait
    blocked = await open_tunnel(edge, "127.0.0.66")
    await open_tunnel(edge)
    await edge.block(Entry("127.0.0.66", score=9))
    assert await blocked.see_end() == "reset"
    await until(lambda: len(ends) == 1)
    assert edge.counter("tunnels_open") == 1
