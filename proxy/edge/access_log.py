"""Lines of the access log -> a file, or the program's own log, by a thread of its own.

Formatting is done in Rust where an exchange ends; what waits here is bounded there. A disk that hangs costs
lines, which are counted, and never a request.
"""

import os
import threading
import time
from pathlib import Path
from typing import Final

from fastmatch._native import Gate, Segment
from proxy.edge import log
from proxy.edge.config import EdgeConfig

# Into the program's own log: the supervisor relays whole lines of our standard output.
OWN_LOG: Final = "-"
_OWN_LOG_DESCRIPTOR: Final = 1

_FLUSH_SECONDS: Final = 0.1
# How often a file is looked for under its name: whoever rotates it need not tell us.
_LOOK_SECONDS: Final = 1.0
# At the end, for a log that takes nothing.
_CLOSE_SECONDS: Final = 1.0
_MODE: Final = 0o640


class AccessLog:
    """One per worker. `configure` and `close` are the loop's, everything else the thread's."""

    def __init__(self, gate: Gate, segment: Segment, slot: int) -> None:
        self._gate = gate
        self._segment = segment
        self._slot = slot
        self._path = ""
        self._opened_path = ""
        self._descriptor = -1
        self._looked_at = 0.0
        self._has_failed = False
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def configure(self, config: EdgeConfig) -> None:
        """Also asked for at each reload, so that a file that was moved away is opened anew at once."""
        self._path = config.access_log_path
        self._looked_at = 0.0
        share = config.access_log_share if self._path else None
        self._gate.log_access(
            share, query=config.access_log_query, buffer_bytes=config.access_log_buffer_bytes
        )
        if self._path and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what is left. Waits, but not for ever: call it off the loop."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._ends.wait(_FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._look()
        lines = self._gate.drain_access_log()
        if lines:
            self._write(memoryview(lines))

    def _look(self) -> None:
        """Open the file that has the name now."""
        path = self._path
        if path == self._opened_path and (path in ("", OWN_LOG) or self._is_in_place(path)):
            return
        self._let_go()
        try:
            if path == OWN_LOG:
                self._descriptor = os.dup(_OWN_LOG_DESCRIPTOR)
            elif path:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(path, flags, _MODE)
        except OSError as error:
            self._fail(error)
        else:
            self._opened_path = path

    def _is_in_place(self, path: str) -> bool:
        try:
            there, ours = Path(path).stat(), os.fstat(self._descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _write(self, lines: memoryview) -> None:
        left = lines
        try:
            if self._descriptor < 0:
                raise FileNotFoundError("it could not be opened")
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            self._segment.add(self._slot, "access_log_dropped", bytes(left).count(b"\n"))
            self._fail(error)
            return
        if self._has_failed:
            self._has_failed = False
            log.write(log.ACCESS_LOG_RESUMED, self._slot, path=self._path)

    def _fail(self, error: OSError) -> None:
        """Said once, not for each line."""
        if not self._has_failed:
            self._has_failed = True
            log.write(log.ACCESS_LOG_FAILED, self._slot, path=self._path, error=error.strerror or str(error))

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._opened_path = ""
