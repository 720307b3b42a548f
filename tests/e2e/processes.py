"""Whole programs to test with: started as a user starts them, watched through /proc, stopped by id."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.supervisor import messages

ROOT = Path(__file__).resolve().parents[2]
BOUND_SECONDS = 30.0


def wait_until(condition: Callable[[], object], what: str, bound_seconds: float = BOUND_SECONDS) -> None:
    """Poll a condition; the bound only ends a test that would fail anyway."""
    deadline = time.monotonic() + bound_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {bound_seconds} s: {what}")
        time.sleep(0.005)


def assert_quick(measure: Callable[[], float], limit_seconds: float, attempts: int = 3) -> None:
    """A promised time holds on a machine that is ours. One busy with other things gets further attempts, and
    the time in which each of its waiting processes has had a turn."""
    taken: list[float] = []
    for _ in range(attempts):
        taken.append(measure())
        crowd = max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
        if taken[-1] < limit_seconds * crowd:
            return
    raise AssertionError(f"never below {limit_seconds} s: {[round(seconds, 3) for seconds in taken]}")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def is_running(process_id: int) -> bool:
    """False for a zombie: it has ended, only nobody has asked yet."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def children_of(process_id: int) -> dict[int, list[str]]:
    """Process id -> command line."""
    found = {}
    with suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):
                found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().split("\0")
    return found


def resident_bytes(process_id: int) -> int:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {process_id} has no resident size")


def clean_environment(**extra: str) -> dict[str, str]:
    """Nothing of the caller's own settings reaches the program."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SENTRA_", "TYK_")) and name != "LOG_LEVEL"
    }
    return kept | {"PYTHONPATH": str(ROOT)} | extra


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_SECONDS)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


class Process:
    """A started command with its output in a file; `stop` and the fixture's end leave nothing of it."""

    def __init__(self, command: list[str], log_path: Path, environment: dict[str, str], folder: Path) -> None:
        self.log_path = log_path
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for_line(self, text: str) -> None:
        def has_it() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with status {self.process.returncode}:\n{self.log()}")
            return text in self.log()

        wait_until(has_it, f"{text!r} in the log")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(BOUND_SECONDS)

    def end(self) -> None:
        """After a test: whatever is left is killed."""
        if self.process.poll() is not None:
            return
        left = children_of(self.pid)
        self.process.kill()
        self.process.wait(BOUND_SECONDS)
        for process_id in left:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)


class Edge:
    """`sentra-proxy run` with a configuration, lists and state of its own in one folder."""

    def __init__(self, folder: Path, upstream_port: int, *, workers: int = 2, more: str = "") -> None:
        self.folder = folder
        self.lists = folder / "lists"
        self.lists.mkdir(parents=True, exist_ok=True)
        self.config_path = folder / "sentra.toml"
        self.port, self.admin_port, self.ops_port = free_ports(3)
        self._upstream_port = upstream_port
        self._workers = workers
        self._more = more
        self.running: Process | None = None
        self.configure()

    def configure(self, edge: str = "", *, workers: int | None = None, drain_seconds: float = 1.0) -> None:
        """Write the configuration; `edge` are further lines of [edge]."""
        self._workers = workers or self._workers
        self.config_path.write_text(
            f"""
[edge]
listen = "127.0.0.1:{self.port}"
workers = {self._workers}
trusted_proxies = ["127.0.0.0/8"]
{edge}
[edge.timeouts]
drain_seconds = {drain_seconds}

[upstream]
url = "http://127.0.0.1:{self._upstream_port}"

[control]
admin_listen = "127.0.0.1:{self.admin_port}"
ops_listen = "127.0.0.1:{self.ops_port}"
auth = "none"

[state]
directory = "state"

{self._more}
"""
        )

    def reconfigure(self, more: str) -> None:
        """Other sections, from the next SIGHUP on."""
        self._more = more
        self.configure()

    def spawn(self) -> Process:
        """Without waiting."""
        command = [sys.executable, "-m", "proxy", "run", "--config", str(self.config_path)]
        self.running = Process(command, self.folder / "log", clean_environment(), self.folder)
        return self.running

    def start(self) -> Process:
        log_path = self.folder / "log"
        earlier = log_path.read_text().count("supervisor_ready") if log_path.exists() else 0
        running = self.spawn()
        wait_until(
            lambda: running.process.poll() is not None or running.log().count("supervisor_ready") > earlier,
            "the program is ready",
        )
        assert running.process.poll() is None, running.log()
        wait_until(
            lambda: self.admin("/v1/status").json()["workers"]["current"] == self._workers,
            "every worker has the lists",
        )
        return running

    def stop(self) -> int:
        assert self.running is not None
        return self.running.stop()

    def end(self) -> None:
        if self.running is None:
            return
        successor = self.supervisor_pid
        self.running.end()
        if successor != self.running.pid:
            os.kill(successor, signal.SIGTERM)
            wait_until(lambda: not is_running(successor), "the successor ended")

    @property
    def supervisor_pid(self) -> int:
        """Of the program that serves now: the one that was started, or what a restart made of it."""
        assert self.running is not None
        try:
            with messages.connect(self.folder / "state/run", BOUND_SECONDS) as endpoint:
                return messages.peer_process_id(endpoint)
        except messages.MessageError:
            return self.running.pid

    def workers(self) -> dict[int, int]:
        """Slot -> process id."""
        found = {}
        for process_id, command in children_of(self.supervisor_pid).items():
            if "--slot" in command:
                found[int(command[command.index("--slot") + 1])] = process_id
        return found

    def control(self) -> int:
        (process_id,) = (
            child for child, command in children_of(self.supervisor_pid).items() if "proxy.control" in command
        )
        return process_id

    def ready_count(self, child: str) -> int:
        """How often children of this name have become ready so far."""
        assert self.running is not None
        events = [line for line in self.running.log().splitlines() if '"child_ready"' in line]
        return sum(json.loads(line)["child"] == child for line in events)

    def metric(self, name: str) -> float:
        """The sum of a metric's samples on the ops port."""
        text = ask(self.ops_port, "/metrics").body.decode()
        samples = [line.rsplit(" ", 1) for line in text.splitlines() if re.match(rf"{name}(\{{|\s)", line)]
        assert samples, f"{name} is not among the metrics"
        return sum(float(value) for _, value in samples)

    def add_block(self, target: str) -> Answer:
        return self.admin("/v1/blocks", method="POST", target=target, reason="tested")

    def get(self, path: str = "/", **headers: str) -> Answer:
        return ask(
            self.port, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def get_as(self, client: str, path: str = "/") -> Answer:
        """As a trusted balancer in front would pass it on."""
        return ask(self.port, path, headers={"X-Forwarded-For": client})

    def admin(self, path: str, *, method: str = "GET", **values: object) -> Answer:
        body = json.dumps(values).encode() if values else None
        headers = {"Content-Type": "application/json"} if values else {}
        return ask(self.admin_port, path, method=method, headers=headers, body=body)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A verb of the command line, as an operator types it beside the running program."""
        return subprocess.run(
            [sys.executable, "-m", "proxy", *arguments],
            env=clean_environment(SENTRA_ADMIN_URL=f"http://127.0.0.1:{self.admin_port}"),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=BOUND_SECONDS,
        )
