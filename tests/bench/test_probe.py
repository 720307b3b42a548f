"""Turns of a worker's loop are seen from outside, long ones above all."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.probe import Probe, Waits, WrongAnswerError

_DENIAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

# Answers each request with 403; the third one after 60 ms of work.
_SERVER = f"""
import socket, sys, time
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    connection, _ = listener.accept()
    count = 0
    while connection.recv(65536):
        count += 1
        end = time.thread_time() + (0.06 if count == 3 else 0)
        while time.thread_time() < end:
            pass
        connection.sendall({_DENIAL!r})
"""


def test_a_long_turn_shows_as_cpu_time_of_the_thread():
    """By the clock it would show too, but so would a neighbour on the core."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        waits = Waits()
        with Probe(int(server.stdout.readline()), "blocked.test", server.pid) as probe:
            for _ in range(5):
                probe.run(waits)
    assert waits.wall_ms.index(max(waits.wall_ms)) == 2
    assert 59 <= waits.longest_turn_ms() <= waits.wall_ms[2] + 10


@pytest.mark.parametrize("late", [0.0, 0.004, 0.006])
def test_a_turn_counts_whole_when_its_account_comes_late(late: float):
    """The kernel writes at its ticks; the rest of a turn shows behind the next probe."""
    waits = Waits(accounts=[1.0, 1.0, 1.006 - late, 1.006, 1.006])
    assert waits.longest_turn_ms() == pytest.approx(6.0)


def test_an_answer_that_is_no_denial_ends_the_bench():
    """Between two lists there must be no moment without one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        own = int(Path("/proc/self").resolve().name)
        with (
            Probe(listener.getsockname()[1], "blocked.test", own) as probe,
            pytest.raises(WrongAnswerError, match="200 OK"),
        ):
            probe.run(Waits())
        thread.join()
