"""A supervisor in a process of its own, and what a test asks it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.supervisor import messages

_ROOT = Path(__file__).resolve().parents[2]
_BOUND_SECONDS = 10.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Poll a condition; the bound only ends a test that would fail anyway."""
    deadline = time.monotonic() + _BOUND_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {_BOUND_SECONDS} s: {what}")
        time.sleep(0.005)


def free_port() -> int:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return probing.getsockname()[1]


def state_of(process_id: int) -> str:
    """The kernel's letter: T stopped, Z ended and not yet asked for, empty when it is gone."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_stopped(process_id: int) -> bool:
    """All of its threads: the last to stop may be the one that accepts."""
    states = [
        task.read_text().rpartition(")")[2].split()[0]
        for task in Path(f"/proc/{process_id}/task").glob("*/stat")
    ]
    return set(states) == {"T"}


def is_running(process_id: int) -> bool:
    return state_of(process_id) not in ("", "Z")


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    directory: Path
    port: int
    log_path: Path
    connections: list[socket.socket] = field(default_factory=list)

    def log(self) -> str:
        return self.log_path.read_text()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=_BOUND_SECONDS)
        self.connections.append(connection)
        return connection

    def ask(self, connection: socket.socket) -> tuple[int, int]:
        """(slot, process id) of the worker at the other end."""
        connection.sendall(b"who\n")
        received = b""
        while not received.endswith(b"\n"):
            data = connection.recv(100)
            if not data:
                raise ConnectionError("the worker closed the connection")
            received += data
        slot, process_id = received.split()
        return int(slot), int(process_id)

    def pids(self, fact: str) -> list[int]:
        return [
            int(path.suffix[1:]) for path in self.directory.glob(f"{fact}.*") if path.suffix[1:].isdigit()
        ]

    def worker_pid(self, slot: int) -> int:
        """The process that serves the slot now."""
        running = [process_id for process_id in self.pids(f"worker-{slot}") if is_running(process_id)]
        assert len(running) == 1, running
        return running[0]

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(text) for text in path.read_text().split()]

    def ask_for(self, wish: str) -> messages.Message:
        """As the command line does; returns the answer."""
        with messages.connect(self.directory, _BOUND_SECONDS) as endpoint:
            messages.send(endpoint, wish)
            return messages.receive(endpoint)

    def supervisor_pid(self) -> int:
        """Of the one that answers now."""
        with messages.connect(self.directory, _BOUND_SECONDS) as endpoint:
            return messages.peer_process_id(endpoint)

    def change_successor(self, **environment: str) -> None:
        """What the next program does differently."""
        (self.directory / "successor.json").write_text(json.dumps(environment))

    def wait_ready(self) -> None:
        wait_until((self.directory / "all-ready").exists, "every child is ready")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(_BOUND_SECONDS)


Launch = Callable[..., Running]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start a supervisor; whatever a test leaves is killed, children first noted."""
    started: list[Running] = []

    def start(
        *,
        workers: int = 1,
        drain_seconds: float = 5.0,
        port: int | None = None,
        takes_over: bool = False,
        **environment: str,
    ) -> Running:
        number = len(started)
        directory = tmp_path / f"run{number}"
        log_path = tmp_path / f"log{number}"
        port = free_port() if port is None else port
        command = [sys.executable, str(Path(__file__).with_name("launch.py"))]
        arguments = [str(directory), str(port), str(workers), str(drain_seconds)]
        arguments += ["--take-over"] if takes_over else []
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command + arguments,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(_ROOT)} | environment,
                start_new_session=True,
            )
        running = Running(process, directory, port, log_path)
        started.append(running)
        return running

    yield start
    for running in started:
        with suppress(messages.MessageError):
            _end_successor(running)
        for connection in running.connections:
            connection.close()
        if running.process.poll() is None:
            left = running.children()
            running.process.kill()
            running.process.wait(_BOUND_SECONDS)
            for process_id in left:
                with suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGKILL)


def _end_successor(running: Running) -> None:
    process_id = running.supervisor_pid()
    if process_id != running.process.pid:
        os.kill(process_id, signal.SIGTERM)
        wait_until(lambda: not is_running(process_id), "the successor ended")
