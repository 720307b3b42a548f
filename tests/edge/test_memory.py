"""What a crowd leaves in the heap goes back to the system."""

from pathlib import Path

from proxy.edge.memory import WASTE_BYTES, Trimmer
from tests.e2e.processes import resident_bytes

_PIECE_BYTES = 70_000
# Small enough for malloc's heap, too large for Python's own arenas.
_PIN_BYTES = 600


def own_resident_bytes() -> int:
    return resident_bytes(int(Path("/proc/self").readlink().name))


def test_freed_buffers_between_living_pieces_are_given_back():
    """Without the pieces between them, free() would have given them back itself."""
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
    trimmer = Trimmer()
    trimmer.look()
    buffers = [b"x" * _PIECE_BYTES for _ in range(4 * WASTE_BYTES // _PIECE_BYTES)]
    assert not trimmer.look()
    del buffers[: WASTE_BYTES // 4 // _PIECE_BYTES]
    assert not trimmer.look()
