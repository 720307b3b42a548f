"""A programmable upstream that speaks TLS, and keeps what each handshake said."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.authority import Pair
from tests.support.origin import answer
from tests.support.peer import Head

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TlsOrigin:
    """`names`: what each client asked for by SNI. `heads`: of each request."""

    def __init__(self, pair: Pair, client_authority: Path | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        if client_authority is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_authority)
        self.context.sni_callback = self._named
        self.names: list[str | None] = []
        self.heads: list[Head] = []
        self.protocols: list[str | None] = []
        self.subjects: list[str] = []
        self.handle: Handler = self.answer_all
        self.writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    def _named(self, _connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self.names.append(name)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self.writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
        self.protocols.append(connection.selected_alpn_protocol())
        certificate: Any = connection.getpeercert() or {}
        self.subjects += [part[0][1] for part in certificate.get("subject", ())]
        try:
            await self.handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the edge closed it
        finally:
            writer.close()

    async def read_head(self, reader: asyncio.StreamReader) -> Head:
        head = Head.parse(await reader.readuntil(b"\r\n\r\n"))
        self.heads.append(head)
        return head

    async def answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """200 with the request's body, or `hello`, until the peer closes."""
        while True:
            head = await self.read_head(reader)
            body = await reader.readexactly(int(head.get("content-length") or 0))
            writer.write(answer(body or b"hello"))
            await writer.drain()
