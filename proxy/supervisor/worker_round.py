"""Workers replaced one after the other, by new processes on the same sockets.

A new worker has a slot of the segment for itself, because the old one still counts while it drains: worker n
of N is in slot n or n + N. It serves before the old one is asked to drain, so a queue always has a reader.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from proxy.supervisor.child import Child, ChildSpec
from proxy.supervisor.nursery import Nursery


class WorkerRound:
    """`on_done` is called once: with nothing, or with the reason why the rest stays as it was."""

    def __init__(
        self,
        nursery: Nursery,
        *,
        start_seconds: float,
        drain_seconds: float,
        on_done: Callable[[str], None],
    ) -> None:
        self._nursery = nursery
        self._start_seconds = start_seconds
        self._drain_seconds = drain_seconds
        self._on_done = on_done
        self._old = list(nursery.workers)
        self._count = len(self._old)
        self.successor: Child | None = None
        self.deadline = float("inf")

    def start_next(self) -> None:
        old = self._old[0]
        self.successor = Child(_moved(old.spec, self._count))
        self.successor.is_wanted = False
        self.deadline = time.monotonic() + self._start_seconds
        self._nursery.children.append(self.successor)
        self._nursery.start(self.successor)
        if self.successor.process is None:
            self.failed("there is no room for another process")

    def is_ready(self) -> None:
        """The successor serves; the one before it may go."""
        if self.successor is not None:
            self.successor.is_wanted = True
        old = self._old.pop(0)
        old.is_wanted = False
        if old.process is None:
            self._nursery.children.remove(old)  # it had died and waited to be started again
        else:
            old.ask_to_end(time.monotonic() + self._drain_seconds)
        if self._old:
            self.start_next()
        else:
            self._end("")

    def failed(self, reason: str) -> None:
        """The successor has ended, or takes too long. Those that are replaced by now stay so."""
        successor = self.successor
        if successor is not None:
            if successor.process is None:
                self._nursery.children.remove(successor)
            else:
                successor.ask_to_end(time.monotonic())
        self._end(reason)

    def _end(self, reason: str) -> None:
        self.successor = None
        self.deadline = float("inf")
        self._on_done(reason)


def _moved(spec: ChildSpec, count: int) -> ChildSpec:
    """The same worker in the other slot that is its own."""
    if spec.slot is None:
        raise ValueError(f"invariant: {spec.name} is a worker")
    slot = spec.slot + count if spec.slot < count else spec.slot - count
    command = list(spec.command)
    command[command.index("--slot") + 1] = str(slot)
    return replace(spec, slot=slot, command=tuple(command))
