"""Memory that buffers have left behind -> pages that the system gets back.

glibc returns only what lies at the end of its heap. A crowd of slow readers fills hundreds of megabytes with
buffers and a few long-lived pieces between them; when the crowd is gone all of that stays with the process:
500 MiB after 1,300 readers. `malloc_trim` gives back the pages between the pieces, too.

A fixed M_MMAP_THRESHOLD would do without this, but then each buffer of a stream is mapped and faulted in
anew.
"""

import ctypes
import resource
from pathlib import Path
from typing import Final

# Some 4 ms to give back; what a worker wastes below it is the price of a heap.
WASTE_BYTES: Final = 32 * 1024 * 1024

_STATM: Final = Path("/proc/self/statm")
_PAGE_BYTES: Final = resource.getpagesize()


class _Mallinfo2(ctypes.Structure):
    """mallinfo(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


class Trimmer:
    """`look` now and then. Another C library than glibc 2.33 or newer: nothing is done."""

    __slots__ = ("_accepted_bytes", "_libc")

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._libc = library if hasattr(library, "mallinfo2") and hasattr(library, "malloc_trim") else None
        if self._libc is not None:
            self._libc.mallinfo2.restype = _Mallinfo2
            self._libc.malloc_trim.argtypes = (ctypes.c_size_t,)
        self._accepted_bytes = self._wasted_bytes()

    def look(self) -> bool:
        """Give pages back when enough of them hold nothing; True when that was done. Some 30 us otherwise."""
        if self._libc is None:
            return False
        wasted_bytes = self._wasted_bytes()
        # Python's own arenas are in this figure and do not go away: what was there before is no reason.
        self._accepted_bytes = min(self._accepted_bytes, wasted_bytes)
        if wasted_bytes < self._accepted_bytes + WASTE_BYTES:
            return False
        self._libc.malloc_trim(0)
        self._accepted_bytes = self._wasted_bytes()
        return True

    def _wasted_bytes(self) -> int:
        """Private pages in memory that malloc has not handed out."""
        if self._libc is None:
            return 0
        _, resident, shared, *_ = _STATM.read_bytes().split()
        found = self._libc.mallinfo2()
        return (int(resident) - int(shared)) * _PAGE_BYTES - int(found.uordblks) - int(found.hblkhd)
