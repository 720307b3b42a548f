"""Exchanges that wait until their upstream may be asked more: first come, first served, for a while."""

from typing import TYPE_CHECKING

from proxy.edge.timers import NEVER, Wheel

if TYPE_CHECKING:  # exchange.py imports what imports this module
    from proxy.edge.context import Context
    from proxy.edge.exchange import Exchange


class Waiting:
    """One per upstream. Who waits longest has the nearest deadline, so one deadline stands for all."""

    __slots__ = ("_context", "_wheel", "count_limit", "deadline", "due", "exchanges", "turns")

    def __init__(self, context: "Context") -> None:
        self._context = context
        self._wheel: Wheel = context.wheel
        # In the order of their coming, with the turn in which each has waited enough.
        self.exchanges: dict[Exchange, int] = {}
        self.count_limit = 0
        self.turns = 0
        self.deadline = NEVER
        self.due = NEVER

    def enter(self, exchange: "Exchange") -> bool:
        """False when so many wait that this one would only wait for its refusal."""
        if len(self.exchanges) >= self.count_limit:
            self._context.count("upstream_queue_full")
            return False
        self.exchanges[exchange] = self._wheel.turn + self.turns
        self._context.count("upstream_waiting")
        self._rearm()
        return True

    def leave(self, exchange: "Exchange") -> None:
        """Its client has gone, or its turn has come."""
        if self.exchanges.pop(exchange, None) is not None:
            self._context.count("upstream_waiting", -1)

    def next(self) -> "Exchange | None":
        exchange = next(iter(self.exchanges), None)
        if exchange is not None:
            self.leave(exchange)
        return exchange

    def expire(self) -> None:
        """Who has waited enough is told so."""
        late = [exchange for exchange, turn in self.exchanges.items() if turn <= self._wheel.turn]
        for exchange in late:
            if exchange in self.exchanges:  # the end of one may have let another one in
                self._context.count("upstream_queue_timeouts")
                exchange.fail(503)
        self._rearm()

    def _rearm(self) -> None:
        self.deadline = next(iter(self.exchanges.values()), NEVER)
        if self.deadline < self.due:
            self._wheel.arm(self)
