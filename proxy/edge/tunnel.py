"""A websocket after its 101: bytes pass both ways untouched, each side's pace bounded by the other's."""

import asyncio
from typing import TYPE_CHECKING

from proxy.edge import sockets
from proxy.edge.cluster import NOTHING
from proxy.edge.timers import NEVER

if TYPE_CHECKING:  # these import this module
    from proxy.edge.connection import ClientConnection
    from proxy.edge.exchange import Exchange
    from proxy.edge.target import Target
    from proxy.edge.upstream import UpstreamConnection


class TunnelEnd(asyncio.Protocol):
    """One transport of the two. `has_ended`: the peer's FIN has come; `is_open`: writing is allowed."""

    __slots__ = ("_tunnel", "has_ended", "is_lost", "is_open", "other", "transport", "write")

    other: "TunnelEnd"

    def __init__(self, tunnel: "Tunnel", transport: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self.write = transport.write
        self.has_ended = False
        self.is_lost = False
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        other = self.other
        if other.is_open:
            other.write(data)
            self._tunnel.touch()

    def eof_received(self) -> bool:
        """A half-closed direction is passed on; both close the tunnel."""
        self.has_ended = True
        other = self.other
        if other.has_ended:
            self._tunnel.close()
        elif other.is_open:
            if not other.transport.can_write_eof():  # TLS to the upstream knows one end for both directions
                self._tunnel.close()
                return True
            other.is_open = False
            other.transport.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self.is_lost = True
        self._tunnel.lost(self, error)

    def pause_writing(self) -> None:
        self.other.hold()
        self._tunnel.stopped_reading(self)

    def resume_writing(self) -> None:
        self.other.release()
        self._tunnel.went_on_reading(self)

    def hold(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def release(self) -> None:
        if not self.has_ended and not self.transport.is_closing():
            self.transport.resume_reading()


class Tunnel:
    """Both ends and their common idle deadline."""

    __slots__ = (
        "_client",
        "_client_end",
        "_counted",
        "_is_closing",
        "_target",
        "_upstream_end",
        "_wheel",
        "deadline",
        "due",
    )

    def __init__(
        self,
        client: "ClientConnection",
        upstream_transport: asyncio.Transport,
        target: "Target",
        counted: "Target | None",
    ) -> None:
        """`counted`: where it counts as under way until its end, see `Cluster`."""
        self._client = client
        self._target = target
        self._counted = counted
        self._client_end = TunnelEnd(self, client.transport)
        self._upstream_end = TunnelEnd(self, upstream_transport)
        self._client_end.other = self._upstream_end
        self._upstream_end.other = self._client_end
        self._wheel = client.context.wheel
        self._is_closing = False
        self.deadline = NEVER
        self.due = NEVER

    def start(self, first_up: bytes) -> None:
        """`first_up`: what the client sent behind its handshake; the 101 has been written."""
        self._client_end.transport.set_protocol(self._client_end)
        self._upstream_end.transport.set_protocol(self._upstream_end)
        if self._client.is_writing_paused:
            self._upstream_end.hold()
        if first_up:
            self._upstream_end.write(first_up)
        self._set_deadline(self._client.context.deadlines.tunnel_idle)
        self._client.context.count("tunnels_open")

    def touch(self) -> None:
        self.deadline = self._wheel.turn + self._client.context.deadlines.tunnel_idle

    def stopped_reading(self, end: TunnelEnd) -> None:
        """Only a client owes us to read; it may be the one that is closed when the worker holds too much."""
        if end is self._client_end:
            self._client.context.pace.reading_stopped(self._client)

    def went_on_reading(self, end: TunnelEnd) -> None:
        if end is self._client_end:
            self._client.context.pace.reading_went_on(self._client)

    def close(self) -> None:
        """Flush both ways, then close; the deadline ends a flush that nobody takes."""
        self._is_closing = True
        for end in (self._client_end, self._upstream_end):
            end.is_open = False
            end.transport.close()
        self._set_deadline(self._client.context.deadlines.send_idle)

    def reset(self) -> None:
        """End it at once, and visibly."""
        for end in (self._client_end, self._upstream_end):
            end.is_open = False
            if not end.is_lost:
                sockets.reset(end.transport)

    def lost(self, end: TunnelEnd, error: Exception | None) -> None:
        """One end is gone: what it sent still reaches the other, unless it ended in a reset."""
        if end is self._client_end:
            self._client.connection_lost(error)
        else:
            self._client.context.count("upstream_open", -1)
            self._target.open_count -= 1
        if end.other.is_lost:
            if self._counted is not None:
                self._counted.cluster.leave(self._counted, NOTHING)
            self.deadline = NEVER
            self._wheel.disarm(self)
            self._client.context.count("tunnels_open", -1)
        elif error is None:
            self.close()
        else:
            self.reset()

    def expire(self) -> None:
        if self._is_closing:
            self.reset()
        else:
            self._client.context.count("tunnel_timeouts")
            self.close()

    def _set_deadline(self, turns: int) -> None:
        deadline = self.deadline = self._wheel.turn + turns
        if deadline < self.due:
            self._wheel.arm(self)


def open_tunnel(exchange: "Exchange", upstream: "UpstreamConnection", first_down: bytes) -> None:
    """The upstream has answered 101: `first_down` is that head and what came behind it."""
    client = exchange.client
    client.write(first_down)
    exchange.part_from(upstream)
    counted, exchange.target = exchange.target, None
    if counted is not None and counted.is_suspect:
        counted.cluster.succeeded(counted)
    tunnel = Tunnel(client, upstream.hand_over(), upstream.target, counted)
    tunnel.start(client.hand_over(tunnel))
