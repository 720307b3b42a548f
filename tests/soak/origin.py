"""`python -m tests.soak.origin PORT`: an origin whose answers can be checked by whoever asked.

`GET /`: `hello`. `GET /bytes/N`: N times `x`. `GET /seeded/SEED/N` and `/chunked/SEED/N`: N bytes that only
this seed gives, with a length or in chunks. `POST`: SHA-256 and length of what came.
"""

import asyncio
import sys
from hashlib import sha256
from typing import cast

import uvloop

LARGEST_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 10_000
# One object for all: many slow readers of one large answer hold it once.
_PLAIN = b"x" * LARGEST_BYTES


def seeded_body(seed: str, size: int) -> bytes:
    """A byte of another answer, a byte too many or too few, and the hash is another."""
    block = sha256(seed.encode("ascii")).digest()
    return (block * (size // len(block) + 1))[:size]


def upload_answer(digest: str, size: int) -> bytes:
    return f"{digest} {size}".encode("ascii")


class OriginProtocol(asyncio.Protocol):
    """One request at a time, as the edge sends them."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._digest = sha256()
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._take_body(data)
            return
        self._head += data
        head, mark, rest = self._head.partition(b"\r\n\r\n")
        if not mark:
            return
        self._head = b""
        if head.startswith(b"POST "):
            length = head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
            self._left, self._size, self._digest = int(length), int(length), sha256()
            self._take_body(rest)
        else:
            self._answer(head.split(b" ", 2)[1].decode("ascii"))

    def _take_body(self, data: bytes) -> None:
        self._digest.update(data)
        self._left -= len(data)
        if not self._left:
            self._send(upload_answer(self._digest.hexdigest(), self._size))

    def _answer(self, path: str) -> None:
        _, kind, *rest = path.split("/")
        if not kind:
            self._send(b"hello")
            return
        if kind == "bytes":
            self._send(_PLAIN if int(rest[0]) == LARGEST_BYTES else _PLAIN[: int(rest[0])])
            return
        body = seeded_body(rest[0], int(rest[1]))
        if kind == "seeded":
            self._send(body)
            return
        pieces = [body[start : start + _PIECE_BYTES] for start in range(0, len(body), _PIECE_BYTES)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"
        )

    def _send(self, body: bytes) -> None:
        self._transport.writelines([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body])


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(OriginProtocol, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
