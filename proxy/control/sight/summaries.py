"""Counters of the segment and SUMMARY frames of the workers -> one summary a second in the store.

The segment counts for its whole life; a summary is what came since the one before. How far we came stands
beside it in the same transaction, so a control process that dies leaves no gap and nothing is counted twice.
Seconds are rolled up into minutes, minutes into hours, when they are over.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from fastmatch._native import Segment
from proxy.control.sight import periods
from proxy.control.sight.sample import Samples
from proxy.control.sight.traffic import (
    MEASURES,
    NO_ROUTE,
    Ranking,
    RouteTraffic,
    Traffic,
    merged,
    ranking_of,
)
from proxy.errors import StoreError
from proxy.store.protocol import Store
from proxy.store.summaries import KEPT_MS, Period, Summary
from proxy.telemetry import events, logs

_EVERY_SECONDS: Final = 1.0
# A quiet pod says so now and then.
_QUIET_MS: Final = 5_000
_FRAME_COUNT: Final = 4096
_FRAME_BYTES: Final = 1 << 20
# Clients that a worker tells of each measure: `TOP_COUNT` of the Rust side.
_TOLD_COUNT: Final = 100
# Counted by the segment without asking for a route.
_OVERALL: Final = (
    "requests",
    "responses_1xx",
    "responses_2xx",
    "responses_3xx",
    "responses_4xx",
    "responses_5xx",
    "client_gone",
)
# Always the same, so that there is one for each pod.
_WRITTEN_PLACE_MS: Final = 0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Summaries:
    """One pod's. `route_names`: those of the configuration in force."""

    def __init__(
        self, store: Store, segment: Segment, pod: str, route_names: Callable[[], Iterable[str]]
    ) -> None:
        self._store = store
        self._segment = segment
        self.pod = pod
        self._route_names = route_names
        self._segment_id = _identity(segment)
        # Names that were ever met: exchanges of a route that has left the configuration end later.
        self._names: dict[str, None] = {}
        self._written: dict[str, RouteTraffic] = {}
        self._written_ms = 0
        self._rolled_ms = 0
        self._frames: deque[tuple[int, bytes]] = deque()
        self._rankings: dict[str, list[Ranking]] = {}
        self._samples = Samples()
        self._is_failing = False
        self.dropped_count = 0

    async def start(self, now_ms: int | None = None) -> None:
        """Go on where the last control process of this pod stopped. Raises StoreError."""
        now_ms = _now_ms() if now_ms is None else now_ms
        self._written_ms = now_ms
        for row in await self._store.summaries(Period.WRITTEN, _WRITTEN_PLACE_MS, _WRITTEN_PLACE_MS + 1):
            if row.pod == self.pod:
                self._resume(row.content)
        oldest_ms = periods.floor(now_ms - KEPT_MS[Period.MINUTE], periods.MINUTE_MS)
        minutes = await self._store.summaries(Period.MINUTE, oldest_ms, now_ms)
        ends = (row.start_ms + periods.MINUTE_MS for row in minutes if row.pod == self.pod)
        self._rolled_ms = max(ends, default=oldest_ms)
        # Before the first new second, with which the store drops old ones.
        await self._roll_up()

    async def close(self) -> None:
        """What came in the last second: workers end before we do."""
        await self.write(_now_ms())

    def take(self, slot: int, payload: bytes) -> None:
        """The payload of one SUMMARY frame; read later, off this callback."""
        if len(payload) > _FRAME_BYTES or len(self._frames) >= _FRAME_COUNT:
            self.dropped_count += 1
            return
        self._frames.append((slot, payload))

    async def write_forever(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self.write(_now_ms())

    async def write(self, now_ms: int) -> None:
        """What came since the last summary. A store that refuses costs nothing: the next one holds it all."""
        self._read_frames()
        reached = self._count()
        traffic = Traffic(
            max(0, now_ms - self._written_ms) / 1000,
            _difference(reached, self._written),
            {measure: merged(found) for measure, found in self._rankings.items()},
        )
        if not traffic and now_ms - self._written_ms < _QUIET_MS:
            return
        rows = [
            Summary(Period.SECOND, self.pod, self._written_ms, traffic.to_wire()),
            Summary(Period.WRITTEN, self.pod, _WRITTEN_PLACE_MS, self._written_wire(reached, now_ms)),
            *self._samples.changed(self.pod),
        ]
        # Merged, so that a store that is away for long costs no more memory than one that is not.
        self._rankings = {measure: [ranking] for measure, ranking in traffic.rankings.items()}
        try:
            await self._store.add_summaries(rows)
            # Only now: what is written must not be written again because rolling up fails.
            self._rankings = {}
            self._samples.written()
            self._written, self._written_ms = reached, now_ms
            await self._roll_up()
            self._is_failing = False
        except StoreError as error:
            if not self._is_failing:
                logs.logger().warning(events.SUMMARY_FAILED, reason=str(error))
            self._is_failing = True

    def _count(self) -> dict[str, RouteTraffic]:
        """By route, since the segment was made."""
        self._names.update(dict.fromkeys(self._route_names()))
        # Overall before the routes: what ends between the two is then told a second later, never twice.
        overall = self._segment.counters()
        names = list(self._names)
        found = {
            name: RouteTraffic(Counter(counts), Counter(dict(latency)))
            for name, (counts, latency) in zip(names, self._segment.routes(names), strict=True)
        }
        rest, told = RouteTraffic(), self._written.get(NO_ROUTE, RouteTraffic())
        for name in _OVERALL:
            by_route = sum(route.counts.get(name, 0) for route in found.values())
            rest.counts[name] = max(told.counts.get(name, 0), overall.get(name, 0) - by_route)
        found[NO_ROUTE] = rest
        return found

    def _read_frames(self) -> None:
        while self._frames:
            slot, payload = self._frames.popleft()
            try:
                values: Any = orjson.loads(payload)
                rankings = {name: ranking_of(values["hitters"][name], _TOLD_COUNT) for name in MEASURES}
                minutes = values.get("sample", {}).get("minutes", ())
                self._samples.take(slot, minutes)
            except (ValueError, TypeError, KeyError, AttributeError):
                self.dropped_count += 1
                continue
            for measure, ranking in rankings.items():
                if ranking.total:
                    self._rankings.setdefault(measure, []).append(ranking)

    async def _roll_up(self) -> None:
        """Raises StoreError; what was not rolled up is tried again with the next summary."""
        minute_ms = periods.floor(self._written_ms, periods.MINUTE_MS)
        if minute_ms <= self._rolled_ms:
            return
        # The one before is over when this minute is its first: again, in case we died between the two.
        hour_ms = periods.floor(self._rolled_ms - 1, periods.HOUR_MS)
        seconds = await self._store.summaries(Period.SECOND, self._rolled_ms, minute_ms)
        await self._write_rolled(seconds, Period.MINUTE, periods.MINUTE_MS)
        until_ms = periods.floor(minute_ms, periods.HOUR_MS)
        if until_ms > hour_ms:
            minutes = await self._store.summaries(Period.MINUTE, hour_ms, until_ms)
            await self._write_rolled(minutes, Period.HOUR, periods.HOUR_MS)
        self._rolled_ms = minute_ms

    async def _write_rolled(self, rows: Iterable[Summary], into: Period, length_ms: int) -> None:
        own = [row for row in rows if row.pod == self.pod]
        if own:
            await self._store.add_summaries(await asyncio.to_thread(periods.rolled, own, into, length_ms))

    def _written_wire(self, reached: dict[str, RouteTraffic], now_ms: int) -> bytes:
        traffic = orjson.Fragment(Traffic(0.0, reached).to_wire())
        return orjson.dumps({"segment": self._segment_id, "until_ms": now_ms, "traffic": traffic})

    def _resume(self, content: bytes) -> None:
        try:
            values: Any = orjson.loads(content)
            if values["segment"] != self._segment_id:
                return
            routes = Traffic.from_wire(orjson.dumps(values["traffic"])).routes
            self._written_ms = min(int(values["until_ms"]), self._written_ms)
        except (ValueError, TypeError, KeyError):
            return  # of another version: what was counted meanwhile comes in one summary
        self._written = routes
        self._names = {name: None for name in routes if name != NO_ROUTE}


def _difference(reached: dict[str, RouteTraffic], before: dict[str, RouteTraffic]) -> dict[str, RouteTraffic]:
    found = {}
    for name, route in reached.items():
        told = before.get(name, RouteTraffic())
        # Counter's minus keeps what is above zero, and counters of a segment never fall.
        found[name] = RouteTraffic(route.counts - told.counts, route.latency - told.latency)
    return found


def _identity(segment: Segment) -> str:
    """A segment's own: its counters say nothing about those of another."""
    status = os.fstat(segment.fileno())
    return f"{_BOOT_ID.read_text().strip()}/{status.st_dev}/{status.st_ino}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
