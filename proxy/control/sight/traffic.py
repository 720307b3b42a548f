"""What was counted in some stretch of time, as values: put together, written down, read again.

Pure. Counts by route are exact. Who sent most is known within bounds, which travel along: a client's true
count lies between `count` and `count + error`, that of one who is not listed is at most `unlisted`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

# What answers tell of a route; `Segment.routes` counts them.
COUNTS: Final = (
    "requests",
    "denied",
    "limited",
    "errors",
    "limited",
    "responses_1xx",
    "responses_2xx",
    "responses_3xx",
    "responses_4xx",
    "responses_5xx",
    "client_gone",
    "bytes",
)
MEASURES: Final = ("requests", "bytes", "denied", "limited")
# What no route counted: heads that were refused, paths that no route fits, the aiohttp engine's requests.
NO_ROUTE: Final = ""

# Clients that a ranking lists.
TOP_COUNT: Final = 100
# Rankings that are held before they are merged, and clients that are kept meanwhile: what is cut off early
# widens the bounds, what is kept takes memory.
_HELD_COUNT: Final = 64
_BETWEEN_COUNT: Final = 10 * TOP_COUNT


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


@dataclass(frozen=True, slots=True)
class Listed:
    """A client of a ranking."""

    count: int
    error: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """Who comes to most of one measure."""

    total: int = 0
    unlisted: int = 0
    clients: Mapping[str, Listed] = field(default_factory=dict)


@dataclass(slots=True)
class Traffic:
    """Of `seconds` of one pod or of several together."""

    seconds: float = 0.0
    routes: dict[str, RouteTraffic] = field(default_factory=dict)
    rankings: dict[str, Ranking] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.routes.values()) or any(ranking.total for ranking in self.rankings.values())

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
                "rankings": {
                    measure: {
                        "total": ranking.total,
                        "unlisted": ranking.unlisted,
                        "clients": [[name, item.count, item.error] for name, item in ranking.clients.items()],
                    }
                    for measure, ranking in self.rankings.items()
                    if ranking.total
                },
            }
        )

    @classmethod
    def from_wire(
        cls, content: bytes, route: str | None = None, measures: Collection[str] = MEASURES
    ) -> Traffic:
        """Only what is asked for, since a day has 1,440 of them: one route or all, rankings of `measures`.

        Raises ValueError, TypeError or KeyError when it is not what `to_wire` writes.
        """
        values: Any = orjson.loads(content)
        routes: Any = values["routes"]
        if route is not None:
            routes = {route: routes[route]} if route in routes else {}
        return cls(
            float(values["seconds"]),
            {
                name: RouteTraffic(
                    Counter(told["counts"]),
                    Counter({int(bound): count for bound, count in told["latency"].items()}),
                )
                for name, told in routes.items()
            },
            {
                measure: Ranking(
                    ranking["total"],
                    ranking["unlisted"],
                    {name: Listed(count, error) for name, count, error in ranking["clients"]},
                )
                for measure, ranking in values["rankings"].items()
                if measure in measures
            },
        )


def together(parts: Iterable[Traffic]) -> Traffic:
    """The sum; `seconds` too, so it is for parts of one pod one after the other."""
    made = Traffic()
    rankings: dict[str, list[Ranking]] = {}
    for part in parts:
        made.seconds += part.seconds
        for name, route in part.routes.items():
            made.routes.setdefault(name, RouteTraffic()).add(route)
        for measure, ranking in part.rankings.items():
            found = rankings.setdefault(measure, [])
            found.append(ranking)
            if len(found) == _HELD_COUNT:
                found[:] = [merged(found, _BETWEEN_COUNT)]
    made.rankings = {measure: merged(found) for measure, found in rankings.items()}
    return made


def merged(rankings: Sequence[Ranking], count: int = TOP_COUNT) -> Ranking:
    """Where a client is not listed it may have had `unlisted`: its bound grows by it, its count does not."""
    counts: Counter[str] = Counter()
    # Of each client: what the rankings that list it say less than "unlisted".
    known: Counter[str] = Counter()
    for ranking in rankings:
        for client, listed in ranking.clients.items():
            counts[client] += listed.count
            known[client] += ranking.unlisted - listed.error
    unlisted = sum(ranking.unlisted for ranking in rankings)
    listed_clients = {
        client: Listed(value, unlisted - known[client]) for client, value in counts.most_common(count)
    }
    dropped = (value + unlisted - known[client] for client, value in counts.most_common()[count:])
    total = sum(ranking.total for ranking in rankings)
    return Ranking(total, max(unlisted, max(dropped, default=0)), listed_clients)


def ranking_of(told: Mapping[str, Any], listed_count: int) -> Ranking:
    """What a worker says of one measure: `total`, `error` and the heaviest `listed_count` clients.

    Raises ValueError, TypeError or KeyError when it does not say that.
    """
    error = int(told["error"])
    clients = {str(client): Listed(int(count), error) for client, count in told["top"]}
    is_cut = len(clients) >= listed_count
    # One that is not told has no more than the last one told, if there was no room for more.
    unlisted = error + (min(item.count for item in clients.values()) if is_cut else 0)
    return Ranking(int(told["total"]), unlisted, clients)
