"""Commands -> processes on one core, ready, accounted for and stopped by their id."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0


class NotReadyError(Exception):
    """Names the command and shows the end of what it printed."""


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds, from the kernel's accounting."""

    user: float
    system: float

    @property
    def total(self) -> float:
        return self.user + self.system

    def __sub__(self, earlier: "CpuTime") -> "CpuTime":
        return CpuTime(self.user - earlier.user, self.system - earlier.system)


def cores() -> tuple[int, int]:
    """(core of the subject, core of load and upstream). One core is shared when there is no second."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A child in its own session with everything it starts, pinned to one core."""

    def __init__(
        self, command: Sequence[str], *, core: int, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = tuple(command)
        self._log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def process_id(self) -> int:
        return self._child.pid

    def family(self) -> list[int]:
        """This process and all its descendants."""
        return [self.process_id, *descendants(self.process_id)]

    def cpu_time(self) -> CpuTime:
        return cpu_time(self.family())

    def until_listening(self, port: int) -> Self:
        """Raises NotReadyError when the process ends or the port stays closed."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise NotReadyError(
                    f"{self.command[0]} ended with {self._child.returncode}: {self.last_lines()}"
                )
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return self
            time.sleep(0.02)
        raise NotReadyError(f"{self.command[0]} does not listen on {port}: {self.last_lines()}")

    def last_lines(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def stop(self) -> None:
        """SIGTERM to the process we started, SIGKILL to its own session when that was not enough."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process_id, signal.SIGKILL)
                self._child.wait()


@contextmanager
def running(
    command: Sequence[str], *, core: int, log: Path, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    process = Process(command, core=core, log=log, environment=environment)
    try:
        yield process.until_listening(port)
    finally:
        process.stop()


def descendants(process_id: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{process_id}/task").glob("*/children"):
        try:
            children = [int(number) for number in task.read_text(encoding="ascii").split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def cpu_time(process_ids: Sequence[int]) -> CpuTime:
    """User and system time of all threads. A process that has ended meanwhile counts nothing."""
    user = system = 0
    for process_id in process_ids:
        try:
            stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return CpuTime(user / _TICKS, system / _TICKS)
