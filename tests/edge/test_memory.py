"""What a crowd leaves in the heap goes back to the system."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from proxy.edge.memory import WASTE_BYTES, Trimmer
from tests.e2e.processes import resident_bytes

_PIECE_BYTES = 70_000
# Small enough for malloc's heap, too large for Python's own arenas.
_PIN_BYTES = 600


def own_resident_bytes() -> int:
    return resident_bytes(int(Path("/proc/self").readlink().name))


def check_alone(check: Callable[[], None]) -> None:
    """In a process of its own: the heap of this one has the holes of a thousand tests."""
    code = f"from tests.edge.test_memory import {check.__name__} as check; check()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_freed_buffers_between_living_pieces_are_given_back():
    """Without the pieces between them, free() would have given them back itself."""
    check_alone(give_back_what_lies_between)


def give_back_what_lies_between() -> None:
    trimmer = Trimmer()
    buffers, pins = [], []
    for _ in range(4 * WASTE_BYTES // _PIECE_BYTES):
        buffers.append(bytes(_PIECE_BYTES))
        pins.append(b"x" * _PIN_BYTES)
    full_bytes = own_resident_bytes()
    buffers.clear()
    assert trimmer.look()
    assert own_resident_bytes() < full_bytes - 3 * WASTE_BYTES
    assert all(pin == b"x" * _PIN_BYTES for pin in pins)


def test_memory_in_use_and_little_waste_are_left_alone():
    """Giving back costs 0.1 ms for each MiB, and as much again when it is wanted anew."""
    check_alone(leave_little_waste)


def leave_little_waste() -> None:
    trimmer = Trimmer()
    trimmer.look()
    buffers = [b"x" * _PIECE_BYTES for _ in range(4 * WASTE_BYTES // _PIECE_BYTES)]
    assert not trimmer.look()
    del buffers[: WASTE_BYTES // 4 // _PIECE_BYTES]
    assert not trimmer.look()
