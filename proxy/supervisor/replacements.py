"""A reload of a child that cannot change as it runs: its successor serves first, then it is asked to end.

A lane has the user's modules imported; only another process has them anew. Both accept from one socket for a
while, so nothing is refused, and a successor that cannot start changes nothing.
"""

import time

from proxy.supervisor import events
from proxy.supervisor.child import Child
from proxy.supervisor.nursery import Nursery

# Of one child, still draining. Reloads that follow faster wait: each old process holds its memory.
_MOST_RETIRING = 3


class Replacements:
    """Told of what happens to children; says whether it was a replacement's affair."""

    def __init__(self, nursery: Nursery, drain_seconds: float) -> None:
        self._nursery = nursery
        self._drain_seconds = drain_seconds
        # Successor -> the one that serves.
        self._olds: dict[Child, Child] = {}
        self._retiring: set[Child] = set()
        self._wanted_again: set[str] = set()

    def begin_all(self) -> None:
        for child in tuple(self._nursery.children):
            is_serving = child.is_ready and child not in self._olds and child not in self._retiring
            # One that is being started reads the new settings anyway.
            if child.spec.is_replaced_on_reload and is_serving:
                self._begin(child)

    def on_ready(self, child: Child) -> bool:
        """The successor serves."""
        old = self._olds.pop(child, None)
        if old is None:
            return False
        self._retiring.add(old)
        old.is_wanted = False
        old.restart_at = None
        old.ask_to_end(time.monotonic() + self._drain_seconds)
        self._go_on(child)
        return True

    def on_exit(self, child: Child, status: int) -> bool:
        """A retired one has ended, or a successor before it could serve."""
        if child in self._retiring:
            self._retiring.discard(child)
            self._nursery.children.remove(child)
            self._nursery.log(events.CHILD_EXITED, child, status=status)
            for other in tuple(self._nursery.children):
                if other.spec.name == child.spec.name and other not in self._olds:
                    self._go_on(other)
            return True
        if (old := self._olds.pop(child, None)) is None:
            return False
        self._nursery.children.remove(child)
        self._nursery.log(events.REPLACEMENT_FAILED, child, level="error", status=status)
        self._go_on(old)
        return True

    def _begin(self, child: Child) -> None:
        name = child.spec.name
        draining = sum(old.spec.name == name for old in self._retiring)
        if child in self._olds.values() or draining >= _MOST_RETIRING:
            self._wanted_again.add(name)
            return
        successor = Child(child.spec)
        self._olds[successor] = child
        self._nursery.children.append(successor)
        self._nursery.start(successor)

    def _go_on(self, child: Child) -> None:
        """A reload that came meanwhile."""
        if child.spec.name in self._wanted_again and child.is_ready and child not in self._retiring:
            self._wanted_again.discard(child.spec.name)
            self._begin(child)
