"""Entries by hand in the base and above it: together always what the log adds up to."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch._native import Blocklist, Builder, Entry, pack_entries
from proxy.blocklist.compile import base_files
from proxy.control import folding, list_files
from proxy.control import lists as control_lists
from proxy.control.changes import Changes
from proxy.control.folding import Folded, Place, above, to_entry, tombstone
from proxy.errors import ListError
from proxy.store.records import EntryKey, ManualEntry
from tests.control.conftest import Pod, until

FEED = (
    Entry("198.51.100.0/24", score=8, sources=["feed"]),
    Entry("203.0.113.0/26", score=6, sources=["feed"], expires=50),
    Entry("203.0.113.4/30", score=9, sources=["feed"]),
    Entry("bad.example", score=8, sources=["feed"]),
    Entry("203.0.113.5", disposition="known_good", sources=["good"]),
)
TARGETS = (
    ("203.0.113.4/32", "network"),
    ("203.0.113.4/30", "network"),
    ("203.0.113.0/24", "network"),
    ("2001:db8::/64", "network"),
    ("bad.example", "suffix"),
    ("bad.example", "exact"),
    ("www.bad.example", "below"),
)
SUBJECTS = (
    *(f"203.0.113.{number}" for number in range(9)),
    "198.51.100.1",
    "2001:db8::1",
    "bad.example",
    "www.bad.example",
    "a.www.bad.example",
)

manual_entries = st.builds(
    lambda place, disposition, origin, score, author, expires: ManualEntry(
        target=place[0],
        kind=place[1],
        disposition=disposition,
        origin=origin,
        score=score if disposition == "block" else 0.0,
        source=f"operator:{author}",
        created=1,
        expires=expires,
    ),
    st.sampled_from(TARGETS),
    st.sampled_from(["block", "block", "allow"]),
    st.sampled_from(["operator", "operator", "incident"]),
    st.sampled_from([3.0, 8.0, 10.0]),
    st.sampled_from("ab"),
    st.sampled_from([None, None, 20, 40]),
)
steps = st.lists(
    st.one_of(
        manual_entries.map(lambda entry: ("put", entry)),
        st.integers(0, 20).map(lambda number: ("remove", number)),
        st.sampled_from([10, 20, 30, 60]).map(lambda now: ("advance", now)),
        st.just(("fold", None)),
        st.just(("combine", None)),
    ),
    max_size=25,
)


def said(blocklist: Blocklist, subject: str) -> object:
    """Verdict and every covering entry. Of equally strong ones the order is not promised."""
    explained = blocklist.explain(subject)
    verdict = explained.verdict
    rows = {(item.entry, item.is_live, item.is_vetoed, item.decided) for item in explained.covering}
    if verdict is None:
        return (None, rows)
    return ((verdict.disposition, verdict.score, verdict.sources), rows)


def by_key(entries: Iterable[ManualEntry]) -> dict[EntryKey, ManualEntry]:
    return {entry.key: entry for entry in entries}


class Folds:
    """What control does with its state, in a few lines."""

    def __init__(self) -> None:
        self.now = 5
        self.sequence = 0
        self.entries: dict[EntryKey, ManualEntry] = {}
        self.folded = Folded()
        self.base = self._compiled(())

    def step(self, kind: str, value: object) -> None:
        self.sequence += 1
        if kind == "put":
            assert isinstance(value, ManualEntry)
            self.entries[value.key] = value
        elif kind == "remove" and self.entries:
            self.entries.pop(sorted(self.entries)[int(str(value)) % len(self.entries)])
        elif kind == "advance":
            self.now = max(self.now, int(str(value)))
        elif kind == "fold":
            self.base, self.folded = self._compiled(self.live), Folded(self.sequence, by_key(self.live))
        elif kind == "combine":
            builder = Builder()
            builder.add_list(self.combined())
            self.base, self.folded = builder.build(now=self.now), Folded(self.sequence, by_key(self.live))

    @property
    def live(self) -> tuple[ManualEntry, ...]:
        return tuple(entry for entry in self.entries.values() if entry.is_live(self.now))

    def combined(self) -> Blocklist:
        found = above(self.folded, by_key(self.live))
        natives = [tombstone(place) for place in found.removed] + [to_entry(item) for item in found.entries]
        laid = self.base.with_overlay(pack_entries(natives), sequence=self.sequence)
        laid.advance(self.now)
        return laid

    def rebuilt(self) -> Blocklist:
        """Without any folding."""
        made = self._compiled(self.live)
        made.advance(self.now)
        return made

    def _compiled(self, live: tuple[ManualEntry, ...]) -> Blocklist:
        return Blocklist.from_entries([*FEED, *map(to_entry, live)], now=self.now)


@given(steps)
def test_base_and_what_lies_above_are_what_a_rebuilt_list_would_be(taken: list[tuple[str, object]]):
    """Blocks, allows, removals and expiries with folds in between, lookups and explanations."""
    folds = Folds()
    for kind, value in taken:
        folds.step(kind, value)
        combined, rebuilt = folds.combined(), folds.rebuilt()
        for subject in SUBJECTS:
            assert said(combined, subject) == said(rebuilt, subject), (kind, subject)


ENTRY = ManualEntry("203.0.113.7/32", "network", "block", "operator", 9.0, "operator:x", 1)
ALLOW = replace(ENTRY, disposition="allow", score=0.0)
OTHER = replace(ENTRY, target="203.0.113.8/32")


@pytest.mark.parametrize(
    ("folded", "live", "entries", "removed"),
    [
        ([], [ENTRY], [ENTRY], []),
        ([ENTRY], [ENTRY], [], []),
        ([ENTRY], [replace(ENTRY)], [], []),
        ([ENTRY], [], [], [Place.of(ENTRY)]),
        ([ENTRY], [replace(ENTRY, score=3.0)], [replace(ENTRY, score=3.0)], [Place.of(ENTRY)]),
        ([ENTRY, ALLOW], [ALLOW], [ALLOW], [Place.of(ENTRY)]),
        ([ENTRY], [ENTRY, OTHER], [OTHER], []),
        ([ENTRY], [ENTRY, ALLOW], [ALLOW], []),
    ],
    ids=["nothing folded", "same", "equal", "removed", "changed", "allow stays", "added", "allow added"],
)
def test_only_what_differs_lies_above(folded, live, entries, removed):
    """Ten thousand folded entries cost the overlay nothing while nobody touches them."""
    found = above(Folded(1, by_key(folded)), by_key(live))
    assert (list(found.entries), list(found.removed)) == (entries, removed)


def test_file_beside_the_base_gives_the_same_entries(tmp_path: Path):
    files = base_files(tmp_path, 1, 2)
    folded = Folded(7, by_key([replace(ENTRY, categories=("scan",), expires=99), ALLOW]))
    digest = folding.write_folded(files, folded)
    assert folding.read_folded(files, 7, digest) == folded
    known = {ENTRY.key: replace(ENTRY), ALLOW.key: replace(ALLOW)}
    assert folded.sharing(known).entries[ALLOW.key] is known[ALLOW.key]


@pytest.mark.parametrize("damage", [b"", b"[]", b"rubbish", None])
def test_damaged_file_beside_the_base_is_refused(tmp_path: Path, damage: bytes | None):
    files = base_files(tmp_path, 1, 2)
    digest = folding.write_folded(files, Folded(7, by_key([ENTRY])))
    if damage is None:
        files.manual.unlink()
    else:
        files.manual.write_bytes(damage)
    with pytest.raises(ListError, match="manual-1-2"):
        folding.read_folded(files, 7, digest)


# ------------------------------------------------------------------ in a running control process


async def folding_pod(pod: Pod, count: int = 2) -> Pod:
    pod.configure(f"[blocklist]\nfold_count = {count}")
    await pod.start()
    return pod


def overlay_count(pod: Pod) -> int:
    overlay = pod.control.state.overlay
    assert overlay is not None
    return overlay.entry_count


async def block(pod: Pod, *targets: str) -> None:
    for target in targets:
        assert (await pod.call("POST", "/v1/blocks", {"target": target}))[0] in (200, 201)


async def test_grown_overlay_is_compiled_into_the_base(pod: Pod):
    """What lies above stays small; nothing lapses, and what is removed later is gone at once."""
    await folding_pod(pod)
    worker = await pod.current_worker()
    await block(pod, "203.0.113.1", "203.0.113.2")
    await pod.control.lists.fold()
    assert overlay_count(pod) == 2
    await block(pod, "203.0.113.3")
    before = pod.control.state.base
    await pod.control.lists.fold()
    assert overlay_count(pod) == 0
    assert pod.control.state.base is not before
    await until(lambda: worker.version == pod.control.state.version, "the worker has it")
    assert [worker.blocks(f"203.0.113.{number}") for number in range(1, 5)] == [True, True, True, False]
    assert worker.blocks("198.51.100.7")
    await pod.call("DELETE", "/v1/blocks?target=203.0.113.2")
    await until(lambda: not worker.blocks("203.0.113.2"), "it is gone")
    assert worker.blocks("203.0.113.1")
    _, answer = await pod.call("GET", "/v1/lookup?target=203.0.113.2")
    assert (answer["verdict"], answer["explain"]) == (None, [])
    assert (await pod.call("GET", "/v1/blocks"))[1]["count"] == 2


async def test_folded_entries_survive_a_restart_and_removed_ones_stay_removed(pod: Pod):
    """From the files and the log alone."""
    await folding_pod(pod, 0)
    await block(pod, "203.0.113.1", "203.0.113.2")
    await pod.control.lists.fold()
    await pod.call("DELETE", "/v1/blocks?target=203.0.113.2")
    await block(pod, "203.0.113.3")
    await pod.restart()
    worker = await pod.current_worker()
    assert [worker.blocks(f"203.0.113.{number}") for number in range(1, 5)] == [True, False, True, False]
    assert overlay_count(pod) == 2
    assert pod.control.lists.manifest is not None
    assert pod.control.lists.manifest.folded_sequence > 0


async def test_age_of_the_lists_is_not_renewed_by_a_fold(pod: Pod):
    """An alarm on age must not be silenced by operators' blocks."""
    await folding_pod(pod, 0)
    manifest = pod.control.lists.manifest
    assert manifest is not None
    pod.control.lists.manifest = replace(manifest, created=1000)
    await block(pod, "203.0.113.1")
    await pod.control.lists.fold()
    base = pod.control.state.base
    assert base is not None
    assert (base.created, pod.control.lists.manifest.lists) == (1000, manifest.lists)


