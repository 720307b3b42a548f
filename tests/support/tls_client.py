"""A raw client that speaks TLS: the test sees close_notify, a cut and a reset apart."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

from tests.support.client import Client
from tests.support.peer import PATIENCE_SECONDS


def client_context(authority: Path | None = None) -> ssl.SSLContext:
    """Trusts that authority; without one it takes whatever it is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(authority)
    return context


class TlsClient(Client):
    """`receive` gives b"" at close_notify and raises EOFError at a FIN without it."""

    tls: ssl.SSLObject

    async def begin_tls(
        self, context: ssl.SSLContext, name: str | None = "a.example", session: ssl.SSLSession | None = None
    ) -> "TlsClient":
        """Raises ssl.SSLError, ConnectionResetError or EOFError when it does not come about."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.flush()
                await self._fill()
        await self.flush()
        return self

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), 65536):
            self.tls.write(data[start : start + 65536])
            await self.flush()

    def send_at_once(self, data: bytes) -> None:
        self.tls.write(data)
        super().send_at_once(self._outgoing.read())

    async def send_slowly(self, data: bytes, piece_bytes: int = 1) -> None:
        """In pieces of the ciphertext, each its own segment."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls.write(data)
        secret = self._outgoing.read()
        for start in range(0, len(secret), piece_bytes):
            await self.send_raw(secret[start : start + piece_bytes])
            await asyncio.sleep(0)

    async def flush(self) -> None:
        if self._outgoing.pending:
            await self.send_raw(self._outgoing.read())

    def half_close(self) -> None:
        """close_notify and FIN."""
        self._say_end()
        super().half_close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._say_end()
        super().close()

    def cut(self) -> None:
        """FIN alone."""
        super().half_close()

    def _say_end(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        if self._outgoing.pending and self.socket.fileno() >= 0:
            self.socket.send(self._outgoing.read())

    async def _take(self, limit: int) -> bytes:
        while True:
            try:
                return self.tls.read(limit)
            except ssl.SSLWantReadError:
                await self._fill()
            except ssl.SSLZeroReturnError:
                return b""

    async def _fill(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            data = await asyncio.get_running_loop().sock_recv(self.socket, 262144)
        if not data:
            raise EOFError("a FIN without close_notify")
        self._incoming.write(data)
