"""What workers report of their targets -> one row per target for the status and the metrics."""

from dataclasses import dataclass, field
from typing import Final

import orjson

from proxy.telemetry import events, logs

# Rows of one report, and of all: 256 upstreams of 256 targets is more than anybody has, and a bound.
_MOST_ROWS: Final = 65_536

Key = tuple[str, str]


@dataclass(slots=True)
class TargetSum:
    """Over all workers of the pod. `ejected_by`: workers that leave it out at present."""

    worker_count: int = 0
    ejected_by: int = 0
    busy: int = 0
    idle: int = 0
    failures: int = 0
    ejections: int = 0


@dataclass(frozen=True, slots=True)
class _Row:
    is_ejected: bool
    busy: int
    idle: int
    failures: int
    ejections: int


@dataclass(slots=True)
class _Report:
    rows: dict[Key, _Row] = field(default_factory=dict)
    is_attached: bool = True


class TargetReports:
    """Gauges count while their worker is attached; counters stay when it has ended, or they would shrink."""

    def __init__(self) -> None:
        self._reports: dict[tuple[int | None, int], _Report] = {}
        self._past: dict[Key, tuple[int, int]] = {}

    def take(self, slot: int | None, process_id: int, payload: bytes) -> None:
        """A report that cannot be read is logged and left out."""
        try:
            rows = {
                (str(row["upstream"]), str(row["target"])): _Row(
                    bool(row["is_ejected"]),
                    int(row["busy"]),
                    int(row["idle"]),
                    int(row["failures"]),
                    int(row["ejections"]),
                )
                for row in orjson.loads(payload)[:_MOST_ROWS]
            }
        except (ValueError, TypeError, KeyError) as error:
            logs.logger().warning(events.WORKER_REFUSED, slot=slot, reason=f"targets: {error!r}")
            return
        before = self._reports.get((slot, process_id))
        if before is not None:
            # Of a target that has left, so that its counters do not leave with it.
            self._keep({key: row for key, row in before.rows.items() if key not in rows})
        self._reports[slot, process_id] = _Report(rows)

    def detached(self, slot: int | None, process_id: int) -> None:
        """It may attach again, with the same counters; when another process has its slot it will not."""
        report = self._reports.get((slot, process_id))
        if report is not None:
            report.is_attached = False
        for key, other in tuple(self._reports.items()):
            if key[0] == slot and not other.is_attached and key[1] != process_id:
                self._keep(self._reports.pop(key).rows)

    def sums(self) -> dict[Key, TargetSum]:
        """Of every target that a worker has or had."""
        sums = {
            key: TargetSum(failures=failures, ejections=ejections)
            for key, (failures, ejections) in self._past.items()
        }
        for report in self._reports.values():
            for key, row in report.rows.items():
                found = sums.setdefault(key, TargetSum())
                found.failures += row.failures
                found.ejections += row.ejections
                if report.is_attached:
                    found.worker_count += 1
                    found.ejected_by += row.is_ejected
                    found.busy += row.busy
                    found.idle += row.idle
        return sums

    def _keep(self, rows: dict[Key, _Row]) -> None:
        for key, row in rows.items():
            failures, ejections = self._past.get(key, (0, 0))
            if key in self._past or len(self._past) < _MOST_ROWS:
                self._past[key] = (failures + row.failures, ejections + row.ejections)
