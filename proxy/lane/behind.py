"""What a lane knows of a request because an edge worker sent it, and how many it takes at a time."""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from proxy.lane import replies

if TYPE_CHECKING:
    from proxy.lane.connection import LaneProtocol

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


class LaneHandler:
    """Runs an application's handler so many times at once, then sends the answer that it hands back unsent.

    A middleware gets the head of an answer while nothing of it is out, and may change it or give another one.
    """

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
        # The same for every clone of the request.
        connection = cast("LaneProtocol", request.protocol)
        try:
            response = await self._handler(request)
            if connection.held is not None and connection.held.response is response:
                response = await connection.held.finish()
            return response
        finally:
            self.running_count -= 1
            held, connection.held = connection.held, None
            if held is not None:
                await held.close()
