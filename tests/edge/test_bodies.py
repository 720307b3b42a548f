"""Bodies arrive byte for byte, however they are framed and however long they are."""

from hashlib import sha256

import pytest

from tests.edge.conftest import Edge, until
from tests.support.client import get
from tests.support.origin import Origin, OriginConnection, answer
from tests.support.peer import Peer

OVER_TLS = True

PIECE_BYTES = 262144
LARGE_BYTES = 100 * 1024 * 1024
SIZES = [
    0,
    1,
    65536,
    pytest.param(LARGE_BYTES, marks=pytest.mark.timeout(120), id="100 MiB"),
]


def piece(number: int) -> bytes:
    """Recognisable, so that a lost, doubled or moved piece changes the sum."""
    return number.to_bytes(8, "big") * (PIECE_BYTES // 8)


def digest_of(size: int) -> str:
    digest = sha256()
    for number in range(-(-size // PIECE_BYTES)):
        digest.update(piece(number)[: size - number * PIECE_BYTES])
    return digest.hexdigest()


async def send_body(peer: Peer, size: int, framing: str) -> None:
    for number in range(-(-size // PIECE_BYTES)):
        data = piece(number)[: size - number * PIECE_BYTES]
        await peer.send(b"%x\r\n%b\r\n" % (len(data), data) if framing == "chunked" else data)
    if framing == "chunked":
        await peer.send(b"0\r\n\r\n")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_answer_is_byte_identical(edge: Edge, origin: Origin, framing: str, size: int):
    """Down."""
    fields = {
        "length": f"Content-Length: {size}\r\n",
        "chunked": "Transfer-Encoding: chunked\r\n",
        "close": "",
    }

    async def send(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(f"HTTP/1.1 200 OK\r\n{fields[framing]}\r\n".encode())
        await send_body(connection, size, framing)

    origin.behave = send
    client = await edge.connect()
    await client.send(get())
    head = await client.read_head()
    assert head.status == 200
    assert await client.digest_body(head) == (size, digest_of(size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_upload_is_byte_identical(edge: Edge, origin: Origin, framing: str, size: int):
    """Up."""
    seen = []

    async def receive(connection: OriginConnection) -> None:
        head = await connection.read_head()
        seen.append(await connection.digest_body(head))
        await connection.send(answer())

    origin.behave = receive
    field = f"Content-Length: {size}" if framing == "length" else "Transfer-Encoding: chunked"
    client = await edge.connect()
    await client.send(get("/", field, method="POST"))
    await send_body(client, size, framing)
    assert (await client.read_response()).status == 200
    await until(lambda: bool(seen))
    assert seen == [(size, digest_of(size))]