async def test_changed_list_takes_the_manual_entries_along(pod: Pod):
    """One compile instead of two."""
    await folding_pod(pod, 100)
    await block(pod, "203.0.113.1", "203.0.113.2")
    pod.write("192.0.2.0/24\n")
    await pod.control.lists.refresh()
    assert overlay_count(pod) == 0
    worker = await pod.current_worker()
    assert (worker.blocks("192.0.2.1"), worker.blocks("203.0.113.1"), worker.blocks("198.51.100.1")) == (
        True,
        True,
        False,
    )


async def test_list_that_is_put_back_keeps_what_operators_did_meanwhile(pod: Pod):
    """The base of before holds other manual entries than the one that is taken away."""
    await folding_pod(pod, 100)
    await block(pod, "203.0.113.1", "203.0.113.2")
    pod.write("192.0.2.0/24\n")
    await pod.control.lists.refresh()
    await pod.call("DELETE", "/v1/blocks?target=203.0.113.1")
    await block(pod, "203.0.113.3")
    await pod.control.lists.put_back()
    worker = await pod.current_worker()
    assert [worker.blocks(f"203.0.113.{number}") for number in range(1, 4)] == [False, True, True]
    assert (worker.blocks("198.51.100.1"), worker.blocks("192.0.2.1")) == (True, False)


