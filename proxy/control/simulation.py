"""What-if blocks and allows -> what they would change. Nothing is stored; runs in a thread.

It speaks of what this control process knows: the lists, requests that were denied, a sample of the clients of
the last 15 minutes. What a new block of a name would hit can only be said of subjects that are given.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from operator import itemgetter

import orjson

from fastmatch._native import Blocklist, Verdict
from proxy.blocklist import coverage
from proxy.blocklist.addresses import packed
from proxy.blocklist.batch import Batch, Known, denied
from proxy.control.admin.answers import Json, verdict_json
from proxy.control.sight.sample import Drawn
from proxy.control.state import Base, OverlayMaker
from proxy.store.records import Denial, EntryKey, ManualEntry

_TOP_COUNT = 20


@dataclass(frozen=True, slots=True)
class Scene:
    """What is in force at one moment."""

    base: Base
    blocklist: Blocklist
    entries: dict[EntryKey, ManualEntry]
    block_score: float
    now: int

    def with_entries(self, wished: Sequence[ManualEntry]) -> Blocklist:
        """As the list would be: a wish replaces an entry of the same key, as a real one would."""
        entries = {**self.entries, **{entry.key: entry for entry in wished}}
        overlay = OverlayMaker().make(self.base, entries, self.base.blocklist.version, self.now)
        if overlay.blocklist is None:  # only without a base, and there is one
            raise ValueError("no base")
        return overlay.blocklist


@dataclass(frozen=True, slots=True)
class Seen:
    """What came lately."""

    denials: Sequence[Denial]
    drawn: Sequence[Drawn]


def simulate(scene: Scene, wished: Sequence[ManualEntry], subjects: Sequence[str], seen: Seen) -> Json:
    """`subjects` are canonical addresses and names."""
    after = scene.with_entries(wished)
    listed = _Listed.of(scene.blocklist, scene.block_score)
    listed_after = _Listed.of(after, scene.block_score)
    return {
        "entries": [_entry_json(scene, listed, entry) for entry in wished],
        "addresses": {
            "listed_before": listed.count,
            "listed_after": listed_after.count,
            "newly_listed": listed_after.count - listed.count,
        },
        "subjects": _subjects_json(scene, after, subjects),
        "denials": _denials_json(scene, after, seen.denials),
        "clients": _clients_json(scene, after, seen.drawn),
    }


@dataclass(frozen=True, slots=True)
class _Listed:
    """IPv4 addresses that blocks of the block score or more list; allows are not taken off."""

    numbers: array[int]
    count: int

    @classmethod
    def of(cls, blocklist: Blocklist, block_score: float) -> _Listed:
        numbers = coverage.pairs(blocklist.ipv4_ranges(minimum_score=block_score))
        return cls(numbers, coverage.address_count(numbers))


def _entry_json(scene: Scene, listed: _Listed, entry: ManualEntry) -> Json:
    """`already_blocked`: a block there would deny nobody who is not denied by now."""
    said: Json = {
        "target": entry.target,
        "kind": entry.kind,
        "disposition": entry.disposition,
        "score": entry.score,
        "addresses": None,
        "already_listed": None,
    }
    name = entry.target.partition("/")[0]
    verdict = scene.blocklist.explain(name).verdict
    is_denied = verdict is not None and _denies(verdict, scene.block_score)
    if entry.kind == "network" and ":" not in entry.target:
        network = IPv4Network(entry.target)
        said["addresses"] = network.num_addresses
        said["already_listed"] = coverage.within(listed.numbers, [network])
        is_denied = is_denied and said["already_listed"] == network.num_addresses
    said["already_blocked"] = is_denied
    said["first"] = {"target": name, "verdict": verdict_json(verdict)}
    return said


def _subjects_json(scene: Scene, after: Blocklist, subjects: Sequence[str]) -> Json:
    batch = Batch()
    for subject in subjects:
        address = packed(subject)
        batch.add(address, *(() if address is not None else (subject,)))
    before_by, after_by = (
        {item.request: item.verdict for item in batch.judge(blocklist)}
        for blocklist in (scene.blocklist, after)
    )
    results = []
    for index, subject in enumerate(subjects):
        was, would = before_by.get(index), after_by.get(index)
        results.append(
            {
                "target": subject,
                "before": verdict_json(was),
                "after": verdict_json(would),
                "denied_before": _denies(was, scene.block_score),
                "denied_after": _denies(would, scene.block_score),
            }
        )
    changed = sum(item["denied_before"] != item["denied_after"] for item in results)
    return {"examined": len(results), "changed": changed, "results": results}


def _denials_json(scene: Scene, after: Blocklist, denials: Sequence[Denial]) -> Json:
    batch = Batch()
    shown: list[Json] = []
    for denial in denials:
        values = orjson.loads(denial.line)
        # The host that was judged may be that of Origin or Referer.
        hosts = {str(values[name]) for name in ("host", "value") if values.get(name)} - {denial.client}
        batch.add(packed(denial.client), *sorted(hosts))
        shown.append({"client": denial.client, "host": values.get("host", "")})
    before_by = denied(batch.judge(scene.blocklist), scene.block_score)
    after_by = denied(batch.judge(after), scene.block_score)
    return {
        "examined": len(denials),
        "first": min((denial.time_ms for denial in denials), default=None),
        "last": max((denial.time_ms for denial in denials), default=None),
        "denied_before": len(before_by),
        "denied_after": len(after_by),
        "newly_denied": _picked(shown, after_by, before_by),
        "no_longer_denied": _picked(shown, before_by, after_by),
    }


def _clients_json(scene: Scene, after: Blocklist, drawn: Sequence[Drawn]) -> Json:
    """Estimates over all requests of the sampled minutes: a client stands for as many as its sample says."""
    batch = Batch()
    weights: list[float] = []
    names: list[str] = []
    for sample in drawn:
        for client in sample.clients:
            batch.add(packed(client))
            weights.append(sample.weight)
            names.append(client)
    before_by = denied(batch.judge(scene.blocklist), scene.block_score)
    after_by = denied(batch.judge(after), scene.block_score)
    newly: dict[str, float] = {}
    no_longer: dict[str, float] = {}
    for found, those, others in ((newly, after_by, before_by), (no_longer, before_by, after_by)):
        for number in those.keys() - others.keys():
            found[names[number]] = found.get(names[number], 0.0) + weights[number]
    return {
        "requests": sum(sample.requests for sample in drawn),
        "sampled": len(names),
        "denied_before": round(sum(weights[number] for number in before_by)),
        "denied_after": round(sum(weights[number] for number in after_by)),
        "newly_denied": _estimated(newly),
        "no_longer_denied": _estimated(no_longer),
    }


def _estimated(requests_by: dict[str, float]) -> Json:
    ranked = heapq.nlargest(_TOP_COUNT, requests_by.items(), key=itemgetter(1))
    heaviest = [{"client": client, "requests": round(count)} for client, count in ranked]
    return {
        "requests": round(sum(requests_by.values())),
        "clients": len(requests_by),
        "heaviest": heaviest,
    }


def _picked(shown: Sequence[Json], those: dict[int, Known], others: dict[int, Known]) -> Json:
    """Requests among `those` that are not among the `others`."""
    numbers = [number for number in those if number not in others]
    return {"count": len(numbers), "newest": [shown[number] for number in numbers[:_TOP_COUNT]]}


def _denies(verdict: Verdict | None, block_score: float) -> bool:
    return verdict is not None and verdict.disposition == "block" and round(verdict.score, 1) >= block_score
