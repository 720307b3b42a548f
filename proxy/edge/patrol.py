"""Rounds over all open connections: after a list change, for clients that left unseen, and at the end."""

import select
from collections.abc import Iterator
from itertools import islice
from typing import Final

from proxy.edge import log, sockets
from proxy.edge.connection import ClientConnection
from proxy.edge.context import Context

_SLICE_COUNT: Final = 500
_GONE: Final = select.POLLERR | select.POLLHUP


class Rejudgement:
    """After each swap every open exchange is judged again, some hundreds per turn of the loop."""

    __slots__ = ("_blocked_count", "_context", "_left")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._left: Iterator[ClientConnection] = iter(())
        self._blocked_count = 0

    def start(self) -> None:
        """A round that is still under way begins again: it was for an older list."""
        if self._context.config.on_block != "close":
            return
        self._left = iter(tuple(self._context.connections))
        self._blocked_count = 0
        self._slice(self._left)

    def _slice(self, left: Iterator[ClientConnection]) -> None:
        if left is not self._left:
            return
        seen_count = 0
        for connection in islice(left, _SLICE_COUNT):
            seen_count += 1
            if connection.is_in_exchange and connection.codec.rejudge():
                connection.block()
                self._context.count("closed_on_block")
                self._blocked_count += 1
        if seen_count == _SLICE_COUNT:
            self._context.loop.call_soon(self._slice, left)
        elif self._blocked_count:
            log.write(log.CONNECTIONS_BLOCKED, self._context.slot, count=self._blocked_count)


def find_gone(context: Context) -> None:
    """Poll the clients whose socket is not read: while reading is paused neither FIN nor RST is reported."""
    if not context.held:
        return
    poll = select.poll()
    by_descriptor: dict[int, ClientConnection] = {}
    for connection in context.held:
        if connection.is_in_exchange and not connection.transport.is_closing():
            number = sockets.descriptor(connection.transport)
            by_descriptor[number] = connection
            # With `half_close = "serve"` a FIN is no departure.
            serves = connection.entrance.serves_half_closed
            poll.register(number, _GONE if serves else _GONE | select.POLLRDHUP)
    for number, _ in poll.poll(0):
        by_descriptor[number].leave()


def close_idle(context: Context, *, quiet_turns: int, with_fresh: bool) -> None:
    """Close keep-alive connections that have been between two requests for so long, except those whose next
    request is already in the socket.

    A client that has just been answered is likely to ask again this moment, and a request that meets a
    closed connection is one that failed: it is answered instead, with `Connection: close`.
    """
    poll = select.poll()
    by_descriptor: dict[int, ClientConnection] = {}
    for connection in context.connections:
        is_over = connection.has_been_idle(quiet_turns) or (with_fresh and connection.is_fresh)
        if is_over and not connection.transport.is_closing():
            number = sockets.descriptor(connection.transport)
            by_descriptor[number] = connection
            poll.register(number, select.POLLIN)
    for number, _ in poll.poll(0):
        del by_descriptor[number]
    for connection in by_descriptor.values():
        connection.close()
    if with_fresh:
        for arriving in tuple(context.arriving):
            arriving.abort()
