"""`python -m tests.soak.attackers PORT SECONDS COUNT PER_SECOND HEAD BODY SEND`: so many slow connections at
a time, a third of each kind, opened `PER_SECOND`; each that is closed is followed by another -> how each
kind ended, printed as JSON.

header: a byte of a field each second. body: ten bytes of a long body, then none. read: asks for a large
answer and takes nothing. `HEAD`, `BODY`, `SEND`: the edge's deadlines in seconds. After `SECONDS` no more are
opened, and the rest is waited for.
"""

import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from tests.soak.origin import LARGEST_BYTES

KINDS = ("header", "body", "read")
# No reader is cut off before a whole period without progress, which may begin a period after it stopped.
_READ_PERIODS = 2
_DRIP_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0
_RECEIVE_BUFFER_BYTES = 4096

_FIRST_BYTES = {
    "header": b"GET / HTTP/1.1\r\nHost: slow.example\r\nX-Slow: ",
    "body": b"POST /upload HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 1000000\r\n\r\n0123456789",
    "read": b"GET /bytes/%d HTTP/1.1\r\nHost: slow.example\r\n\r\n" % LARGEST_BYTES,
}


@dataclass(slots=True)
class Ends:
    """Of one kind. `late`: seconds between deadline and end."""

    late: list[float] = field(default_factory=list)
    early_count: int = 0
    never_count: int = 0

    def note(self, late_seconds: float, allowed_early_seconds: float) -> None:
        self.late.append(late_seconds)
        if late_seconds < -allowed_early_seconds:
            self.early_count += 1

    def summary(self) -> dict[str, float]:
        return {
            "count": len(self.late),
            "late_seconds_most": max(self.late, default=0.0),
            "early_count": self.early_count,
            "never_count": self.never_count,
        }


class Slow:
    """One connection. Its deadline counts from the first bytes that it sends."""

    __slots__ = ("deadline", "kind", "next_drip", "socket")

    def __init__(self, port: int, kind: str, allowed_seconds: float) -> None:
        self.kind = kind
        self.socket = socket.socket()
        if kind == "read":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self.socket.settimeout(_PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        now = time.monotonic()
        self.deadline = now + allowed_seconds
        self.next_drip = now + _DRIP_SECONDS
        self.socket.send(_FIRST_BYTES[kind])
        self.socket.setblocking(False)

    @property
    def events(self) -> int:
        """A reader never reads: its end shows as an error on the socket."""
        return select.EPOLLRDHUP if self.kind == "read" else select.EPOLLIN | select.EPOLLRDHUP


class Crowd:
    def __init__(
        self, port: int, allowed: dict[str, float], patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._port = port
        self._patience_seconds = patience_seconds
        self._allowed = allowed
        self._poll = select.epoll()
        self._open: dict[int, Slow] = {}
        self._drips: deque[Slow] = deque()
        self.ends = {kind: Ends() for kind in KINDS}
        self._opened_count = 0

    def run(self, seconds: float, count: int, per_second: float) -> None:
        begun = time.monotonic()
        next_open = begun
        while (now := time.monotonic()) < begun + seconds:
            while len(self._open) < count and next_open <= now:
                self._add(KINDS[self._opened_count % len(KINDS)])
                next_open += 1 / per_second
            next_open = max(next_open, now - 0.1)
            self._turn(now)
        last_deadline = max((slow.deadline for slow in self._open.values()), default=0.0)
        while self._open and time.monotonic() < last_deadline + self._patience_seconds:
            self._turn(time.monotonic())
        for slow in self._open.values():
            self.ends[slow.kind].never_count += 1
            slow.socket.close()

    def _add(self, kind: str) -> None:
        slow = Slow(self._port, kind, self._allowed[kind])
        self._opened_count += 1
        self._open[slow.socket.fileno()] = slow
        self._poll.register(slow.socket.fileno(), slow.events)
        if kind == "header":
            self._drips.append(slow)

    def _turn(self, now: float) -> None:
        for number, _ in self._poll.poll(0.01):
            self._ended(self._open[number])
        while self._drips and self._drips[0].next_drip <= now:
            slow = self._drips.popleft()
            if slow.socket.fileno() < 0:
                continue
            slow.next_drip = now + _DRIP_SECONDS
            self._drips.append(slow)
            try:
                slow.socket.send(b"s")
            except OSError:
                self._ended(slow)

    def _ended(self, slow: Slow) -> None:
        """An answer (408) is the beginning of the end: a FIN comes with it."""
        number = slow.socket.fileno()
        if number < 0:
            return
        late = time.monotonic() - slow.deadline
        # The read deadline is a range, one period long.
        allowed_early = self._allowed["read"] / _READ_PERIODS if slow.kind == "read" else 0.0
        self.ends[slow.kind].note(late, allowed_early + 0.1)
        self._poll.unregister(number)
        del self._open[number]
        slow.socket.close()


def main() -> None:
    port, seconds, count, per_second, head, body, send = (float(text) for text in sys.argv[1:8])
    crowd = Crowd(int(port), {"header": head, "body": body, "read": _READ_PERIODS * send})
    crowd.run(seconds, int(count), per_second)
    print(json.dumps({kind: ends.summary() for kind, ends in crowd.ends.items()}))


if __name__ == "__main__":
    main()
