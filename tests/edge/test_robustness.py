"""Random bytes from both sides: a worker answers or closes, and its callbacks never fail."""

import asyncio
import random

import pytest

from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import chunked, get, post
from tests.support.origin import Origin, OriginConnection, answer

OVER_TLS = True

REQUESTS = (
    get("/a", "Connection: keep-alive"),
    post(b"0123456789" * 5),
    get("/", "Transfer-Encoding: chunked", method="POST") + chunked(b"abc", b"d" * 50),
    get("/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    get(version="1.0"),
    get(method="HEAD"),
)
ANSWERS = (
    answer(b"0123456789" * 5),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"d" * 50),
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nto the end",
)


def damaged(chance: random.Random, message: bytes) -> bytes:
    """Up to three bytes changed, lost, doubled or cut off."""
    data = bytearray(message)
    for _ in range(chance.randrange(4)):
        if not data:
            break
        place = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                del data[place]
            case 2:
                data[place:place] = data[place : place + chance.randrange(20)]
            case 3:
                data = data[: place + 1]
    return bytes(data)


@pytest.mark.parametrize("seed", range(8))
async def test_damaged_bytes_of_both_sides_never_fail_a_callback(
    start_edge: StartEdge, origin: Origin, seed: int
):
    """The fixture asserts at its end that no callback failed and nothing is left open."""
    chance = random.Random(seed)
    short = (
        "head",
        "keepalive",
        "body_idle",
        "send_idle",
        "tunnel_idle",
        "upstream_head",
        "upstream_read_idle",
    )
    edge: Edge = await start_edge(linger_seconds=0.1, **{f"{name}_seconds": 0.1 for name in short})

    async def damage(connection: OriginConnection) -> None:
        while True:
            await connection.receive()
            await connection.send(damaged(chance, chance.choice(ANSWERS)))
            if chance.randrange(4) == 0:
                connection.reset()
                return

    origin.behave = damage

    async def one_client() -> None:
        client = await edge.connect()
        try:
            for _ in range(5):
                await client.send_slowly(
                    damaged(chance, chance.choice(REQUESTS)), chance.choice((1, 50, 1000))
                )
                await asyncio.sleep(0)
            if chance.randrange(2):
                client.half_close()
            await client.see_end()
        except OSError:
            pass  # reset while sending
        finally:
            client.close()

    for _ in range(4):
        await asyncio.gather(*(one_client() for _ in range(10)))
    await until(lambda: not edge.worker.context.connections)
    assert edge.counter("requests_in_flight") == 0


async def test_worker_serves_well_after_all_of_it(edge: Edge, origin: Origin):
    """One client's rubbish is no other client's trouble."""
    chance = random.Random(99)
    for _ in range(50):
        client = await edge.connect()
        await client.send(bytes(chance.randrange(256) for _ in range(chance.randrange(1, 300))))
        client.reset()
    client = await edge.connect()
    assert (await client.fetch(get())).body == b"hello"
