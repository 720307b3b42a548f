"""Loads of our own: a latency that leaves out a stall, or a crowd that is not there, would look like a
good figure.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bench import crowd, fixed_rate, idle
from bench.load import LoadError
from bench.processes import Process, cores

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket, int], None]) -> Iterator[int]:
    """Each request on each connection is answered by `answer`, which gets its number."""
    count = 0
    lock = threading.Lock()

    def serve(connection: socket.socket) -> None:
        nonlocal count
        with connection, contextlib.suppress(OSError):
            while connection.recv(65536):
                with lock:
                    number, count = count, count + 1
                answer(connection, number)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_latency_counts_from_the_moment_a_request_was_due():
    """One answer is late; what was due behind it on the only connection waited, too."""
    stall_seconds = 0.2

    def stall_once(connection: socket.socket, number: int) -> None:
        if number == 50:
            time.sleep(stall_seconds)
        connection.sendall(ANSWER)

    with serving(stall_once) as port:
        found, _ = fixed_rate.latencies_of(port, 200, 1.0, 1)
    assert len(found) == 200
    # 200 a second for 0.2 s: 40 requests were due meanwhile, the last of them just before its end.
    waited = [latency for latency in found if latency > stall_seconds / 4 * 1e9]
    assert len(waited) >= 25
    assert max(found) >= stall_seconds * 1e9


def test_rate_is_kept_while_answers_are_under_way():
    """Other connections go on asking: nobody waits for the slow one."""

    def slow(connection: socket.socket, number: int) -> None:
        time.sleep(0.05)
        connection.sendall(ANSWER)

    with serving(slow) as port:
        found, taken = fixed_rate.latencies_of(port, 100, 1.0, 20)
    assert len(found) == 100
    # One after the other they would take five seconds.
    assert taken < 4


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
)
def test_wrong_answer_gives_no_latency(answer: bytes):
    """An error page is quick."""
    with (
        serving(lambda connection, number: connection.sendall(answer)) as port,
        pytest.raises(LoadError, match="no 200"),
    ):
        fixed_rate.latencies_of(port, 100, 0.1, 1)


def test_percentiles_are_of_all_requests():
    """In milliseconds."""
    load = fixed_rate.summary([number * 1_000_000 for number in range(1, 101)], 2.0)
    assert (load.request_count, load.p50_ms, load.p90_ms, load.p99_ms) == (100, 51.0, 91.0, 100.0)
    assert load.requests_per_second == 50


def test_fixed_rate_that_is_not_reached_gives_no_figure():
    """The generator or the subject was the bottleneck: its latencies speak of that."""

    def slow(connection: socket.socket, number: int) -> None:
        time.sleep(0.01)
        connection.sendall(ANSWER)

    with serving(slow) as port, pytest.raises(LoadError, match="were reached"):
        fixed_rate.run(port, core=cores()[1], per_second=1000, seconds=0.5, connections=1)


def test_crowd_is_connected_and_answered_until_its_end():
    """Each connection had one answer and is open."""
    answered: list[int] = []

    def count(connection: socket.socket, number: int) -> None:
        answered.append(number)
        connection.sendall(ANSWER)

    with serving(count) as port, crowd.idle_connections(port, 50):
        assert len(answered) == 50


def test_memory_of_a_subject_is_that_of_all_its_processes(tmp_path):
    """A child's megabytes count."""
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'x = bytearray(b\"x\") * 50_000_000; import time;"
        " print(flush=True); time.sleep(60)'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    log = tmp_path / "log"
    process = Process([sys.executable, "-c", script], core=cores()[0], log=log)
    try:
        deadline = time.monotonic() + 20
        while "ready" not in process.last_lines():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert idle.proportional_kib(process) > 50_000
    finally:
        for process_id in process.family()[1:]:
            os.kill(process_id, signal.SIGKILL)
        process.stop()