async def test_fold_that_workers_died_of_is_put_back_and_not_tried_again(pod: Pod):
    """Until the lists change: the entries are above the base of before and stay in force."""
    await folding_pod(pod, 0)
    await block(pod, "203.0.113.1")
    await pod.control.lists.fold()
    assert pod.control.lists.trial is not None
    await pod.control.lists.put_back()
    await pod.control.lists.fold()
    assert overlay_count(pod) == 1
    assert pod.control.lists.put_back_note is not None
    worker = await pod.current_worker()
    assert worker.blocks("203.0.113.1")
    await pod.restart()
    await pod.control.lists.fold()
    assert overlay_count(pod) == 1
    pod.write("192.0.2.0/24\n")
    await pod.control.lists.refresh()
    assert overlay_count(pod) == 0
    assert "lists" not in pod.control.put_backs


async def test_fault_of_the_disk_leaves_everything_above_the_base(pod: Pod, monkeypatch):
    await folding_pod(pod, 0)
    await block(pod, "203.0.113.1")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(list_files, "write_folded", full)
    await pod.control.lists.fold()
    assert overlay_count(pod) == 1
    monkeypatch.undo()
    await pod.control.lists.fold()
    assert overlay_count(pod) == 0
    assert (await pod.current_worker()).blocks("203.0.113.1")


class Killed(BaseException):
    """Ends the process here, as a kill would: nothing behind it is done."""


