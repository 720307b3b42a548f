"""Idle upstream connections, last in first out: the warm ones are used, the others reach their idle
deadline."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # upstream.py imports the context, which imports this module
    from proxy.edge.upstream import UpstreamConnection


def may_keep(is_open: bool, is_current: bool, idle_count: int, limit: int) -> bool:
    """Whether a connection whose exchange ended cleanly goes back to the pool.

    `is_current`: it is connected to the upstream's present address. Called by position: keywords cost 60 ns.
    """
    return is_open and is_current and idle_count < limit


class Pool:
    """One per worker and so without locks. `generation` counts changes of the upstream's address."""

    __slots__ = ("_idle", "generation", "idle_count_limit")

    def __init__(self, idle_count_limit: int) -> None:
        self._idle: list[UpstreamConnection] = []
        self.idle_count_limit = idle_count_limit
        self.generation = 0

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> "UpstreamConnection | None":
        """The connection that was given back last. One whose reset has been read, but not yet reported, is
        passed over."""
        idle = self._idle
        while idle:
            upstream = idle.pop()
            if not upstream.is_closing():
                return upstream
        return None

    def give_back(self, upstream: "UpstreamConnection") -> None:
        """Keep it or close it."""
        idle = self._idle
        is_current = upstream.generation == self.generation
        if may_keep(upstream.is_open, is_current, len(idle), self.idle_count_limit):
            idle.append(upstream)
            upstream.rest()
        else:
            upstream.close()

    def forget(self, upstream: "UpstreamConnection") -> None:
        """An idle connection is about to close. Linear, in a list that is short by its limit."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def renew(self) -> None:
        """The upstream has another address: nothing that is connected to the old one is used again."""
        self.generation += 1
        self.close()

    def close(self) -> None:
        idle, self._idle = self._idle, []
        for upstream in idle:
            upstream.close()
