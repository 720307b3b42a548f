"""An upstream's response head -> an aiohttp response that sends it byte for byte and invents nothing."""

import asyncio
import socket
import struct
from typing import Final

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

from proxy.lane import heads

_LINGER_RESET: Final = struct.pack("ii", 1, 0)
_BODYLESS: Final = frozenset({204, 304})


class PassedResponse(web.StreamResponse):
    """Headers are ordinary `str` headers, so middlewares and the prepare signal may change them.

    Against aiohttp's own: the writer is ours (its C writer deletes what is not UTF-8), no Content-Type and no
    Server is invented, a HEAD answer keeps its length.
    """

    def __init__(self, status: int, reason: str, fields: heads.Fields, length: int | None) -> None:
        super().__init__(status=status, reason=reason)
        self._headers = CIMultiDict(
            (name.decode("ascii"), value.decode("utf-8", "surrogateescape")) for name, value in fields
        )
        self._declared_length = length

    async def _prepare_headers(self) -> None:
        request, writer, headers = self._req, self._payload_writer, self._headers
        if request is None or not isinstance(writer, StreamWriter):
            raise RuntimeError("prepared without a request or with a foreign writer")
        keep_alive = request.keep_alive if self._keep_alive is None else self._keep_alive
        if is_last(request):
            keep_alive = False
        if self.status == 204:
            headers.popall("Content-Length", None)
        if request.method != "HEAD" and self.status not in _BODYLESS:
            if self._declared_length is not None:
                writer.length = self._declared_length
            elif request.version == HttpVersion11:
                writer.enable_chunking()
                headers["Transfer-Encoding"] = "chunked"
            else:
                keep_alive = False
        # RFC 9110 section 6.6.1: a proxy with a clock adds the date that the origin left out.
        headers.setdefault("Date", rfc822_formatted_time())
        if not keep_alive:
            headers["Connection"] = "close"
        elif request.version == HttpVersion10:
            headers["Connection"] = "keep-alive"
        self._keep_alive = keep_alive

    async def _write_headers(self) -> None:
        request, writer = self._req, self._payload_writer
        if request is None or not isinstance(writer, StreamWriter):
            raise RuntimeError("prepared without a request or with a foreign writer")
        # Kept back by the writer until the first body bytes or the end: one system call for a small answer.
        writer._headers_buf = heads.render_response(
            request.version, self.status, self.reason, self._headers.items()
        )
        writer._headers_written = False

    def send_head(self) -> None:
        """Do not wait for the first body byte (server-sent events, slow bodies)."""
        if isinstance(self._payload_writer, StreamWriter):
            self._payload_writer.send_headers()


def is_last(request: web.BaseRequest) -> bool:
    """True when the connection ends behind this request: at a stop, and after any `Upgrade`.

    aiohttp throws away what came in one segment with a request that wants an upgrade it does not know.
    """
    return request._message.upgrade or getattr(request.protocol, "is_draining", False)


def reset(transport: asyncio.Transport | None) -> None:
    """Abort so that the client sees an error even in a close-delimited body: uvloop's abort alone sends a
    FIN.
    """
    if transport is None or transport.is_closing():
        return
    peer = transport.get_extra_info("socket")
    if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    transport.abort()
