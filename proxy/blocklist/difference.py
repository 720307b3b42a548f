"""Two lists with evidence -> which entries came, went and changed.

An entry is the same one when target, kind, disposition, origin and sources agree; what else it says may have
changed. Entries are compared by their hashes, so two lists of a million entries take some 200 MB, not two
copies of everything.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fastmatch._native import Blocklist, Entry


@dataclass(slots=True)
class Side:
    """`first`: as many as were asked for. `by_source` counts an entry for each of its sources."""

    count: int = 0
    by_source: Counter[str] = field(default_factory=Counter)
    first: list[Entry] = field(default_factory=list)

    def note(self, entry: Entry, limit: int) -> None:
        self.count += 1
        self.by_source.update(entry.sources)
        if len(self.first) < limit:
            self.first.append(entry)


@dataclass(slots=True)
class Difference:
    """`changed_before` and `changed` hold the same entries as they were and as they are."""

    added: Side = field(default_factory=Side)
    removed: Side = field(default_factory=Side)
    changed: Side = field(default_factory=Side)
    changed_before: list[Entry] = field(default_factory=list)

    @property
    def sides(self) -> tuple[Side, Side, Side]:
        return self.added, self.removed, self.changed

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(sorted({source for side in self.sides for source in side.by_source}))


def difference(before: Blocklist, after: Blocklist, limit: int = 0) -> Difference:
    """`limit`: how many entries of each kind to keep. Raises LookupError without evidence."""
    made = Difference()
    known = set(map(hash, before.entries()))
    present = set(map(hash, after.entries()))
    new_keys = {_key(entry) for entry in _others(after, known)}
    changed: dict[int, Entry | None] = {}
    for entry in _others(before, present):
        key = _key(entry)
        if key in new_keys:
            changed.setdefault(key, entry if len(changed) < limit else None)
        else:
            made.removed.note(entry, limit)
    reported: set[int] = set()
    for entry in _others(after, known):
        key = _key(entry)
        if key not in changed:
            made.added.note(entry, limit)
        elif key not in reported:
            reported.add(key)
            earlier = changed[key]
            made.changed.note(entry, limit if earlier is not None else 0)
            if earlier is not None:
                made.changed_before.append(earlier)
    return made


def _others(blocklist: Blocklist, known: set[int]) -> Iterator[Entry]:
    return (entry for entry in blocklist.entries() if hash(entry) not in known)


def _key(entry: Entry) -> int:
    return hash((entry.target, entry.kind, entry.disposition, entry.origin, entry.sources))
