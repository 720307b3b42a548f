"""`make soak`: what takes longer than a test may. Prints a table, exits with 1 when a figure is missed.

`SOAK_SECONDS` (600) bounds the part with faults; slow clients and reloads take a minute each, or less when
that is less. `SOAK_CONNECTIONS` (4000): slow clients at a time. `SOAK_PARTS`: some of `slow faults reloads`.
"""

import os
import sys
import tempfile
from pathlib import Path

from bench.crowd import allow_descriptors
from tests.soak import faulty_upstream, reloads, slow_clients
from tests.soak.figures import Figures

_PART_SECONDS = 60.0
_OTHER_DESCRIPTORS = 1000


def main() -> int:
    seconds = float(os.environ.get("SOAK_SECONDS", "600"))
    count = int(os.environ.get("SOAK_CONNECTIONS", "4000"))
    parts = os.environ.get("SOAK_PARTS", "slow faults reloads").split()
    allow_descriptors(2 * count + _OTHER_DESCRIPTORS)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="sentra-soak-") as name:
        folder = Path(name)
        if "slow" in parts:
            slow_clients.run(figures, folder, min(_PART_SECONDS, seconds), count)
        if "faults" in parts:
            faulty_upstream.run(figures, folder, seconds)
        if "reloads" in parts:
            reloads.run(figures, folder, min(_PART_SECONDS, seconds))
    figures.heading(f"{len(figures.all)} figures, {figures.missed_count} missed")
    return 1 if figures.missed_count else 0


if __name__ == "__main__":
    sys.exit(main())
