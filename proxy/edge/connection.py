"""The client's side: one protocol per connection, which knows where in a request the client's bytes are."""

import asyncio
from typing import Final, cast

from fastmatch._native import Downstream
from proxy.edge import replies, sockets
from proxy.edge.context import Context
from proxy.edge.entrance import Entrance
from proxy.edge.exchange import Exchange
from proxy.edge.timers import NEVER
from proxy.edge.tunnel import Tunnel

# What the client's next bytes are.
HEAD: Final = 0  # a request's head
BODY: Final = 1  # its body
WAITING: Final = 2  # pipelined: the request is complete and its answer is not
LINGER: Final = 3  # of no interest any more: counted and dropped
TUNNEL: Final = 4  # the tunnel's
CLOSING: Final = 5  # nobody's: what was written is flushed
CLOSED: Final = 6

# Why the client's socket is not read.
_PIPELINE_FULL: Final = 1
_BODY_HELD: Final = 2
_ANSWERS_UNREAD: Final = 4

# So many connections above the limit get an answer; beyond them a reset is all there is.
_SHED_COUNT: Final = 256


class ClientConnection(asyncio.Protocol):
    """`deadline` belongs to `phase`; while an answer waits in our buffer it is the send deadline."""

    __slots__ = (
        "_has_head_deadline",
        "_held",
        "_is_tls",
        "_lingered_bytes",
        "_pipelined",
        "_unsent_bytes",
        "_wheel",
        "body_bytes",
        "codec",
        "context",
        "counted_address",
        "deadline",
        "due",
        "entrance",
        "exchange",
        "has_ended",
        "is_writing_paused",
        "peer",
        "phase",
        "transport",
        "tunnel",
        "write",
    )

    codec: Downstream
    exchange: Exchange
    transport: asyncio.Transport

    def __init__(
        self, context: Context, entrance: Entrance, peer: str | None = None, *, is_tls: bool = False
    ) -> None:
        """`peer`: the address that a layer below has found out and judged."""
        self.context = context
        self.entrance = entrance
        self._is_tls = is_tls
        self.counted_address: str | None = None
        self.peer = peer
        self._wheel = context.wheel
        self._has_head_deadline = True
        self._held = 0
        self._lingered_bytes = 0
        self._pipelined = b""
        self._unsent_bytes = 0
        self.body_bytes = 0
        self.deadline = NEVER
        self.due = NEVER
        self.has_ended = False
        self.is_writing_paused = False
        self.phase = HEAD
        self.tunnel: Tunnel | None = None

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        context = self.context
        is_counted = self.peer is not None
        peer = self.peer = self.peer or self.entrance.admit(transport)
        if peer is None:
            self.reset()
            return
        self.write = self.transport.write
        # A layer below has asked already, and is counted itself until we are.
        is_full = not is_counted and self.entrance.is_full
        if not self._is_tls:
            is_one_more = self.entrance.one_more_of(peer)
            self.counted_address = peer if is_one_more else None
            is_full = is_full or is_one_more is False
        context.welcome(self)
        if is_full or len(context.connections) > context.config.connection_count:
            self._shed()
            return
        self.transport.set_write_buffer_limits(high=context.config.write_buffer_bytes)
        self.codec = Downstream(context.gate, peer, https=self._is_tls, listener=self.entrance.config.name)
        self.exchange = Exchange(self)
        self._set_deadline(context.deadlines.head)

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase == HEAD:
            self.exchange.process(data)
        elif phase == BODY:
            self.body_bytes += len(data)
            self.exchange.upload(data)
        elif phase == WAITING:
            self.keep(data)
        elif phase == LINGER:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > self.context.config.linger_bytes:
                self.close()

    def eof_received(self) -> bool:
        """True keeps the connection for the answer that is still to be written."""
        self.has_ended = True
        if self.phase in (BODY, WAITING):
            if self.phase == WAITING and (not self.exchange.is_active or self.entrance.serves_half_closed):
                return True
            self.leave()
            return True
        self.close()
        return False

    def leave(self) -> None:
        """The client is not there to read the answer."""
        if self.tunnel is not None:
            self.tunnel.reset()
            return
        has_begun = self.exchange.response_begun
        self.exchange.cancel()
        if has_begun:
            self.reset()
        else:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        phase, self.phase = self.phase, CLOSED
        self.deadline = NEVER
        self._wheel.disarm(self)
        self.context.forget(self)
        if phase in (BODY, WAITING):
            self.exchange.cancel()

    def pause_writing(self) -> None:
        """The client reads slower than the upstream answers."""
        self.is_writing_paused = True
        self.context.pace.reading_stopped(self)
        self._unsent_bytes = sockets.unsent_bytes(self.transport)
        self._set_deadline(self.context.deadlines.send_idle)
        if self.phase in (BODY, WAITING) and self.exchange.upstream is not None:
            self.exchange.upstream.hold_reading()

    def resume_writing(self) -> None:
        self.is_writing_paused = False
        self.context.pace.reading_went_on(self)
        if self.phase in (BODY, WAITING):
            self.deadline = NEVER
            if self.phase == BODY:
                self._set_deadline(self.context.deadlines.body_idle)
            if self.exchange.upstream is not None:
                self.exchange.upstream.release_reading()
        elif self.phase == HEAD:
            self.next_request()

    # ---- the exchange's side

    def await_head(self) -> None:
        """The head is not complete. Its deadline counts from its first byte and does not move."""
        if not self._has_head_deadline:
            self._has_head_deadline = True
            self._set_deadline(self.context.deadlines.head)

    def await_body(self) -> None:
        if self.phase != BODY:
            self.phase = BODY
            self.context.pace.body_began(self)
        self._set_deadline(self.context.deadlines.body_idle)

    def await_answer(self, rest: bytes) -> None:
        """The request is complete; `rest` came behind it. The upstream's deadlines run now, `expire`
        knows."""
        self.phase = WAITING
        if rest:
            self.keep(rest)

    def keep(self, data: bytes) -> None:
        """Pipelined bytes wait for their turn, up to a limit; then they wait in the socket."""
        self._pipelined = self._pipelined + data if self._pipelined else data
        if len(self._pipelined) > self.context.config.pipelined_bytes:
            self._hold(_PIPELINE_FULL)

    def hold_body(self) -> None:
        """The upstream takes no more for now."""
        self._hold(_BODY_HELD)
        if self.phase == BODY and not self.is_writing_paused:
            self.deadline = NEVER

    def release_body(self) -> None:
        if self._held & _BODY_HELD:
            self._release(_BODY_HELD)
            if self.phase == BODY:
                self._set_deadline(self.context.deadlines.body_idle)

    def next_request(self) -> None:
        """The answer is written and the connection stays."""
        if self.phase >= LINGER:
            return
        self.phase = HEAD
        self._has_head_deadline = False
        deadline = self.deadline = self._wheel.turn + self.context.deadlines.keepalive
        if deadline < self.due:
            self._wheel.arm(self)
        if self._pipelined or self._held or self.is_writing_paused or self.has_ended:
            self._continue()

    def next_request_soon(self) -> None:
        """As `next_request`, after an answer of our own. Through the loop when more requests wait: thousands
        of pipelined denials must be neither a recursion nor a turn of their own."""
        if self._pipelined:
            self.phase = WAITING
            self.context.loop.call_soon(self.next_request)
        else:
            self.next_request()

    def _continue(self) -> None:
        if self.is_writing_paused:
            # More answers would pile up in our buffer: the requests wait until the client reads.
            self._hold(_ANSWERS_UNREAD)
            self._set_deadline(self.context.deadlines.send_idle)
            return
        data, self._pipelined = self._pipelined, b""
        self._release(self._held)
        if data:
            self.exchange.process(data)
        elif self.has_ended:
            self.close()

    def hand_over(self, tunnel: Tunnel) -> bytes:
        """From here on the tunnel has the transport. -> bytes that came behind the handshake."""
        self.phase = TUNNEL
        self.tunnel = tunnel
        self.deadline = NEVER
        self._wheel.disarm(self)
        rest, self._pipelined = self._pipelined, b""
        self._release(self._held)
        return rest

    # ---- ends

    def finish(self) -> None:
        """The last answer is written. Unread bytes in the socket would turn our FIN into a reset that can
        overtake it."""
        if self._pipelined or self._held:
            self.linger()
        else:
            self.close()

    def linger(self) -> None:
        """Half-close and read on for a moment (RFC 9112 section 9.6), so that the answer is not lost to a
        reset."""
        self._pipelined = b""
        if self.phase >= TUNNEL:
            return
        if self.has_ended:
            self.close()
            return
        self.phase = LINGER
        self._release(self._held)
        self.transport.write_eof()
        self._set_deadline(self.context.deadlines.linger)

    def close(self) -> None:
        """Close after what is written has been sent, at the latest when the send deadline has passed."""
        if self.phase < CLOSING:
            self.phase = CLOSING
            if self.transport.get_write_buffer_size():
                self._unsent_bytes = sockets.unsent_bytes(self.transport)
                self.context.pace.reading_stopped(self)
            self._set_deadline(self.context.deadlines.send_idle)
            self.transport.close()

    def reset(self) -> None:
        """Close so that the client sees that its answer is not complete."""
        if self.phase < CLOSED:
            self.phase = CLOSING
            self.deadline = NEVER
            sockets.reset(self.transport)

    def abort(self, end: str) -> None:
        """End whatever is going on, at once; `end` says why, as in `ENDS`."""
        if self.tunnel is not None:
            self.tunnel.reset()
            return
        if self.phase in (BODY, WAITING):
            self.exchange.cancel(end)
        self.reset()

    def block(self) -> None:
        """A newer list denies what is going on here."""
        if self.tunnel is not None:
            self.tunnel.reset()
        elif self.exchange.is_active:
            self.exchange.block()

    @property
    def is_sending_body(self) -> bool:
        return self.phase == BODY

    @property
    def is_body_held(self) -> bool:
        """The upstream takes no more, or the client takes no answers: it may not send."""
        return self._held != 0

    @property
    def held_bytes(self) -> int:
        """What its buffers hold, both ways. Costs 0.3 us."""
        size = self.transport.get_write_buffer_size() + len(self._pipelined)
        if self.phase in (BODY, WAITING) and (upstream := self.exchange.upstream) is not None:
            size += upstream.transport.get_write_buffer_size()
        return size

    @property
    def is_in_exchange(self) -> bool:
        return BODY <= self.phase <= WAITING or self.phase == TUNNEL

    @property
    def is_idle(self) -> bool:
        """Between two requests, with nothing of the next one here."""
        return self.phase == HEAD and not self._has_head_deadline and not self._held

    def has_been_idle(self, turns: int) -> bool:
        """For so long that no next request is likely to be on its way."""
        idle_turns = self._wheel.turn + self.context.deadlines.keepalive - self.deadline
        return self.is_idle and idle_turns >= turns

    @property
    def is_fresh(self) -> bool:
        """Nothing has come yet."""
        return self.phase == HEAD and self._has_head_deadline and not self.codec.has_partial_head

    def expire(self) -> None:
        phase = self.phase
        if self.is_writing_paused or phase == CLOSING:
            self._expire_sending()
        elif phase == HEAD:
            if self.codec.has_partial_head:
                self.context.count("head_timeouts")
                self.exchange.refuse(408, "head_timeout")
            else:
                self.context.count("idle_timeouts")
                self.close()
        elif phase == BODY:
            self.context.count("body_timeouts")
            self.exchange.refuse(408, "body_timeout")
        elif phase == LINGER:
            self.close()
        # In WAITING a deadline of an earlier phase has passed; the upstream's deadlines run.

    def _expire_sending(self) -> None:
        """A client that takes at least something within each period stays."""
        before, self._unsent_bytes = self._unsent_bytes, sockets.unsent_bytes(self.transport)
        if self._unsent_bytes < before:
            self._set_deadline(self.context.deadlines.send_idle)
            return
        self.context.count("send_timeouts")
        self.abort("send_timeout")

    # ---- helpers

    def _shed(self) -> None:
        """Above the connection limit: an answer that costs no parsing."""
        self.context.count("connections_shed")
        if len(self.context.connections) > self.context.config.connection_count + _SHED_COUNT:
            self.reset()
            return
        self.write(replies.OVERLOADED)
        self.linger()

    def _hold(self, reason: int) -> None:
        if not self._held:
            self.transport.pause_reading()
            self.context.held.add(self)
        self._held |= reason

    def _release(self, reasons: int) -> None:
        if self._held:
            self._held &= ~reasons
            if not self._held:
                self.context.held.discard(self)
                if not self.has_ended:
                    self.transport.resume_reading()

    def _set_deadline(self, turns: int) -> None:
        deadline = self.deadline = self._wheel.turn + turns
        if deadline < self.due:
            self._wheel.arm(self)
