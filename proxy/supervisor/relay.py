"""Lines of the children's standard output -> our log: whole lines, never waiting for a slow reader.

The log is standard error, as the children's own is; standard output is left to what a person asked for.
"""

import os
import select
import selectors
from collections.abc import Callable
from typing import IO

_READ_BYTES = 65536
# What is held for a log that takes nothing; beyond it the children's pipes are left to fill.
_PENDING_BYTES = 262144
# A pipe that polls writable takes this much without blocking (PIPE_BUF).
_WRITE_BYTES = 4096

READY_PREFIX = b"ready "


class Output:
    """Our log. A regular file is written at once, a pipe or terminal when it polls writable."""

    def __init__(self, selector: selectors.BaseSelector, descriptor: int = 2) -> None:
        self._selector = selector
        self._descriptor = descriptor
        self._pending = bytearray()
        self._is_waiting = False
        self._is_broken = False
        self._can_poll = self._probe()

    @property
    def is_full(self) -> bool:
        return len(self._pending) >= _PENDING_BYTES

    def write(self, data: bytes) -> None:
        if self._is_broken:
            return
        self._pending += data
        if not self._can_poll:
            while self._pending:
                self._write_once(_READ_BYTES)
        elif not self._is_waiting:
            self._selector.register(self._descriptor, selectors.EVENT_WRITE, self._write_some)
            self._is_waiting = True

    def flush(self, patience_seconds: float) -> None:
        """Write what is pending, at the end. A reader that takes nothing for this long is given up."""
        while self._pending and select.select([], [self._descriptor], [], patience_seconds)[1]:
            self._write_once(_WRITE_BYTES)

    def _probe(self) -> bool:
        try:
            self._selector.register(self._descriptor, selectors.EVENT_WRITE)
        except PermissionError:  # epoll does not take regular files
            return False
        self._selector.unregister(self._descriptor)
        return True

    def _write_some(self) -> None:
        self._write_once(_WRITE_BYTES)
        if not self._pending:
            self._selector.unregister(self._descriptor)
            self._is_waiting = False

    def _write_once(self, limit: int) -> None:
        try:
            written = os.write(self._descriptor, self._pending[:limit])
        except BlockingIOError:
            return
        except OSError:
            # The reader has gone (`2>&1 | head`). Serving goes on without a log.
            self._is_broken = True
            written = len(self._pending)
        del self._pending[:written]


class ChildOutput:
    """One child's pipe. The first line that begins with `ready ` is reported, every other line is relayed."""

    def __init__(
        self, pipe: IO[bytes], output: Output, selector: selectors.BaseSelector, on_ready: Callable[[], None]
    ) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipe = pipe
        self._output = output
        self._selector = selector
        self._on_ready: Callable[[], None] | None = on_ready
        self._partial = b""
        self._is_registered = False
        self.resume()

    def resume(self) -> None:
        """Read again after a pause."""
        if not self._is_registered and not self._pipe.closed:
            self._selector.register(self._pipe, selectors.EVENT_READ, self._read_or_pause)
            self._is_registered = True

    def close(self) -> None:
        """Take what the ended child has left in the pipe, then close it."""
        while not self._pipe.closed and self._read():
            pass
        if self._partial:
            self._output.write(self._partial + b"\n")
            self._partial = b""
        self._end()

    def _read_or_pause(self) -> None:
        if self._output.is_full:
            self._pause()
        else:
            self._read()

    def _read(self) -> bool:
        """True when there may be more at once."""
        try:
            data = os.read(self._pipe.fileno(), _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._end()
            return False
        whole, newline, self._partial = (self._partial + data).rpartition(b"\n")
        self._take(whole + newline)
        if len(self._partial) > _READ_BYTES:
            self._output.write(self._partial + b"\n")
            self._partial = b""
        return True

    def _take(self, lines: bytes) -> None:
        if self._on_ready is None:
            self._output.write(lines)
            return
        for line in lines.splitlines(keepends=True):
            if self._on_ready is not None and line.startswith(READY_PREFIX):
                report, self._on_ready = self._on_ready, None
                report()
            else:
                self._output.write(line)

    def _pause(self) -> None:
        if self._is_registered:
            self._selector.unregister(self._pipe)
            self._is_registered = False

    def _end(self) -> None:
        self._pause()
        self._pipe.close()
