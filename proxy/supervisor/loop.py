"""Child specs -> a running program: started, handed over or taken over, stopped in order, by one selector."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.supervisor import events, notify, signals
from proxy.supervisor.child import Child, ChildSpec, dying_with
from proxy.supervisor.desk import Desk, Estate
from proxy.supervisor.door import Door
from proxy.supervisor.nursery import Nursery
from proxy.supervisor.options import child_environment
from proxy.supervisor.replacements import Replacements
from proxy.supervisor.takeover import Takeover
from proxy.supervisor.worker_round import WorkerRound

CONTROL = "control"

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)
# A child's exit status that says "not startable like this": a configuration it refuses, a port it cannot
# have.
_REFUSED_STATUS = 2
# `timeout` signals a process and its group: what follows so closely is the same wish.
_SAME_SIGNAL_SECONDS = 0.3
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Hooks:
    """What others do at a turn of events; called on the supervisor's only thread, so they must be short."""

    on_worker_exit: Callable[[int, int, int], None]
    """(slot, process id, status) of a worker that ended without being asked to; negative status = signal."""
    on_worker_gone: Callable[[int], None]
    """The slot of a worker that has ended for good: another one has its sockets."""
    on_stopping: Callable[[], None]
    """The program ends: before the first SIGTERM, nothing new may arrive from here on."""
    on_leaving: Callable[[], None]
    """This supervisor ends and another one has the queues."""


@dataclass(frozen=True, slots=True)
class Times:
    drain_seconds: float
    stop_seconds: float
    takeover_seconds: float


