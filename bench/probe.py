"""A request that the worker answers by itself, again and again -> how long its loop was busy meanwhile.

From outside, so that the worker measured is the one that users run: the CPU account of its thread is read
after each answer. No probe is answered within a turn, so a turn falls between two readings, except for what
the kernel writes into the account late, at its next tick or when the thread sleeps; that falls before the
reading after. The time between a reading and the next but one therefore bounds each turn from above, with all
else that the worker did meanwhile.
"""

import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_ANSWER_BYTES = 65536
_TIMEOUT_SECONDS = 10.0


class WrongAnswerError(Exception):
    """The list was not in force at this moment."""


@dataclass(slots=True)
class Waits:
    """Of each probe: how long it took, and the worker's CPU account after it, in seconds."""

    wall_ms: list[float] = field(default_factory=list)
    accounts: list[float] = field(default_factory=list)

    def longest_turn_ms(self) -> float:
        """At most this long was any turn of the loop, in CPU time of its thread."""
        return (
            max(later - earlier for earlier, later in zip(self.accounts, self.accounts[2:], strict=False))
            * 1000
        )


class Probe:
    """One kept connection."""

    def __init__(self, port: int, host: str, process_id: int) -> None:
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii")
        self._connection = socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._account = Path(f"/proc/{process_id}/task/{process_id}/schedstat")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def run(self, waits: Waits) -> None:
        """One probe, answered with 403 in one segment, or WrongAnswerError."""
        started = time.perf_counter()
        self._connection.sendall(self._request)
        answer = self._connection.recv(_ANSWER_BYTES)
        waits.wall_ms.append((time.perf_counter() - started) * 1000)
        waits.accounts.append(int(self._account.read_bytes().partition(b" ")[0]) / 1e9)
        if not answer.startswith(b"HTTP/1.1 403 "):
            raise WrongAnswerError(f"a listed host was answered with {answer[:80]!r}")
