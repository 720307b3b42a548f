"""What was counted in some stretch of time, as values: put together, written down, read again.

Pure, and exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

# What answers tell of a route; `Segment.routes` counts them.
COUNTS: Final = (
    "requests",
    "denied",
    "errors",
    "limited",
    "responses_1xx",
    "responses_2xx",
    "responses_3xx",
    "responses_4xx",
    "responses_5xx",
    "client_gone",
)
# What no route counted: heads that were refused, paths that no route fits, the aiohttp engine's requests.
NO_ROUTE: Final = ""


@dataclass(slots=True)
class RouteTraffic:
    """`latency`: microseconds below which so many answers were complete that are in no bucket before."""

    counts: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)

    def add(self, other: RouteTraffic) -> None:
        self.counts.update(other.counts)
        self.latency.update(other.latency)

    def __bool__(self) -> bool:
        return any(self.counts.values())


@dataclass(slots=True)
class Traffic:
    """Of `seconds` of one pod or of several together."""

    seconds: float = 0.0
    routes: dict[str, RouteTraffic] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.routes.values())

    def to_wire(self) -> bytes:
        return orjson.dumps(
            {
                "seconds": round(self.seconds, 3),
                "routes": {
                    name: {
                        "counts": {key: value for key, value in route.counts.items() if value},
                        "latency": {str(bound): count for bound, count in route.latency.items()},
                    }
                    for name, route in self.routes.items()
                    if route
                },
            }
        )

    @classmethod
    def from_wire(cls, content: bytes) -> Traffic:
        """Raises ValueError, TypeError or KeyError when it is not what `to_wire` writes."""
        values: Any = orjson.loads(content)
        return cls(
            float(values["seconds"]),
            {
                name: RouteTraffic(
                    Counter(route["counts"]),
                    Counter({int(bound): count for bound, count in route["latency"].items()}),
                )
                for name, route in values["routes"].items()
            },
        )


def together(parts: Iterable[Traffic]) -> Traffic:
    """The sum; `seconds` too, so it is for parts of one pod one after the other."""
    made = Traffic()
    for part in parts:
        made.seconds += part.seconds
        for name, route in part.routes.items():
            made.routes.setdefault(name, RouteTraffic()).add(route)
    return made
