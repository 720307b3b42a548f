"""What pods saw, by the second and rolled up: what a store keeps of it and for how long.

The store knows nothing of the content. Each pod writes its own; whoever reads puts those of all together.
"""

import enum
from dataclasses import dataclass
from typing import Final


class Period(enum.StrEnum):
    """What one speaks for. `SAMPLE`: clients of one minute, drawn evenly; `WRITTEN`: how far a pod came."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    SAMPLE = "sample"
    WRITTEN = "written"


_MINUTE_MS = 60_000
_DAY_MS = 86_400_000

# How far behind the newest of its period a summary is kept: longer than anyone asks for. A pod writes one of
# each at a time, so this bounds their count, too.
KEPT_MS: Final = {
    Period.SECOND: 20 * _MINUTE_MS,
    Period.MINUTE: _DAY_MS + 60 * _MINUTE_MS,
    Period.HOUR: 31 * _DAY_MS,
    Period.SAMPLE: 20 * _MINUTE_MS,
    Period.WRITTEN: _MINUTE_MS,
}


@dataclass(frozen=True, slots=True)
class Summary:
    period: Period
    pod: str
    start_ms: int
    content: bytes
