"""aiohttp's connection pool, made safe against bytes that nobody asked for.

aiohttp keeps parsing what arrives on an idle connection and hands the result to the next request, which may
be another user's (reproduced on aiohttp 3.14.5). Here a byte that arrives while a connection is idle closes
it, a connection that carries half a message is never pooled, and one with unread bytes in the kernel is never
taken. The pool is LIFO: the connection used last is the least likely to have been closed by the other side.
"""

import asyncio
import fcntl
import functools
import struct
import termios
from time import monotonic
from typing import TYPE_CHECKING, Any

from aiohttp import ClientRequest, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

if TYPE_CHECKING:
    from aiohttp.client import ClientTimeout
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace

_COUNT = struct.Struct("i")
_NO_COUNT = _COUNT.pack(0)


class UpstreamProtocol(ResponseHandler):
    """A client connection that knows whether it is idle and how often it was used."""

    is_idle = False
    use_count = 0
    # What has come of the answer to a HEAD; None when any other method is answered.
    _heads: bytes | None = None

    def data_received(self, data: bytes) -> None:
        # Empty data is aiohttp asking the parser to go on, not the peer.
        if data and self.is_idle:
            # An answer without a question. nginx closes such a connection too.
            self._should_close = True
            self.abort()
            return
        if data and self._heads is not None:
            data = self._without_body(data)
            if not data:
                return
        super().data_received(data)

    def expect(self, *, has_body: bool) -> None:
        """Before each request. `has_body` is False for HEAD."""
        self._heads = None if has_body else b""

    def _without_body(self, data: bytes) -> bytes:
        """Some origins answer HEAD with a body. aiohttp takes it for another answer and loses the first."""
        heads = self._heads = (self._heads or b"") + data
        start = 0
        while (end := heads.find(b"\r\n\r\n", start)) >= 0:
            end += 4
            is_interim = heads[start + 8 : start + 10] == b" 1"
            start = end
            if is_interim:
                continue
            if surplus := len(heads) - end:
                self._should_close = True
                self._heads = heads[:end]
                return data[:-surplus] if surplus < len(data) else b""
            break
        return data

    def is_between_messages(self) -> bool:
        """False when the beginning of a stray message sits in the parser.

        `should_close` sees whole stray messages (they are queued), not a part of one. To be asked only when
        the connection is taken from the pool: aiohttp releases it from inside the parser. `feed_eof` is the
        only question that tells; the parser is replaced before the next response anyway.
        """
        if self._parser is None:
            return True
        try:
            return self._parser.feed_eof() is None
        except Exception:  # noqa: BLE001  # whatever the parser says about leftovers, the connection is not clean
            return False

    def has_unread_bytes(self) -> bool:
        """True when the kernel holds bytes that the loop has not read yet, or the socket is gone."""
        if self.transport is None:
            return True
        peer = self.transport.get_extra_info("socket")
        try:
            answer = fcntl.ioctl(peer.fileno(), termios.FIONREAD, _NO_COUNT)
        except (OSError, ValueError):
            return True
        return bool(_COUNT.unpack(answer)[0])


class GuardedConnector(TCPConnector):
    """A `TCPConnector` for any `ClientSession` that never hands out a connection with something on it."""

    def __init__(
        self,
        *,
        idle_count: int = 256,
        unix_path: str | None = None,
        **settings: Any,  # noqa: ANN401  # the arguments of TCPConnector, passed through
    ) -> None:
        super().__init__(**settings)
        self._idle_count = idle_count
        self._unix_path = unix_path
        self._skips_pool = False
        # There is no public way to name the class of the connections.
        self._factory = functools.partial(  # type: ignore[assignment]  # a partial of the subclass
            UpstreamProtocol, loop=asyncio.get_running_loop()
        )

    async def connect(
        self, req: ClientRequest, traces: "list[Trace]", timeout: "ClientTimeout", *, fresh: bool = False
    ) -> Connection:
        """`fresh`: a new connection, whatever the pool holds."""
        # The base class asks `_get` before it first suspends, so the flag cannot leak into another task.
        self._skips_pool = fresh
        return await super().connect(req, traces, timeout)

    async def _create_connection(
        self, req: ClientRequest, traces: "list[Trace]", timeout: "ClientTimeout"
    ) -> ResponseHandler:
        if self._unix_path is None:
            return await super()._create_connection(req, traces, timeout)
        # The time limit of `connect` is around this call already.
        _, protocol = await self._loop.create_unix_connection(self._factory, self._unix_path)
        return protocol

    async def _get(self, key: "ConnectionKey", traces: "list[Trace]") -> Connection | None:
        if self._skips_pool:
            self._skips_pool = False
            return None
        now = monotonic()
        while waiting := self._conns.get(key):
            protocol, idle_since = waiting.pop()
            if not waiting:
                del self._conns[key]
            if not self._is_reusable(protocol, now - idle_since):
                protocol.abort()
                continue
            protocol.is_idle = False  # type: ignore[attr-defined]  # made by our factory
            protocol.use_count += 1  # type: ignore[attr-defined]  # made by our factory
            self._acquired.add(protocol)
            if self._limit_per_host:
                self._acquired_per_host[key].add(protocol)
            for trace in traces:
                await trace.send_connection_reuseconn()
            return Connection(self, key, protocol, self._loop)
        return None

    def _release(
        self, key: "ConnectionKey", protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        if not should_close and isinstance(protocol, UpstreamProtocol):
            protocol.is_idle = True
            should_close = len(self._conns.get(key, ())) >= self._idle_count
        super()._release(key, protocol, should_close=should_close)

    def _is_reusable(self, protocol: ResponseHandler, idle_seconds: float) -> bool:
        return (
            isinstance(protocol, UpstreamProtocol)
            and protocol.is_connected()
            and not protocol.should_close
            and protocol.is_between_messages()
            and (self._keepalive_timeout is None or idle_seconds <= self._keepalive_timeout)
            and not protocol.has_unread_bytes()
        )
