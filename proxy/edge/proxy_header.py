"""The first bytes of a proxy's connection -> the client that it speaks for, and the layer that comes next."""

import asyncio
from collections.abc import Callable
from typing import cast

from fastmatch._native import parse_proxy_header
from proxy.edge import sockets
from proxy.edge.context import Context
from proxy.edge.entrance import Entrance
from proxy.edge.timers import NEVER

NextLayer = Callable[[Context, Entrance, str | None], asyncio.Protocol]


class ProxyHeader(asyncio.Protocol):
    """Steps aside when the header is complete: a connection that has one costs nothing more afterwards.

    Who may send a header must, and who may not cannot: nothing is guessed from the bytes, because a client
    that could choose would choose its address.
    """

    __slots__ = (
        "_context",
        "_is_closed",
        "_next_layer",
        "_received",
        "_sender",
        "_transport",
        "counted_address",
        "deadline",
        "due",
        "entrance",
        "peer",
    )

    _transport: asyncio.Transport
    _sender: str

    def __init__(self, context: Context, entrance: Entrance, next_layer: NextLayer) -> None:
        self._context = context
        self.entrance = entrance
        self._next_layer = next_layer
        self._received = b""
        self._is_closed = False
        self.counted_address: str | None = None
        # Not the proxy's: it speaks for many.
        self.peer: str | None = None
        self.deadline = NEVER
        self.due = NEVER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sender = self.entrance.sends_header(transport)
        if sender is None:
            self._receive_other()
            return
        self._sender = sender
        if not self._context.arrive(self):
            sockets.reset(self._transport)
            return
        self.deadline = self._context.wheel.turn + self.entrance.proxy_header_turns
        self._context.wheel.arm(self)

    def _receive_other(self) -> None:
        """Somebody who is not one of the proxies."""
        if self.entrance.config.proxy_protocol_others == "plain":
            self._step_aside(None, b"")
        else:
            self._refuse()

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            return
        received = self._received = self._received + data
        try:
            found = parse_proxy_header(received)
        except ValueError:
            self._refuse()
            return
        if found is None:
            return
        length, source = found
        if source is None:
            self._step_aside(self._sender, received[length:])
        elif self.entrance.lets_in(source):
            self._step_aside(source, received[length:])
        else:
            self.abort()

    def _step_aside(self, peer: str | None, rest: bytes) -> None:
        self.deadline = NEVER
        self._context.wheel.disarm(self)
        following = self._next_layer(self._context, self.entrance, peer)
        self._transport.set_protocol(following)
        following.connection_made(self._transport)
        self._context.depart(self)
        if rest and not self._transport.is_closing():
            following.data_received(rest)

    def _refuse(self) -> None:
        self._context.count("proxy_headers_refused")
        self.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._is_closed = True
        self.deadline = NEVER
        self._context.wheel.disarm(self)
        self._context.depart(self)

    def expire(self) -> None:
        self._context.count("proxy_header_timeouts")
        self.abort()

    def abort(self) -> None:
        self._is_closed = True
        sockets.reset(self._transport)
