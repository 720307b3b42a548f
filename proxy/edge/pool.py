"""Idle connections to one target, last in first out: the warm ones are used, the others reach their idle
deadline."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # upstream.py imports the context, which imports this module
    from proxy.edge.exchange import Exchange
    from proxy.edge.upstream import UpstreamConnection


def may_keep(is_open: bool, is_current: bool, idle_count: int, limit: int) -> bool:
    """Whether a connection whose exchange ended cleanly goes back to the pool.

    `is_current`: its target is still one of the upstream's. Called by position: keywords cost 60 ns.
    """
    return is_open and is_current and idle_count < limit


class Pool:
    """One per target and worker, and so without locks."""

    __slots__ = ("_idle", "idle_count_limit", "is_current")

    def __init__(self, idle_count_limit: int) -> None:
        self._idle: list[UpstreamConnection] = []
        self.idle_count_limit = idle_count_limit
        self.is_current = True

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, _exchange: "Exchange | None" = None) -> "UpstreamConnection | None":
        """The connection that was given back last. One whose reset has been read, but not yet reported, is
        passed over. `_exchange` makes it a `Cluster.take` of an upstream with one target."""
        idle = self._idle
        while idle:
            upstream = idle.pop()
            if not upstream.is_closing():
                return upstream
        return None

    def give_back(self, upstream: "UpstreamConnection") -> None:
        """Keep it or close it."""
        idle = self._idle
        if may_keep(upstream.is_open, self.is_current, len(idle), self.idle_count_limit):
            idle.append(upstream)
            upstream.rest()
        else:
            upstream.close()

    def forget(self, upstream: "UpstreamConnection") -> None:
        """An idle connection is about to close. Linear, in a list that is short by its limit."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def retire(self) -> None:
        """Nothing that is connected is used again."""
        self.is_current = False
        self.close()

    def close(self) -> None:
        idle, self._idle = self._idle, []
        for upstream in idle:
            upstream.close()
