"""INSTALL and OVERLAY frames -> the list in force. Opening and dropping happen in a thread, the swap is one
store."""

import asyncio
from collections.abc import Callable

from fastmatch._native import Blocklist
from proxy.edge.attached import Attached


class Lists:
    """Base and overlay come separately; what is in force is always both. Not for several tasks at once."""

    __slots__ = ("_base", "_context", "_on_change", "_overlay")

    def __init__(self, context: Attached, on_change: Callable[[], None]) -> None:
        self._context = context
        self._on_change = on_change
        self._base: Blocklist | None = None
        self._overlay: tuple[int, bytes] | None = None

    async def install(self, decision_path: str) -> None:
        """A new base, beneath the overlay that is known: an operator's block must not lapse until the next
        frame.

        Raises OSError or ValueError; then the list in force stays.
        """
        overlay = self._overlay
        base, combined = await asyncio.to_thread(_open, decision_path, overlay)
        self._swap(base, combined)

    async def overlay(self, epoch: int, sequence: int, packed: bytes) -> None:
        """A new overlay. Without a base it stands on an empty one. Raises ValueError; then the list in force
        stays."""
        base = self._base
        if base is None:
            base = Blocklist.from_entries((), epoch=epoch, sequence=sequence)
        combined = await asyncio.to_thread(base.with_overlay, packed, sequence=sequence)
        self._overlay = (sequence, packed)
        self._swap(base, combined)

    def _swap(self, base: Blocklist, combined: Blocklist) -> None:
        old: list[Blocklist | None] = [self._base, self._context.gate.install(combined)]
        self._base = base
        self._on_change()
        # The last reference to a list may unmap hundreds of megabytes: a thread gives it up, nobody waits.
        asyncio.get_running_loop().run_in_executor(None, old.clear)


def _open(decision_path: str, overlay: tuple[int, bytes] | None) -> tuple[Blocklist, Blocklist]:
    base = Blocklist.open(decision_path)
    if overlay is None:
        return base, base
    sequence, packed = overlay
    return base, base.with_overlay(packed, sequence=sequence)
