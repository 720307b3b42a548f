"""A raw HTTP client: what it sends is bytes, what it reads is the message as it came."""

import asyncio
import socket
from typing import Self

from tests.support.peer import Message, Peer


def get(path: str = "/", *fields: str, version: str = "1.1", method: str = "GET") -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: example.com", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post(body: bytes, path: str = "/", *fields: str, method: str = "POST") -> bytes:
    """A request whose length is declared."""
    return get(path, f"Content-Length: {len(body)}", *fields, method=method) + body


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Client(Peer):
    @classmethod
    async def connect(cls, port: int, *, source: str = "127.0.0.1", receive_buffer_bytes: int = 0) -> Self:
        """`source`: any 127.0.0.0/8 address is one of ours. A small receive buffer makes a slow reader."""
        endpoint = socket.socket()
        endpoint.setblocking(False)
        if receive_buffer_bytes:
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        endpoint.bind((source, 0))
        try:
            await asyncio.get_running_loop().sock_connect(endpoint, ("127.0.0.1", port))
        except OSError:
            endpoint.close()
            raise
        return cls(endpoint)

    async def read_response(self, *, to_head: bool = False) -> Message:
        """The next final or interim response. `to_head`: it answers HEAD."""
        head = await self.read_head()
        if to_head or head.status < 200 or head.status in (204, 304):
            return Message(head, b"")
        return Message(head, await self.read_body(head, to_end=True))

    async def fetch(self, request: bytes) -> Message:
        await self.send(request)
        return await self.read_response()
