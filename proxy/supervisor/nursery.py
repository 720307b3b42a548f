"""Children of one supervisor: started, relayed, reaped, started again when due, killed when overdue."""

import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from proxy.supervisor import events
from proxy.supervisor.child import Child
from proxy.supervisor.relay import ChildOutput, Output

_FLUSH_SECONDS = 0.2

# (child, process id, status, was it asked to end)
OnExit = Callable[[Child, int, int, bool], None]


class Nursery:
    """`on_ready` is called at each ready line, `on_exit` when a process has ended, its restart planned."""

    def __init__(
        self,
        children: Sequence[Child],
        selector: selectors.BaseSelector,
        on_ready: Callable[[Child], None],
        on_exit: OnExit,
    ) -> None:
        self.children = list(children)
        self._selector = selector
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._output = Output(selector)
        self._is_pretty = sys.stderr.isatty()
        self._pipes: dict[int, ChildOutput] = {}

    @property
    def workers(self) -> list[Child]:
        return [child for child in self.children if child.spec.is_worker]

    @property
    def others(self) -> list[Child]:
        return [child for child in self.children if not child.spec.is_worker]

    def start(self, child: Child) -> None:
        try:
            process = child.spawn()
        except OSError as error:
            # Out of processes or memory: later there may be room.
            child.mark_exited(time.monotonic())
            delay = child.restart_delay
            self.log(events.CHILD_EXITED, child, level="error", error=str(error), restart_seconds=delay)
            return
        if process.stdout is None:
            raise RuntimeError("invariant: a child is spawned with a pipe")
        self.log(events.CHILD_STARTED, child, pid=process.pid)
        self._pipes[process.pid] = ChildOutput(
            process.stdout, self._output, self._selector, lambda: self._ready(child)
        )

    def _ready(self, child: Child) -> None:
        child.mark_ready(time.monotonic())
        self.log(events.CHILD_READY, child)
        self._on_ready(child)

    def reap(self) -> None:
        for child in tuple(self.children):
            process = child.process
            if process is None or (status := process.poll()) is None:
                continue
            self._pipes.pop(process.pid).close()
            is_asked = child.kill_at is not None
            child.mark_exited(time.monotonic())
            self._on_exit(child, process.pid, status, is_asked)

    def restart_due(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.restart_at is not None and child.restart_at <= now:
                self.start(child)

    def kill_overdue(self) -> None:
        now = time.monotonic()
        self.kill(child for child in self.children if child.kill_at is not None and child.kill_at <= now)

    def kill(self, children: Iterable[Child]) -> None:
        for child in children:
            if child.process is not None:
                self.log(events.CHILD_KILLED, child, level="warning", pid=child.process.pid)
                child.kill_at = float("inf")
                child.send(signal.SIGKILL)

    def next_turn_at(self) -> float:
        """Monotonic seconds, infinite when nothing is due."""
        times = [moment for child in self.children for moment in (child.restart_at, child.kill_at)]
        return min((moment for moment in times if moment is not None), default=float("inf"))

    def resume_pipes(self) -> None:
        if not self._output.is_full:
            for pipe in self._pipes.values():
                pipe.resume()

    def log(
        self, event: str, child: Child | None = None, *, level: str = "info", **values: str | float | None
    ) -> None:
        name = None if child is None else child.spec.name
        slot = None if child is None else child.spec.slot
        self._output.write(
            events.line(event, level=level, pretty=self._is_pretty, child=name, slot=slot, **values)
        )

    def flush(self) -> None:
        self._output.flush(_FLUSH_SECONDS)
