"""Clients of the last quarter of an hour as workers drew them -> rows of the store, and back."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.control.sight.periods import MINUTE_MS
from proxy.store.summaries import KEPT_MS, Period, Summary

_KEPT_MINUTES: Final = KEPT_MS[Period.SAMPLE] // MINUTE_MS
# Of one minute of a pod, however many workers there are.
_MOST_CLIENTS: Final = 4096


@dataclass(frozen=True, slots=True)
class Drawn:
    """Clients drawn evenly from so many requests."""

    requests: int
    clients: tuple[str, ...]

    @property
    def weight(self) -> float:
        """Requests that each of them stands for."""
        return self.requests / len(self.clients) if self.clients else 0.0


class Samples:
    """Minutes that workers told, and which of them are not in the store yet."""

    def __init__(self) -> None:
        self._minutes: dict[int, dict[int, Drawn]] = {}
        self._changed: set[int] = set()

    def take(self, slot: int, minutes: Iterable[dict[str, Any]]) -> None:
        """Raises ValueError, TypeError or KeyError when it is no sample."""
        for minute in minutes:
            start = int(minute["start"]) * 1000
            drawn = Drawn(int(minute["requests"]), tuple(map(str, minute["clients"])))
            slots = self._minutes.setdefault(start, {})
            if slots.get(slot) != drawn:
                slots[slot] = drawn
                self._changed.add(start)
        for start in sorted(self._minutes)[:-_KEPT_MINUTES]:
            del self._minutes[start]
            self._changed.discard(start)

    def changed(self, pod: str) -> list[Summary]:
        return [
            Summary(Period.SAMPLE, pod, start, _to_wire(tuple(self._minutes[start].values())))
            for start in sorted(self._changed)
        ]

    def written(self) -> None:
        self._changed.clear()


def drawn_of(rows: Iterable[Summary]) -> list[Drawn]:
    """Raises ValueError, TypeError or KeyError when a row is no sample."""
    return [
        Drawn(int(requests), tuple(clients))
        for row in rows
        for requests, clients in orjson.loads(row.content)["drawn"]
    ]


def _to_wire(drawn: Sequence[Drawn]) -> bytes:
    most = max(1, _MOST_CLIENTS // len(drawn))
    return orjson.dumps({"drawn": [[item.requests, _fewer(item.clients, most)] for item in drawn]})


def _fewer(clients: tuple[str, ...], most: int) -> Sequence[str]:
    # The places of a reservoir are not alike: its first ones hold more of what came first.
    return clients if len(clients) <= most else random.sample(clients, most)
