"""The file that control keeps for starting workers -> the list in force, for middlewares that want to ask it.

Looked at once a second: a middleware's own checks follow a change by that much, the edge's verdict does not
depend on it.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from fastmatch import Blocklist
from proxy import frames
from proxy.frames import FrameError, FrameReader, Kind
from proxy.telemetry import events, logs

ATTACH_NAME: Final = "attach.frames"
LOOK_SECONDS: Final = 1.0

# `request.app[BLOCKLIST]()`: the list in force, None while there is none.
BLOCKLIST: Final[web.AppKey[Callable[[], Blocklist | None]]] = web.AppKey("sentra_blocklist")

_Stamp = tuple[int, int, int]


class ListInForce:
    """Follows `attach.frames` in the runtime directory. A file that cannot be used keeps the list before."""

    def __init__(self, runtime_directory: Path) -> None:
        self._path = runtime_directory / ATTACH_NAME
        self._current: Blocklist | None = None
        self._base: tuple[_Stamp | None, Blocklist] | None = None
        self._seen: _Stamp | None = None

    def current(self) -> Blocklist | None:
        return self._current

    async def follow(self) -> None:
        """For ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Take a changed file, off the loop; move the clock that expiry is judged by."""
        if (stamp := _stamp_of(self._path)) != self._seen:
            self._seen = stamp
            try:
                self._current = await asyncio.to_thread(self._read)
            except (OSError, ValueError, FrameError) as error:
                logs.logger().warning(events.LIST_REFUSED, reason=str(error))
        if self._current is not None:
            self._current.advance(int(time.time()))

    def _read(self) -> Blocklist | None:
        found: Blocklist | None = self._current
        base: Blocklist | None = None
        for frame in FrameReader().feed(self._path.read_bytes()):
            if frame.kind is Kind.INSTALL:
                _, _, path = frames.decode_install(frame.payload)
                base = self._open(path)
            elif frame.kind is Kind.OVERLAY:
                epoch, sequence, packed = frames.decode_overlay(frame.payload)
                below = base or Blocklist.from_entries((), epoch=epoch, sequence=sequence)
                found = below.with_overlay(packed, sequence=sequence)
        return found

    def _open(self, path: str) -> Blocklist:
        """What is mapped already is not mapped again."""
        stamp = _stamp_of(Path(path))
        if self._base is None or self._base[0] != stamp:
            self._base = (stamp, Blocklist.open(path))
        return self._base[1]


def _stamp_of(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