class Supervisor:
    """`run` returns the exit status: 0 after a signal, 2 when a child refused the first start.

    With a `takeover` control is started alone, the workers follow when it serves, and any failure before all
    of them do ends us (status 1) and leaves the old program as it was.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        hooks: Hooks,
        times: Times,
        *,
        directory: Path,
        estate: Estate,
        takeover: Takeover | None = None,
        ready_command: Sequence[str] = (),
    ) -> None:
        self._hooks = hooks
        self._times = times
        self._takeover = takeover
        self._ready_command = ready_command
        self._ready_process: subprocess.Popen[bytes] | None = None
        self._selector = selectors.DefaultSelector()
        children = [Child(spec) for spec in specs]
        self._nursery = Nursery(children, self._selector, self._on_child_ready, self._on_child_exit)
        self._control = next(child for child in children if child.spec.name == CONTROL)
        self._replacements = Replacements(self._nursery, times.drain_seconds)
        self.log = self._nursery.log
        self._desk = Desk(self, estate)
        self._door = Door(directory, self._selector, self._desk.take, self._desk.gone)
        self._to_start = _start_groups(children, self._control, is_takeover=takeover is not None)
        self._start_deadline = _NEVER
        self._was_ready = False
        self._on_control_ended: Callable[[], None] | None = None
        self._round: WorkerRound | None = None
        self._stop_groups: list[list[Child]] = []
        self._stopping_since: float | None = None
        self._abandoned_for = ""
        self._status = 0

    def run(self) -> int:
        with signals.heard(self._selector, _SIGNALS, self._on_signal):
            if self._takeover is None:
                self._open_door()
            else:
                self._start_deadline = time.monotonic() + self._times.takeover_seconds
                self._takeover.watch(self._selector, self._abandon, self._inherit)
            self._start_next_group()
            while not self._has_stopped():
                for key, _ in self._selector.select(self._seconds_to_next_turn()):
                    key.data()
                self._turn()
        if self._ready_process is not None:
            self._ready_process.wait()
        self.log(events.SUPERVISOR_STOPPED, status=self._status)
        self._nursery.flush()
        self._selector.close()
        return self._status

    def _turn(self) -> None:
        if self._ready_process is not None and self._ready_process.poll() is not None:
            self._ready_process = None
        self._nursery.reap()
        self._desk.reap()
        self._nursery.restart_due()
        self._nursery.kill_overdue()
        if time.monotonic() >= self._start_deadline:
            self._abandon(self._late)
        if self._round is not None and time.monotonic() >= self._round.deadline:
            self._round.failed(f"a new worker: {self._late}")
        self._advance_stop()
        self._nursery.resume_pipes()

    def _seconds_to_next_turn(self) -> float | None:
        moment = min(self._nursery.next_turn_at(), self._start_deadline)
        if self._round is not None:
            moment = min(moment, self._round.deadline)
        return None if moment == _NEVER else max(0.0, moment - time.monotonic())

    @property
    def _is_stopping(self) -> bool:
        return self._stopping_since is not None

    # ------------------------------------------------------------ starting

    def _start_next_group(self) -> None:
        for child in self._to_start.pop(0):
            self._nursery.start(child)

    def _on_child_ready(self, child: Child) -> None:
        if self._round is not None and child is self._round.successor:
            self._round.is_ready()
            return
        if self._is_stopping or self._replacements.on_ready(child) or self._was_ready:
            return
        waiting = [child for group in self._to_start for child in group]
        started = [child for child in self._nursery.children if child not in waiting]
        if not all(child.has_been_ready for child in started):
            return
        if waiting:
            self._start_next_group()
        else:
            self._become_ready()

    def _become_ready(self) -> None:
        self._was_ready = True
        if self._takeover is not None:
            self._start_deadline = _NEVER
            # First: whoever hears that the restart is done may ask the next thing at once.
            self._open_door()
            self._takeover.commit(self._selector)
            self._takeover = None
            self.log(events.TAKEN_OVER)
        notify.tell("READY=1")
        self.log(events.SUPERVISOR_READY)
        self._run_ready_command()

    def _open_door(self) -> None:
        try:
            self._door.open()
        except OSError as error:
            # It serves, and can be stopped and started; only a restart without loss cannot be asked for.
            self.log(events.DOOR_CLOSED, level="error", error=str(error))

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
            self.log(events.READY_COMMAND_FAILED, level="error", error=str(error))

    # ------------------------------------------------------------ ends of children

    def _on_child_exit(self, child: Child, process_id: int, status: int, is_asked: bool) -> None:
        if not self._is_stopping and self._replacements.on_exit(child, status):
            return
        if is_asked or self._is_stopping:
            if self._is_stopping:
                child.restart_at = None
            self.log(events.CHILD_EXITED, child, pid=process_id, status=status)
            if child is self._control and self._on_control_ended is not None:
                done, self._on_control_ended = self._on_control_ended, None
                done()
            self._forget(child)
            return
        if self._round is not None and child is self._round.successor:
            self.log(events.CHILD_EXITED, child, level="error", pid=process_id, status=status)
            self._round.failed(f"a new worker ended with status {status} at the start: see its log")
            return
        if child.spec.slot is not None:
            self._hooks.on_worker_exit(child.spec.slot, process_id, status)
        is_refusal = status == _REFUSED_STATUS and not child.has_been_ready
        is_given_up = is_refusal or self._takeover is not None
        delay = None if is_given_up else child.restart_delay
        self.log(
            events.CHILD_EXITED, child, level="error", pid=process_id, status=status, restart_seconds=delay
        )
        if self._takeover is not None:
            self._abandon(f"its {child.spec.name} ended with status {status} at the start: see its log")
        elif is_refusal:
            self._stop(status=_REFUSED_STATUS)

    def _forget(self, child: Child) -> None:
        """A worker that was asked to go and is not wanted any more."""
        if child.spec.slot is not None and not child.is_wanted:
            self._nursery.children.remove(child)
            self._hooks.on_worker_gone(child.spec.slot)

    # ------------------------------------------------------------ new workers

    def replace_workers(self, answer: Callable[[str], None]) -> None:
        """One after the other; `answer` gets nothing when all are new, or the reason why not."""
        reason = self.reason_against_handover
        if not reason and any(child.kill_at is not None for child in self._nursery.workers):
            reason = "workers of the last replacement still drain: try again later"
        if reason:
            answer(reason)
            return

        def done(reason: str) -> None:
            self._round = None
            event = events.REPLACEMENT_FAILED if reason else events.WORKERS_REPLACED
            self.log(event, level="error" if reason else "info", reason=reason or None)
            answer(reason)

        self._round = WorkerRound(
            self._nursery,
            start_seconds=self._times.takeover_seconds,
            drain_seconds=self._times.drain_seconds,
            on_done=done,
        )
        self._round.start_next()

    @property
    def _late(self) -> str:
        return f"it did not serve within {self._times.takeover_seconds:g} s"

    # ------------------------------------------------------------ handing over

    @property
    def reason_against_handover(self) -> str:
        """Empty when a successor is welcome."""
        if self._is_stopping:
            return "it is stopping"
        if self._round is not None:
            return "its workers are being replaced"
        return "" if self._was_ready else "it has not finished its own start"

    @property
    def control_process_id(self) -> int:
        """0 when it does not run."""
        process = self._control.process
        return 0 if process is None else process.pid

    def lend_control(self, done: Callable[[], None]) -> None:
        """End our control process for a successor's; `done` is called when it has ended."""
        self._control.is_wanted = False
        self._control.restart_at = None
        if self._control.process is None:
            done()
            return
        self._on_control_ended = done
        self._control.ask_to_end(time.monotonic() + self._times.stop_seconds)

    def take_back_control(self) -> None:
        """The successor has failed and its control with it: ours is needed again."""
        self._on_control_ended = None
        self._control.is_wanted = True
        if self._control.process is None and not self._is_stopping:
            self._control.restart_at = time.monotonic()

    def retire(self, successor: int) -> None:
        """Another supervisor serves on our sockets: drain our workers, then end."""
        notify.tell(f"MAINPID={successor}")
        self.log(events.HANDED_OVER, pid=successor)
        self._hooks.on_leaving()
        self._begin_stop([self._nursery.workers, self._nursery.others])

    def _inherit(self) -> None:
        """The old supervisor died before the commit: there is nobody to go back to, so this start is like
        any other."""
        if self._takeover is None or self._is_stopping:
            return
        self._takeover = None
        self._start_deadline = _NEVER
        self.log(events.TAKEN_OVER, reason="the old supervisor has died")
        self._open_door()
        while self._to_start:
            self._start_next_group()

    def _abandon(self, reason: str) -> None:
        """A take-over fails before the commit: the old program serves, and needs its control back soonest."""
        if self._is_stopping:
            return
        self._status = self._status or 1
        self._abandoned_for = reason
        self.log(events.HANDOVER_FAILED, level="error", reason=reason)
        self._hooks.on_leaving()
        self._begin_stop([self._nursery.others, self._nursery.workers])

    # ------------------------------------------------------------ stopping

    def _stop(self, *, status: int = 0) -> None:
        self._status = status
        if self._takeover is not None:
            self._abandon("it was asked to stop")
            return
        notify.tell("STOPPING=1")
        self.log(events.SUPERVISOR_STOPPING)
        self._desk.withdraw("it is stopping")
        if self._ready_process is not None:
            self._ready_process.kill()
        self._hooks.on_stopping()
        # Workers first: draining needs the upstream, and control takes the last events.
        self._begin_stop([self._nursery.workers, self._nursery.others])

    def _begin_stop(self, groups: list[list[Child]]) -> None:
        self._stopping_since = time.monotonic()
        self._start_deadline = _NEVER
        if self._round is not None:
            self._round.failed("it is stopping")
        self._door.close()
        self._stop_groups = groups
        for child in self._nursery.children:
            child.restart_at = None
        self._end_group()

    def _end_group(self) -> None:
        now = time.monotonic()
        for child in self._stop_groups[0]:
            seconds = self._times.drain_seconds if child.spec.is_worker else self._times.stop_seconds
            child.ask_to_end(now + seconds)

    def _advance_stop(self) -> None:
        """One group after the other."""
        while self._stop_groups and not any(child.process for child in self._stop_groups[0]):
            self._stop_groups.pop(0)
            if self._takeover is not None:
                self._takeover.fail(self._abandoned_for)
                self._takeover = None
            if self._stop_groups:
                self._end_group()

    def _has_stopped(self) -> bool:
        return self._is_stopping and not self._stop_groups

    # ------------------------------------------------------------ signals

    def _on_signal(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._stopping_since is None:
                self._stop()
            elif time.monotonic() - self._stopping_since >= _SAME_SIGNAL_SECONDS:
                self._nursery.kill(self._nursery.children)
        elif number == signal.SIGHUP:
            self.reload()
        elif number == signal.SIGUSR2:
            self._desk.restart()

    def reload(self) -> None:
        """Control reads and checks, workers hear from it; lanes are replaced. What is being restarted reads
        anyway."""
        if not self._is_stopping:
            self.log(events.RELOAD_REQUESTED)
            self._control.send(signal.SIGHUP)
            self._replacements.begin_all()


def _start_groups(children: list[Child], control: Child, *, is_takeover: bool) -> list[list[Child]]:
    """What is started together, in order.

    None waits for control but at a take-over: workers would start with the old program's settings, and
    control is the one that may refuse the new ones.
    """
    if not is_takeover:
        return [children]
    return [[control], [child for child in children if child is not control]]
