"""How long a turn of the loop took while a base was swapped, as one line of the log.

A timer every millisecond for the time of opening and half a second behind it costs 3 us a turn, and nothing
at any other time. A turn counts as long as the thread computed: what the machine gave to others meanwhile is
no stall of ours, but stands in the line too.
"""

import asyncio
import time
from typing import Final

from proxy.edge import log
from proxy.edge.attached import Attached

_TURN_SECONDS: Final = 0.001
_WATCHED_SECONDS: Final = 0.5


class StallWatch:
    __slots__ = ("_context", "_cpu", "_due", "_late", "_longest", "_until")

    def __init__(self, context: Attached) -> None:
        self._context = context
        self._until = 0.0
        self._due = self._cpu = self._late = self._longest = 0.0

    def begin(self) -> None:
        """Watch from now on; a watch that is on goes on for longer."""
        loop = asyncio.get_running_loop()
        is_on = self._until > 0
        self._until = time.monotonic() + _WATCHED_SECONDS
        if not is_on:
            self._late = self._longest = 0.0
            self._next(loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not the loop's clock: uvloop's stands still within a turn and counts whole milliseconds.
        self._due = time.monotonic() + _TURN_SECONDS
        self._cpu = time.thread_time()
        loop.call_later(_TURN_SECONDS, self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        late = max(0.0, now - self._due)
        self._late = max(self._late, late)
        self._longest = max(self._longest, min(late, time.thread_time() - self._cpu))
        if now < self._until:
            self._next(loop)
            return
        self._until = 0.0
        log.write(
            log.LIST_SWAP_WATCHED,
            self._context.slot,
            longest_turn_ms=round(self._longest * 1000, 2),
            longest_wait_ms=round(self._late * 1000, 2),
        )
