"""The upstream's side: one protocol per connection to the gateway, idle in the pool or bound to one
exchange."""

import asyncio
import os
from typing import Final, cast

from fastmatch._native import BROKEN, RESPONSE_DONE, SERVER_ERROR, Upstream
from proxy.edge import sockets
from proxy.edge.cluster import FAILED, SUCCEEDED
from proxy.edge.context import Context
from proxy.edge.exchange import Exchange
from proxy.edge.target import Target
from proxy.edge.timers import NEVER

_SALVAGE_BYTES: Final = 65536
_SALVAGE_READ_COUNT: Final = 64


class UpstreamConnection(asyncio.Protocol):
    """`exchange` is None while idle. `is_open` turns False once and for ever when we close or the peer
    does."""

    __slots__ = (
        "_begin",
        "_codec",
        "_context",
        "_deadlines",
        "_feed",
        "_unsent_bytes",
        "_wheel",
        "_write",
        "_write_request",
        "deadline",
        "due",
        "exchange",
        "has_received",
        "is_closing",
        "is_open",
        "is_reading_held",
        "is_reused",
        "is_writing_paused",
        "pool",
        "target",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, context: Context, target: Target) -> None:
        self._context = context
        self._deadlines = target.cluster.deadlines
        self.pool = target.pool
        self.target = target
        self._wheel = context.wheel
        self._codec = Upstream(context.gate, target.name)
        self._begin = self._codec.begin
        self._feed = self._codec.data
        self._unsent_bytes = 0
        self.deadline = NEVER
        self.due = NEVER
        self.exchange: Exchange | None = None
        self.has_received = False
        self.is_open = False
        self.is_reading_held = False
        self.is_reused = False
        self.is_writing_paused = False

    # ---- the exchange's side

    def start(self, exchange: Exchange, request: bytes) -> None:
        """Send a request that is complete: its head, with the body when both are small."""
        self.exchange = exchange
        exchange.upstream = self
        self.has_received = False
        self._begin(exchange.codec)
        deadline = self.deadline = self._wheel.turn + self._deadlines.head
        if deadline < self.due:
            self._wheel.arm(self)
        self._write_request(request)

    def start_with_body(self, exchange: Exchange, pieces: list[bytes]) -> None:
        """Send what is there of a request whose body came apart from its head."""
        self.exchange = exchange
        exchange.upstream = self
        self.has_received = False
        self._begin(exchange.codec)
        if exchange.request_done:
            self.await_head()
        else:
            self.deadline = NEVER  # the client's body deadline runs
        if self.target.key.host_line is not None:
            pieces = [with_host_line(pieces[0], self.target.key.host_line), *pieces[1:]]
        self.transport.writelines(pieces)

    def _write_for_target(self, request: bytes) -> None:
        """In place of `_write_request` where the target is asked by a name of its own."""
        self._write(with_host_line(request, self.target.key.host_line or b""))

    def send(self, body: bytes) -> None:
        if self.is_open:
            self._write(body)

    def outcome(self, flags: int) -> int:
        """What a whole answer says of the target."""
        is_fault = flags & SERVER_ERROR and self._codec.status in self.target.cluster.config.ejection.statuses
        return FAILED if is_fault else SUCCEEDED

    def await_head(self) -> None:
        """The request is out: the answer's first byte has a deadline."""
        self._set_deadline(self._deadlines.head)

    def await_more(self) -> None:
        """A part of the answer has come."""
        self.has_received = True
        if self.is_reading_held:
            self.deadline = NEVER  # the client is slow, and its own deadline runs
        else:
            self._set_deadline(self._deadlines.read_idle)

    def hold_reading(self) -> None:
        """The client does not take what has been read."""
        self.is_reading_held = True
        self.deadline = NEVER
        if self.is_open:
            self.transport.pause_reading()

    def release_reading(self) -> None:
        if self.is_reading_held:
            self.is_reading_held = False
            if self.is_open:
                self.transport.resume_reading()
                self._set_deadline(self._deadlines.read_idle)

    def rest(self) -> None:
        """Idle in the pool."""
        self.is_reused = True
        if self.is_reading_held:
            self.release_reading()
        deadline = self.deadline = self._wheel.turn + self._deadlines.idle
        if deadline < self.due:
            self._wheel.arm(self)

    def hand_over(self) -> asyncio.Transport:
        """From here on a tunnel has the transport."""
        self.is_open = False
        self.deadline = NEVER
        self._wheel.disarm(self)
        return self.transport

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._set_deadline(self._context.deadlines.send_idle)
            self.transport.close()

    def abort(self) -> None:
        """Close at once; unsent bytes are dropped, so a request cut short can not pass for a whole one."""
        if self.is_open:
            self.is_open = False
            self.transport.abort()

    def _set_deadline(self, turns: int) -> None:
        deadline = self.deadline = self._wheel.turn + turns
        if deadline < self.due:
            self._wheel.arm(self)

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=self._context.config.write_buffer_bytes)
        self._write = self.transport.write
        is_asked_by_name = self.target.key.host_line is not None
        self._write_request = self._write_for_target if is_asked_by_name else self._write
        self.is_closing = self.transport.is_closing
        self.is_open = True
        self.target.open_count += 1
        self._context.count("upstream_connections")
        self._context.count("upstream_open")

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            # An answer nobody asked for: given to the next client, it would poison all that follow.
            self._context.count("upstream_stray")
            self._leave_pool()
            return
        out, flags = self._feed(data)
        if flags & BROKEN:
            self.has_received = True
        exchange.relay(self, out, flags)

    def eof_received(self) -> bool:
        exchange = self.exchange
        if exchange is None:
            self._leave_pool()
        else:
            self._ended(exchange)
        return False

    def _ended(self, exchange: Exchange) -> None:
        out, flags = self._codec.eof()
        self.close()
        if flags & RESPONSE_DONE:
            exchange.relay(self, out, flags)
        else:
            exchange.upstream_lost(self, "upstream_closed")

    def connection_lost(self, error: Exception | None) -> None:
        self._context.count("upstream_open", -1)
        self.target.open_count -= 1
        self.is_open = False
        self.deadline = NEVER
        self._wheel.disarm(self)
        if self.exchange is None:
            self.pool.forget(self)
            return
        if error is not None:
            self._context.count("upstream_resets")
            if self.target.key.tls is None:  # otherwise the kernel holds ciphertext
                self._salvage()
        if self.exchange is not None:
            self.exchange.upstream_lost(self, "upstream_closed" if error is None else "upstream_reset")

    def _salvage(self) -> None:
        """Read what the kernel still holds after a failed write.

        A gateway that refuses an upload answers and closes; the reset that our next bytes meet must not cost
        the client that answer (RFC 9112 section 9.6), and uvloop stops reading when a write fails.
        """
        descriptor = sockets.descriptor(self.transport)
        for _ in range(_SALVAGE_READ_COUNT):
            exchange = self.exchange
            if exchange is None:
                return
            try:
                data = os.read(descriptor, _SALVAGE_BYTES)
            except OSError:
                return
            if not data:
                return
            out, flags = self._feed(data)
            exchange.relay(self, out, flags)

    def pause_writing(self) -> None:
        self.is_writing_paused = True
        if self.exchange is not None:
            self._unsent_bytes = sockets.unsent_bytes(self.transport)
            self._set_deadline(self._deadlines.write_idle)
            self.exchange.client.hold_body()

    def resume_writing(self) -> None:
        self.is_writing_paused = False
        exchange = self.exchange
        if exchange is not None:
            if exchange.request_done:
                self.await_head()
            else:
                self.deadline = NEVER
            exchange.client.release_body()

    def expire(self) -> None:
        exchange = self.exchange
        if not self.is_open:
            self.transport.abort()
        elif exchange is None:
            self._leave_pool()
        elif self.is_writing_paused and self._has_sent_some():
            self._set_deadline(self._deadlines.write_idle)
        else:
            self._context.count("upstream_timeouts")
            exchange.fail(504, self._silence())

    def _silence(self) -> str:
        if self.is_writing_paused:
            return "upstream_write_timeout"
        return "upstream_read_timeout" if self.has_received else "upstream_head_timeout"

    def _has_sent_some(self) -> bool:
        before, self._unsent_bytes = self._unsent_bytes, sockets.unsent_bytes(self.transport)
        return self._unsent_bytes < before

    def _leave_pool(self) -> None:
        self.pool.forget(self)
        self.close()


def with_host_line(request: bytes, host_line: bytes) -> bytes:
    """The request as this target is to be asked. Host is the second line of each head that the codec makes;
    X-Forwarded-Host has what the client said."""
    start = request.index(b"\r\n") + 2
    end = request.index(b"\r\n", start) + 2
    return request[:start] + host_line + request[end:]
