"""Child specs -> running children: started, watched, restarted, stopped in order, by one selector."""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from proxy.supervisor import events
from proxy.supervisor.child import Child, ChildSpec, dying_with
from proxy.supervisor.options import child_environment
from proxy.supervisor.relay import ChildOutput, Output

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
# A child's exit status that says "not startable like this": a configuration it refuses, a port it cannot
# have.
_REFUSED_STATUS = 2
_FLUSH_SECONDS = 0.2
# `timeout` signals a process and its group: what follows so closely is the same wish.
_SAME_SIGNAL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Hooks:
    """What others do at a turn of events; called on the supervisor's only thread, so they must be short."""

    on_worker_exit: Callable[[int, int, int], None]
    """(slot, process id, status) of a worker that ended without being asked to; negative status = signal."""
    on_stopping: Callable[[], None]
    """Before the first SIGTERM: nothing new may arrive from here on."""


@dataclass(frozen=True, slots=True)
class StopTimes:
    drain_seconds: float
    stop_seconds: float


class Supervisor:
    """`run` returns the exit status: 0 after a signal, 2 when a child refused the first start."""

    def __init__(
        self, specs: Sequence[ChildSpec], hooks: Hooks, times: StopTimes, ready_command: Sequence[str] = ()
    ) -> None:
        self._children = [Child(spec) for spec in specs]
        self._hooks = hooks
        self._ready_command = ready_command
        self._ready_process: subprocess.Popen[bytes] | None = None
        self._selector = selectors.DefaultSelector()
        self._output = Output(self._selector)
        self._is_pretty = sys.stderr.isatty()
        self._pipes: dict[int, ChildOutput] = {}
        self._stop_phases = [
            ([child for child in self._children if child.spec.is_worker], times.drain_seconds),
            ([child for child in self._children if not child.spec.is_worker], times.stop_seconds),
        ]
        self._phase: int | None = None
        self._phase_deadline = 0.0
        self._stopping_since = 0.0
        self._was_ready = False
        self._status = 0

    def run(self) -> int:
        with self._wakeups():
            for child in self._children:
                self._start(child)
            while not self._has_stopped():
                for key, _ in self._selector.select(self._seconds_to_next_turn()):
                    key.data()
                self._reap()
                self._restart_due()
                self._advance_stop()
                self._resume_pipes()
        if self._ready_process is not None:
            self._ready_process.wait()
        self._log(events.SUPERVISOR_STOPPED, status=self._status)
        self._output.flush(_FLUSH_SECONDS)
        self._selector.close()
        return self._status

    # ------------------------------------------------------------ life of a child

    def _start(self, child: Child) -> None:
        try:
            process = child.spawn()
        except OSError as error:
            # Out of processes or memory: later there may be room.
            delay = child.mark_exited(time.monotonic())
            self._log(events.CHILD_EXITED, child, level="error", error=str(error), restart_seconds=delay)
            return
        if process.stdout is None:
            raise RuntimeError("invariant: a child is spawned with a pipe")
        self._log(events.CHILD_STARTED, child, pid=process.pid)
        self._pipes[process.pid] = ChildOutput(
            process.stdout, self._output, self._selector, lambda: self._on_child_ready(child)
        )

    def _on_child_ready(self, child: Child) -> None:
        child.mark_ready(time.monotonic())
        self._log(events.CHILD_READY, child)
        if not self._was_ready and all(other.has_been_ready for other in self._children):
            self._was_ready = True
            self._log(events.SUPERVISOR_READY)
            self._run_ready_command()

    def _run_ready_command(self) -> None:
        if not self._ready_command:
            return
        try:
            self._ready_process = subprocess.Popen(  # noqa: S603 - the caller's own words
                self._ready_command,
                stdin=subprocess.DEVNULL,
                env=os.environ | child_environment(),
                process_group=0,
                preexec_fn=dying_with(os.getpid()),  # noqa: PLW1509 - this process has one thread
            )
        except OSError as error:
            # What it would have said is less than what serves.
            self._log(events.READY_COMMAND_FAILED, level="error", error=str(error))

    def _reap(self) -> None:
        if self._ready_process is not None and self._ready_process.poll() is not None:
            self._ready_process = None
        for child in self._children:
            process = child.process
            if process is None or (status := process.poll()) is None:
                continue
            self._pipes.pop(process.pid).close()
            is_asked = self._phase is not None
            if not is_asked and child.spec.slot is not None:
                self._hooks.on_worker_exit(child.spec.slot, process.pid, status)
            delay = child.mark_exited(time.monotonic())
            if is_asked:
                self._log(events.CHILD_EXITED, child, pid=process.pid, status=status)
            elif status == _REFUSED_STATUS and not child.has_been_ready:
                self._log(events.CHILD_EXITED, child, level="error", pid=process.pid, status=status)
                self._stop(status=_REFUSED_STATUS)
            else:
                self._log(
                    events.CHILD_EXITED,
                    child,
                    level="error",
                    pid=process.pid,
                    status=status,
                    restart_seconds=delay,
                )

    def _restart_due(self) -> None:
        if self._phase is not None:
            return
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None and child.restart_at <= now:
                self._start(child)

    # ------------------------------------------------------------ stopping

    def _stop(self, *, status: int = 0) -> None:
        self._status = status
        self._stopping_since = time.monotonic()
        self._log(events.SUPERVISOR_STOPPING)
        if self._ready_process is not None:
            self._ready_process.kill()
        self._hooks.on_stopping()
        self._begin_phase(0)

    def _begin_phase(self, number: int) -> None:
        children, seconds = self._stop_phases[number]
        self._phase = number
        self._phase_deadline = time.monotonic() + seconds
        for child in children:
            child.send(signal.SIGTERM)

    def _advance_stop(self) -> None:
        """Workers first: draining needs the upstream, and control takes the last events."""
        while self._phase is not None and self._phase < len(self._stop_phases):
            running = [child for child in self._stop_phases[self._phase][0] if child.process is not None]
            if running:
                if time.monotonic() >= self._phase_deadline:
                    self._kill(running)
                    self._phase_deadline = float("inf")
                return
            if self._phase + 1 == len(self._stop_phases):
                self._phase += 1
            else:
                self._begin_phase(self._phase + 1)

    def _kill(self, children: Iterable[Child]) -> None:
        for child in children:
            if child.process is not None:
                self._log(events.CHILD_KILLED, child, level="warning", pid=child.process.pid)
                child.send(signal.SIGKILL)

    def _has_stopped(self) -> bool:
        return self._phase == len(self._stop_phases)

    # ------------------------------------------------------------ signals and time

    @contextmanager
    def _wakeups(self) -> Iterator[None]:
        """Signals arrive as bytes on a socket: nothing of ours runs inside a handler.

        At the end they are ignored: the process is about to exit and one more must not change its status.
        """
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._take_signals(reader))
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        earlier_descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(earlier_descriptor)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._selector.unregister(reader)
            reader.close()
            writer.close()

    def _take_signals(self, reader: socket.socket) -> None:
        try:
            numbers = reader.recv(4096)
        except BlockingIOError:
            return
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                if self._phase is None:
                    self._stop()
                elif time.monotonic() - self._stopping_since >= _SAME_SIGNAL_SECONDS:
                    self._kill(self._children)
            elif number == signal.SIGHUP and self._phase is None:
                self._reload()

    def _reload(self) -> None:
        """Control reads and checks, workers hear from it. A control that is being restarted reads anyway."""
        self._log(events.RELOAD_REQUESTED)
        for child in self._children:
            if child.spec.name == "control":
                child.send(signal.SIGHUP)

    def _seconds_to_next_turn(self) -> float | None:
        if self._phase is not None:
            deadlines = [self._phase_deadline] if self._phase_deadline != float("inf") else []
        else:
            deadlines = [child.restart_at for child in self._children if child.restart_at is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    # ------------------------------------------------------------ output

    def _resume_pipes(self) -> None:
        if not self._output.is_full:
            for pipe in self._pipes.values():
                pipe.resume()

    def _log(
        self, event: str, child: Child | None = None, *, level: str = "info", **values: str | float | None
    ) -> None:
        name = None if child is None else child.spec.name
        slot = None if child is None else child.spec.slot
        self._output.write(
            events.line(event, level=level, pretty=self._is_pretty, child=name, slot=slot, **values)
        )
