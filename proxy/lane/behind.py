"""What a lane knows of a request because an edge worker sent it, and how many it takes at a time."""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from proxy.lane import replies

_CREDENTIALS: Final = struct.Struct("iII")
_SCHEMES: Final = frozenset({"http", "https"})

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def is_own_user(transport: asyncio.BaseTransport) -> bool:
    """The folder's and the socket's modes say so already; this also holds when somebody widens them."""
    peer = transport.get_extra_info("socket")
    if peer is None or peer.family != socket.AF_UNIX:
        return False
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(raw)[1] in (0, os.geteuid())


class EdgeRequests:
    """Makes requests whose `remote` and `scheme` are the client's own, as the edge has found them.

    For middlewares that were written for an application at the front door.
    """

    __slots__ = ("_loop", "_read_bytes")

    def __init__(self, read_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_bytes = read_bytes

    def __call__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.Request:
        headers = message.headers
        scheme = headers.get("X-Forwarded-Proto")
        request = web.Request(
            message,
            payload,
            protocol,
            writer,
            task,
            self._loop,
            client_max_size=self._read_bytes,
            remote=headers.get("X-Real-IP"),
            scheme=scheme if scheme in _SCHEMES else None,
        )
        if request_id := headers.get("X-Request-Id"):
            request[replies.REQUEST_ID] = request_id
        return request


class Bounded:
    """A handler that runs so many times at once; a request beyond is answered 503 at once."""

    __slots__ = ("_handler", "_limit", "running_count")

    def __init__(self, handler: Handler, limit: int) -> None:
        self._handler = handler
        self._limit = limit
        self.running_count = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.running_count >= self._limit:
            close = not request.content.is_eof()
            return replies.problem(503, replies.request_id_of(request), close=close)
        self.running_count += 1
        try:
            return await self._handler(request)
        finally:
            self.running_count -= 1
