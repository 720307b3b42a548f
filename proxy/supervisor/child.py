"""One child process: its command, its life, and when it may be started again."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1

# The first restart is immediate: one death is bad luck and a queue is waiting. Then slower, never given up.
RESTART_DELAYS_SECONDS = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
# A child that lived this long after it was ready has proven itself: its next death is a first one again.
STEADY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """`slot`: None for a child that is not a worker. `descriptors` are inherited under their numbers."""

    name: str
    command: tuple[str, ...]
    slot: int | None = None
    descriptors: tuple[int, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    # It takes changed settings by being replaced, instead of by a signal.
    is_replaced_on_reload: bool = False

    @property
    def is_worker(self) -> bool:
        return self.slot is not None


class Child:
    """The mutable record of one spec. Times are monotonic seconds."""

    __slots__ = (
        "_ready_at",
        "failures",
        "has_been_ready",
        "is_wanted",
        "kill_at",
        "process",
        "restart_at",
        "restart_delay",
        "spec",
    )

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.restart_at: float | None = None
        self.restart_delay = 0.0
        # Set once it was asked to end.
        self.kill_at: float | None = None
        # False: it is not started again when it has ended.
        self.is_wanted = True
        self.failures = 0
        self.has_been_ready = False
        self._ready_at: float | None = None

    @property
    def is_ready(self) -> bool:
        return self._ready_at is not None

    def spawn(self) -> subprocess.Popen[bytes]:
        """Raises OSError when the program cannot be started."""
        self.restart_at = None
        self._ready_at = None
        self.process = subprocess.Popen(  # noqa: S603 - the command is built by this package
            self.spec.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=self.spec.descriptors,
            env=os.environ | self.spec.environment,
            # Its own group: a terminal's Ctrl-C reaches the supervisor only, which then stops the others in
            # order.
            process_group=0,
            preexec_fn=dying_with(os.getpid()),  # noqa: PLW1509 - this process has one thread
        )
        return self.process

    def mark_ready(self, now: float) -> None:
        self._ready_at = now
        self.has_been_ready = True

    def mark_exited(self, now: float) -> None:
        """Plan the restart, unless it is not wanted any more."""
        if self._ready_at is not None and now - self._ready_at >= STEADY_SECONDS:
            self.failures = 0
        self.restart_delay = RESTART_DELAYS_SECONDS[min(self.failures, len(RESTART_DELAYS_SECONDS) - 1)]
        self.failures += 1
        self.process = None
        self._ready_at = None
        self.kill_at = None
        self.restart_at = now + self.restart_delay if self.is_wanted else None

    def ask_to_end(self, kill_at: float) -> None:
        """SIGTERM now; whoever watches it kills it at that time."""
        self.kill_at = kill_at
        self.restart_at = None
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Nothing happens when it has ended already."""
        if self.process is not None:
            self.process.send_signal(number)


def dying_with(parent: int) -> Callable[[], None]:
    """For `preexec_fn`: SIGTERM to the new process when `parent` dies."""

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            # It died between fork and prctl: no signal will come.
            os._exit(1)

    return prepare
