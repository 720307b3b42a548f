"""`python -m bench.fixed_rate PORT PER_SECOND SECONDS CONNECTIONS`: requests that start when they are due,
answered or not -> latencies, printed as JSON.

A request's latency counts from the moment at which it was due, also when every connection was still waiting
for an answer then. A load that waits for one answer before it asks again leaves out what a stall does to all
others.
"""

import json
import re
import select
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from bench.load import Load, LoadError

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_PATIENCE_SECONDS = 5.0
_ANSWER_BYTES = 65536
# Below this share of the rate that was asked for, the generator or the subject could not keep up.
_REACHED_SHARE = 0.95


class Connection:
    """One kept connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), _PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0
        self._came = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def ask(self, due: int) -> None:
        self.due = due
        self.socket.send(_REQUEST)

    def has_answer(self) -> bool:
        """Read what has come. Raises LoadError at an end, and at any answer but a 200 with a length."""
        data = self.socket.recv(_ANSWER_BYTES)
        if not data:
            raise LoadError("the subject closed a connection")
        self._came += data
        head, mark, body = self._came.partition(b"\r\n\r\n")
        if not mark:
            return False
        length = _LENGTH.search(head + b"\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            raise LoadError(f"an answer is no 200 with a length: {head[:200]!r}")
        if len(body) < int(length[1]):
            return False
        self._came = b""
        return True


@dataclass(slots=True)
class Schedule:
    """`interval` between two requests, in nanoseconds as all times here."""

    interval: int
    count: int
    next_due: int
    started_count: int = 0

    def start_due(self, free: list[Connection]) -> None:
        now = time.perf_counter_ns()
        while free and self.started_count < self.count and self.next_due <= now:
            free.pop().ask(self.next_due)
            self.next_due += self.interval
            self.started_count += 1

    @property
    def is_over(self) -> bool:
        return self.started_count == self.count

    def seconds_to_next(self) -> float:
        return max(0, self.next_due - time.perf_counter_ns()) / 1e9


def latencies_of(
    port: int, per_second: int, seconds: float, connection_count: int
) -> tuple[list[int], float]:
    """-> nanoseconds of every request in the order of the answers, seconds from first to last. `select`
    because `epoll` and `poll` of Python wait for whole milliseconds.
    """
    connections = [Connection(port) for _ in range(connection_count)]
    free = list(connections)
    interval = 1_000_000_000 // per_second
    begun = time.perf_counter_ns()
    schedule = Schedule(interval, int(per_second * seconds), begun + interval)
    found: list[int] = []
    try:
        while len(found) < schedule.count:
            schedule.start_due(free)
            only_answers = schedule.is_over or not free
            patience = _PATIENCE_SECONDS if only_answers else schedule.seconds_to_next()
            readable, _, _ = select.select(connections, (), (), patience)
            if only_answers and not readable:
                raise LoadError(f"no answer within {_PATIENCE_SECONDS:g} s")
            for connection in readable:
                if connection.has_answer():
                    found.append(time.perf_counter_ns() - connection.due)
                    free.append(connection)
    finally:
        for connection in connections:
            connection.socket.close()
    return found, (time.perf_counter_ns() - begun) / 1e9


def summary(latencies: list[int], seconds: float) -> Load:
    ordered = sorted(latencies)

    def milliseconds(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6

    return Load(len(ordered), seconds, milliseconds(0.5), milliseconds(0.9), milliseconds(0.99), 0)


def run(port: int, *, core: int, per_second: int, seconds: float, connections: int) -> Load:
    """In a process of its own on `core`. Raises LoadError when the rate was not reached."""
    command = ["taskset", "-c", str(core), sys.executable, "-m", "bench.fixed_rate"]
    command += [str(port), str(per_second), str(seconds), str(connections)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if done.returncode != 0:
        raise LoadError(f"the load ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    load = Load(**json.loads(done.stdout))
    if load.requests_per_second < _REACHED_SHARE * per_second:
        raise LoadError(f"{load.requests_per_second:.0f} requests/s of {per_second} were reached")
    return load


def main() -> None:
    port, per_second, seconds, connections = (float(text) for text in sys.argv[1:5])
    found, taken = latencies_of(int(port), int(per_second), seconds, int(connections))
    print(json.dumps(asdict(summary(found, taken))))


if __name__ == "__main__":
    main()
