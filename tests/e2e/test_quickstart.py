"""`make run` as a newcomer meets it: what is printed is true, and Ctrl-C ends it."""

import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import (
    Process,
    ask,
    assert_quick,
    children_of,
    clean_environment,
    free_ports,
    is_running,
)

# Ctrl-C: nothing is left after this time. A promise of the README.
_STOP_SECONDS = 2.0


class Quickstart:
    """The command on ports of its own."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.port, self.admin_port, self.ops_port, self.gateway_port = free_ports(4)
        ports = {
            "SENTRA_EDGE__LISTEN": f"127.0.0.1:{self.port}",
            "SENTRA_CONTROL__ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
            "SENTRA_CONTROL__OPS_LISTEN": f"127.0.0.1:{self.ops_port}",
            "SENTRA_UPSTREAM__URL": f"http://127.0.0.1:{self.gateway_port}",
        }
        self.environment = clean_environment(**(ports | environment))
        self.folder = folder
        self.arguments = arguments
        self.processes: list[Process] = []

    def start(self) -> Process:
        command = [sys.executable, "-m", "proxy", "quickstart", *self.arguments]
        log_path = self.folder / f"log{len(self.processes)}"
        self.processes.append(Process(command, log_path, self.environment, self.folder))
        return self.processes[-1]

    def start_ready(self) -> Process:
        process = self.start()
        process.wait_for_line("/v1/status\n")
        return process


@pytest.fixture
def make_quickstart(tmp_path: Path) -> Iterator[Callable[..., Quickstart]]:
    made: list[Quickstart] = []

    def make(*arguments: str, **environment: str) -> Quickstart:
        made.append(Quickstart(tmp_path, *arguments, **environment))
        return made[-1]

    yield make
    for one in made:
        for process in one.processes:
            process.end()


def test_printed_lines_do_what_they_say(make_quickstart):
    """The first five minutes of every user."""
    started = make_quickstart()
    text = started.start_ready().log()
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("  curl ")]
    assert len(commands) == 6

    def run(number: int) -> str:
        done = subprocess.run(commands[number], capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    forwarded, by_address, by_host = run(0), run(1), run(2)
    assert forwarded.startswith("HTTP/1.1 200 ")
    assert "X-Forwarded-For" in forwarded
    assert by_address.startswith("HTTP/1.1 403 ")
    assert by_host.startswith("HTTP/1.1 403 ")
    explained = run(3)
    assert json.loads(explained)
    assert "demo-addresses" in explained
    assert ask(started.port, "/", headers={"X-Forwarded-For": "192.0.2.99"}).status == 200
    assert "192.0.2.99" in run(4)
    assert ask(started.port, "/", headers={"X-Forwarded-For": "192.0.2.99"}).status == 403
    assert json.loads(run(5))


def test_what_listens_where_is_printed_and_true(make_quickstart):
    """Every printed address answers."""
    started = make_quickstart()
    text = started.start_ready().log()
    for port, path in [
        (started.port, "/"),
        (started.gateway_port, "/ready"),
        (started.admin_port, "/v1/status"),
        (started.ops_port, "/readyz"),
    ]:
        assert f"http://127.0.0.1:{port}" in text
        assert ask(port, path).status == 200


def test_ctrl_c_ends_everything_with_open_streams_within_two_seconds(make_quickstart):
    """The time is a promise; an endless answer and an idle connection are open meanwhile."""
    started = make_quickstart()
    process = started.start_ready()
    everything = list(children_of(process.pid))
    assert len(everything) >= 3
    with (
        socket.create_connection(("127.0.0.1", started.port)) as idle,
        socket.create_connection(("127.0.0.1", started.port)) as streaming,
    ):
        idle.sendall(b"GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        streaming.sendall(b"GET /events HTTP/1.1\r\nHost: edge.example\r\n\r\n")
        assert streaming.recv(12) == b"HTTP/1.1 200"
        pressed = time.monotonic()
        assert process.stop(signal.SIGINT) == 0
        assert time.monotonic() - pressed < _STOP_SECONDS
    assert not any(map(is_running, everything))


def test_second_start_is_quick_and_remembers_blocks(make_quickstart):
    """Three seconds are a promise; what was blocked by hand stays blocked."""
    started = make_quickstart()
    first = started.start_ready()
    body = json.dumps({"target": "192.0.2.99", "reason": "tested"}).encode()
    json_type = {"Content-Type": "application/json"}
    assert ask(started.admin_port, "/v1/blocks", method="POST", headers=json_type, body=body).status in (
        200,
        201,
    )
    assert first.stop(signal.SIGINT) == 0

    def seconds_to_ready() -> float:
        begun = time.monotonic()
        again = started.start_ready()
        elapsed = time.monotonic() - begun
        assert ask(started.port, "/", headers={"X-Forwarded-For": "192.0.2.99"}).status == 403
        assert again.stop(signal.SIGINT) == 0
        return elapsed

    assert_quick(seconds_to_ready, 3.0)


def test_lists_of_a_folder_are_loaded(make_quickstart, tmp_path: Path):
    """`make run LISTS=FOLDER`."""
    lists = tmp_path / "mine"
    lists.mkdir()
    (lists / "bad.txt").write_text("203.0.113.128/25\n")
    started = make_quickstart("--lists", str(lists))
    started.start_ready()
    assert ask(started.port, "/", headers={"X-Forwarded-For": "203.0.113.200"}).status == 403
    assert ask(started.port, "/", headers={"X-Forwarded-For": "203.0.113.20"}).status == 200


@pytest.mark.parametrize("which", ["port", "admin_port", "ops_port", "gateway_port"])
def test_taken_port_is_one_clear_line_and_status_two(make_quickstart, which: str):
    """Nothing has been started by then."""
    started = make_quickstart()
    port = getattr(started, which)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        process = started.start()
        assert process.process.wait(20) == 2
    assert process.log().strip().splitlines()[-1].endswith(f"port {port} on 127.0.0.1 is taken")
    assert len(process.log().strip().splitlines()) == 1


def test_gateway_of_the_users_own_replaces_the_demo_gateway(make_quickstart, gateway_port: int):
    """TYK_GATEWAY_URL names it."""
    started = make_quickstart(TYK_GATEWAY_URL=f"http://127.0.0.1:{gateway_port}")
    del started.environment["SENTRA_UPSTREAM__URL"]
    process = started.start_ready()
    assert ask(started.port, "/").body == b"hello from the demo gateway\n"
    commands = list(children_of(process.pid).values())
    assert not [command for command in commands if "proxy.demo_gateway" in command]
