"""Clients that are slower than a listener allows, and what all clients make us hold -> connections that are
closed.

Idle limits see silence. A client that sends or takes a byte each second is never silent, and thousands of
them hold what they want for as long as they want. So each also owes a minimum in every period of some
seconds, and all together may hold no more than one budget.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from proxy.edge import log, sockets
from proxy.edge.timers import TURN_SECONDS

if TYPE_CHECKING:  # connection.py imports the context, which has one of these
    from proxy.edge.connection import ClientConnection
    from proxy.edge.context import Context

# Connections whose buffers are added up in one turn of the loop: about 0.3 ms.
_SLICE_COUNT: Final = 1000


class Pace:
    """`bodies` and `unread`: (turn, bytes) at the beginning of the period under way. `unread` is in the order
    in which clients stopped to read, the slowest first."""

    __slots__ = (
        "_balance_due",
        "_context",
        "_held_bytes",
        "_left",
        "_shown_bytes",
        "bodies",
        "unread",
    )

    def __init__(self, context: "Context") -> None:
        self._context = context
        self.bodies: dict[ClientConnection, tuple[int, int]] = {}
        self.unread: dict[ClientConnection, tuple[int, int]] = {}
        self._balance_due = False
        self._held_bytes = 0
        self._left: Iterator[ClientConnection] = iter(())
        self._shown_bytes = 0

    # ---- the connections' side

    def body_began(self, client: "ClientConnection") -> None:
        if client.entrance.config.minimum_body_bytes_per_second:
            self.bodies[client] = (self._context.wheel.turn, client.body_bytes)

    def reading_stopped(self, client: "ClientConnection") -> None:
        """More waits in our buffer than its limit, or all that is left to be sent before the close."""
        unread = self.unread
        unread[client] = (self._context.wheel.turn, sockets.unsent_bytes(client.transport))
        config = self._context.config
        is_much = len(unread) * config.write_buffer_bytes > config.buffer_bytes > 0
        if is_much and not self._balance_due:
            self._balance_due = True
            self._context.loop.call_soon(self._balance_now)

    def reading_went_on(self, client: "ClientConnection") -> None:
        self.unread.pop(client, None)

    def forget(self, client: "ClientConnection") -> None:
        self.unread.pop(client, None)
        self.bodies.pop(client, None)

    # ---- each second

    def look(self) -> None:
        self._look_at_bodies()
        self._look_at_readers()
        # A round that is still under way begins again.
        self._left = iter(tuple(self._context.connections))
        self._held_bytes = 0
        self._add_up(self._left)

    def _look_at_bodies(self) -> None:
        now = self._context.wheel.turn
        for client, (began, before) in tuple(self.bodies.items()):
            if not client.is_sending_body:
                del self.bodies[client]
            elif client.is_body_held:
                self.bodies[client] = (now, client.body_bytes)  # the upstream is slow, not the client
            elif self._is_over(client, now - began):
                floor = client.entrance.config.minimum_body_bytes_per_second
                if client.body_bytes - before < floor * (now - began) * TURN_SECONDS:
                    del self.bodies[client]
                    self._context.count("slow_bodies")
                    client.exchange.refuse(408, "body_timeout")
                else:
                    self.bodies[client] = (now, client.body_bytes)

    def _look_at_readers(self) -> None:
        now = self._context.wheel.turn
        for client, (began, before) in tuple(self.unread.items()):
            floor = client.entrance.config.minimum_send_bytes_per_second
            if not floor or not self._is_over(client, now - began):
                continue
            left = sockets.unsent_bytes(client.transport)
            if before - left < floor * (now - began) * TURN_SECONDS:
                self._context.count("slow_readers")
                client.abort("send_timeout")
            else:
                self.unread[client] = (now, left)

    @staticmethod
    def _is_over(client: "ClientConnection", elapsed_turns: int) -> bool:
        return elapsed_turns * TURN_SECONDS >= client.entrance.config.minimum_rate_seconds

    # ---- the budget

    def _add_up(self, left: Iterator["ClientConnection"]) -> None:
        if left is not self._left:
            return
        count = 0
        for client in islice(left, _SLICE_COUNT):
            count += 1
            self._held_bytes += client.held_bytes
        if count == _SLICE_COUNT:
            self._context.loop.call_soon(self._add_up, left)
            return
        self._context.count("buffered_bytes", self._held_bytes - self._shown_bytes)
        self._shown_bytes = self._held_bytes
        self._balance(self._held_bytes)

    def _balance_now(self) -> None:
        """Between two rounds: what those hold that do not read is enough to know of."""
        self._balance_due = False
        self._balance(sum(client.held_bytes for client in self.unread))

    def _balance(self, held_bytes: int) -> None:
        """Beyond the budget those are closed that have not read for the longest time, until it is kept."""
        limit = self._context.config.buffer_bytes
        if not 0 < limit < held_bytes:
            return
        closed_count = 0
        for client in tuple(self.unread):
            if held_bytes <= limit:
                break
            held_bytes -= client.held_bytes
            closed_count += 1
            client.abort("buffer_budget")
        if closed_count:
            self._context.count("closed_for_memory", closed_count)
            log.write(log.BUFFERS_FULL, self._context.slot, closed=closed_count, left_bytes=held_bytes)