async def test_fold_that_failed_is_not_tried_again_every_second(pod: Pod, monkeypatch):
    """Each attempt is a whole compile, and a record in the log."""
    await folding_pod(pod, 0)
    await block(pod, "203.0.113.1")
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise Killed

    def full(*_: object) -> None:
        if len(waits) == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(list_files, "write_folded", full)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "sleep", sleep)
        with pytest.raises(Killed):
            await pod.control.lists.fold_forever()
    assert waits[1] > 10 * waits[0] == 10 * waits[2]


def kill(*_: object, **__: object) -> None:
    raise Killed


KILLS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "before its record": lambda patch: patch.setattr(Changes, "note_lists", kill),
    "before the base": lambda patch: patch.setattr(list_files, "write_combined", kill),
    "before the entries' file": lambda patch: patch.setattr(list_files, "write_folded", kill),
    "in the entries' file": lambda patch: patch.setattr("proxy.blocklist.kept.os.fsync", kill),
    "before the manifest": lambda patch: patch.setattr(control_lists, "write_manifest", kill),
    "before the swap": lambda patch: patch.setattr(Changes, "install", kill),
    "before the clean-up": lambda patch: patch.setattr(list_files, "clean", kill),
}


@pytest.mark.parametrize("name", KILLS)
async def test_nothing_is_lost_when_control_dies_while_folding(pod: Pod, name: str, monkeypatch):
    """At every step; and the next fold succeeds."""
    await folding_pod(pod, 0)
    await block(pod, "203.0.113.1", "203.0.113.2")
    await pod.control.lists.fold()
    await pod.call("DELETE", "/v1/blocks?target=203.0.113.1")
    await block(pod, "203.0.113.3")
    with monkeypatch.context() as patch:
        KILLS[name](patch)
        with pytest.raises(Killed):
            await pod.control.lists.fold()
    await pod.restart()
    worker = await pod.current_worker()
    assert [worker.blocks(f"203.0.113.{number}") for number in range(1, 5)] == [False, True, True, False]
    await pod.control.lists.fold()
    assert overlay_count(pod) == 0
    await until(lambda: worker.version == pod.control.state.version, "the worker has it")
    assert [worker.blocks(f"203.0.113.{number}") for number in range(1, 5)] == [False, True, True, False]
    assert worker.blocks("198.51.100.7")


@pytest.mark.parametrize("damage", [None, b"[]"], ids=["missing", "damaged"])
async def test_base_whose_entries_are_unknown_is_compiled_anew(pod: Pod, damage: bytes | None):
    """From the lists and the log: nobody knows what would have to lie above the old one."""
    await folding_pod(pod, 0)
    await block(pod, "203.0.113.1", "203.0.113.2")
    await pod.control.lists.fold()
    await pod.call("DELETE", "/v1/blocks?target=203.0.113.1")
    base = pod.control.state.base
    assert base is not None
    if damage is None:
        base.files.manual.unlink()
    else:
        base.files.manual.write_bytes(damage)
    await pod.restart()
    worker = await pod.current_worker()
    assert [worker.blocks(f"203.0.113.{number}") for number in range(1, 4)] == [False, True, False]
    assert worker.blocks("198.51.100.7")
    assert overlay_count(pod) == 0


@pytest.mark.parametrize("seed", range(3))
async def test_random_changes_folds_and_restarts_are_what_was_asked_for(pod: Pod, seed: int):
    """Against a plain dictionary, through the admin API, as a worker sees it."""
    generator = random.Random(seed)
    await folding_pod(pod, 0)
    worker = await pod.current_worker()
    blocked: set[str] = set()
    allowed: set[str] = set()
    for _ in range(60):
        address = f"203.0.113.{generator.randrange(8)}"
        match generator.randrange(8):
            case 0 | 1 | 2:
                await block(pod, address)
                blocked.add(address)
            case 3 if address in blocked:
                await pod.call("DELETE", f"/v1/blocks?target={address}")
                blocked.discard(address)
            case 4:
                await pod.call("POST", "/v1/allows", {"target": address})
                allowed.add(address)
            case 5 if address in allowed:
                await pod.call("DELETE", f"/v1/allows?target={address}")
                allowed.discard(address)
            case 6:
                await pod.control.lists.fold()
            case 7 if generator.random() < 0.3:
                await worker.close()
                await pod.restart()
                worker = await pod.current_worker()
        await until(lambda: worker.version == pod.control.state.version, "the worker has it")  # noqa: B023 awaited here
        seen = {f"203.0.113.{number}" for number in range(8) if worker.blocks(f"203.0.113.{number}")}
        assert seen == blocked - allowed
