"""What is asked of a running supervisor -> what it does: restart, reload, hand everything to a successor.

A hand-over in order, seen from here (DESIGN.md says why, and what a kill leaves at each step):

1. somebody asks for a restart, and a successor is started; or one comes by itself (`run --take-over`)
2. TAKE_OVER: it gets every listening socket and the lock of the runtime directory
3. STOP_CONTROL: our control process ends, so that there is never a second writer of the store
4. COMMIT: the successor's control and workers serve; our workers drain, and we end with them

Until the commit we serve, and go on serving when the successor fails or dies.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.supervisor import events, messages
from proxy.supervisor.door import Visitor
from proxy.supervisor.messages import Message
from proxy.supervisor.sockets import Opened

if TYPE_CHECKING:  # loop.py imports this module
    from proxy.supervisor.loop import Supervisor

_ENDED_EARLY = "the new program ended before it could serve: see its log"


@dataclass(frozen=True, slots=True)
class Estate:
    """What a successor gets, and how it is started: with the environment as it was before `become`."""

    listeners: Sequence[Opened]
    lock_descriptor: int
    successor_command: tuple[str, ...] = ()
    python_path: str = ""


class Desk:
    """Owned by the supervisor, on its one thread."""

    def __init__(self, supervisor: "Supervisor", estate: Estate) -> None:
        self._supervisor = supervisor
        self._estate = estate
        self._taker: Visitor | None = None
        self._waiting: list[Visitor] = []
        self._successor: subprocess.Popen[bytes] | None = None
        # Have failed and said so; what is left of them is their own drain.
        self._failed: list[subprocess.Popen[bytes]] = []

    def take(self, visitor: Visitor, message: Message) -> None:
        match message.kind:
            case messages.RELOAD:
                self._supervisor.reload()
                visitor.send(messages.DONE)
            case messages.REPLACE_WORKERS:
                self._replace_workers(visitor)
            case messages.RESTART:
                self._waiting.append(visitor)
                self.restart()
            case messages.TAKE_OVER:
                self._offer(visitor, message)
            case messages.STOP_CONTROL if visitor is self._taker:
                self._supervisor.lend_control(lambda: visitor.send(messages.CONTROL_STOPPED))
            case messages.COMMIT if visitor is self._taker:
                self._commit(visitor)
            case messages.FAILED if visitor is self._taker:
                self._fail(message.text("reason"))
            case _:
                visitor.send(messages.REFUSED, reason=f"{message.kind!r} is not understood here")

    def _replace_workers(self, visitor: Visitor) -> None:
        def answer(reason: str) -> None:
            visitor.send(messages.REFUSED if reason else messages.DONE, reason=reason)

        if self._taker is not None or self._successor is not None:
            answer("the whole program is being restarted")
        else:
            self._supervisor.replace_workers(answer)

    def gone(self, visitor: Visitor) -> None:
        if visitor in self._waiting:
            self._waiting.remove(visitor)
        if visitor is self._taker:
            self._fail(_ENDED_EARLY)

    # ------------------------------------------------------------ a successor

    def restart(self) -> None:
        """Start a successor; whoever waits hears the outcome."""
        if reason := self._reason_against_restart():
            self._answer(messages.REFUSED, reason=reason)
        elif self._successor is None and self._taker is None:
            self._spawn()

    def _reason_against_restart(self) -> str:
        if not self._estate.successor_command:
            return "this program was not started by `sentra-proxy run`: stop it and start it again"
        if os.getpid() == 1:
            return "process 1 of a container cannot be replaced: replace the container"
        return self._supervisor.reason_against_handover

    def _spawn(self) -> None:
        environment = dict(os.environ)
        # `become` has put the package's own folder in front; a successor may come from another one.
        environment.pop("PYTHONPATH", None)
        if self._estate.python_path:
            environment["PYTHONPATH"] = self._estate.python_path
        try:
            self._successor = subprocess.Popen(  # noqa: S603 - our own command, as it was given at the start
                self._estate.successor_command,
                stdin=subprocess.DEVNULL,
                env=environment,
                # It outlives us, and a terminal's Ctrl-C for us is none for it.
                start_new_session=True,
            )
        except OSError as error:
            self._answer(messages.REFUSED, reason=f"the new program cannot be started: {error.strerror}")
            return
        self._supervisor.log(events.SUCCESSOR_STARTED, pid=self._successor.pid)

    def reap(self) -> None:
        """A successor that ended while we serve has failed, whether or not it came to take over."""
        self._failed = [process for process in self._failed if process.poll() is None]
        if self._successor is None or self._successor.poll() is None:
            return
        self._successor = None
        if self._taker is None:
            self._report_failure(_ENDED_EARLY)

    # ------------------------------------------------------------ the steps

    def _offer(self, visitor: Visitor, message: Message) -> None:
        reason = self._supervisor.reason_against_handover
        if not reason and self._taker is not None:
            reason = f"process {self._taker.process_id} is taking over already"
        if not reason and message.number("protocol") != messages.PROTOCOL_VERSION:
            reason = f"hand-over protocol {message.number('protocol')} is not {messages.PROTOCOL_VERSION}"
        if reason:
            visitor.send(messages.REFUSED, reason=reason)
            return
        self._taker = visitor
        self._supervisor.log(events.HANDOVER_STARTED, pid=visitor.process_id)
        size = messages.DESCRIPTORS_PER_PACKET
        for start in range(0, len(self._estate.listeners), size):
            part = self._estate.listeners[start : start + size]
            paths = [opened.path for opened in part]
            visitor.send(messages.SOCKETS, [opened.socket.fileno() for opened in part], paths=paths)
        visitor.send(
            messages.OFFER,
            [self._estate.lock_descriptor],
            control_process_id=self._supervisor.control_process_id,
        )

    def _commit(self, visitor: Visitor) -> None:
        process_id = visitor.process_id
        self._taker = None
        self._successor = None
        self._answer(messages.DONE, process_id=process_id)
        self._supervisor.retire(process_id)

    def withdraw(self, reason: str) -> None:
        """We are asked to stop: that is meant for the program, not for one of its processes."""
        if self._taker is not None:
            taker, self._taker = self._taker, None
            taker.send(messages.WITHDRAWN, reason=reason)
        elif self._successor is not None:
            self._successor.terminate()
        self._answer(messages.REFUSED, reason=reason)

    def _fail(self, reason: str) -> None:
        """Its control has ended, or dies with it."""
        self._taker = None
        if self._successor is not None:
            self._failed.append(self._successor)
            self._successor = None
        self._report_failure(reason)
        self._supervisor.take_back_control()

    def _report_failure(self, reason: str) -> None:
        self._supervisor.log(events.HANDOVER_FAILED, level="error", reason=reason)
        self._answer(messages.REFUSED, reason=reason)

    def _answer(self, kind: str, *, reason: str = "", process_id: int = 0) -> None:
        waiting, self._waiting = self._waiting, []
        for visitor in waiting:
            visitor.send(kind, reason=reason, process_id=process_id)
