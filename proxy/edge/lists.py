"""INSTALL and OVERLAY frames -> the list in force. Opening and dropping happen in a thread, the swap is one
store."""

import asyncio
from collections.abc import Callable

from fastmatch._native import Blocklist
from proxy.edge.attached import Attached
from proxy.edge.stall import StallWatch


class Lists:
    """Base and overlay come separately; what is in force is always both. Not for several tasks at once.

    An overlay is right above one base only: the base has entries by hand compiled in, the overlay says what
    came and went since. So a base, the first one too, waits for the overlay that always comes behind it.
    """

    __slots__ = ("_base", "_context", "_is_missing_base", "_next", "_on_change", "_watch")

    def __init__(self, context: Attached, on_change: Callable[[], None]) -> None:
        self._context = context
        self._on_change = on_change
        self._base: Blocklist | None = None
        self._next: Blocklist | None = None
        self._is_missing_base = False
        self._watch = StallWatch(context)

    async def install(self, decision_path: str) -> None:
        """A new base, in force with its overlay.

        Raises OSError or ValueError; then the list in force stays.
        """
        self._watch.begin()
        try:
            # Sums were checked by the control process, which wrote the file; every page is made present here.
            base = await asyncio.to_thread(Blocklist.open, decision_path, prefault=True, verify=False)
        except (OSError, ValueError):
            self._is_missing_base = True
            raise
        self._is_missing_base = False
        waiting: list[Blocklist | None] = [self._next]
        self._next = base
        self._drop(waiting)

    async def overlay(self, epoch: int, sequence: int, packed: bytes) -> None:
        """A new overlay, above the base that came before it; without any it stands on an empty one.

        Raises ValueError; then the list in force stays.
        """
        if self._is_missing_base:
            raise ValueError("the base that this overlay belongs to could not be opened")
        if self._next is not None:
            self._watch.begin()
        base = self._base if self._next is None else self._next
        if base is None:
            base = Blocklist.from_entries((), epoch=epoch, sequence=sequence)
        combined = await asyncio.to_thread(base.with_overlay, packed, sequence=sequence)
        self._next = None
        self._swap(base, combined)

    def _swap(self, base: Blocklist, combined: Blocklist) -> None:
        old: list[Blocklist | None] = [self._base, self._context.gate.install(combined)]
        self._base = base
        self._on_change()
        self._drop(old)

    def _drop(self, old: list[Blocklist | None]) -> None:
        """The last reference to a list may unmap hundreds of megabytes: a thread gives it up."""
        asyncio.get_running_loop().run_in_executor(None, old.clear)
