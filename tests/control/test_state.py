"""Manual entries to overlay: what is kept between two changes never outlives its entry."""

from dataclasses import replace
from pathlib import Path

from fastmatch._native import Blocklist, unpack_entries
from proxy.blocklist.compile import base_files
from proxy.control.state import Base, OverlayMaker
from proxy.store.records import EntryKey, ManualEntry

ENTRY = ManualEntry(
    "203.0.113.7/32", "network", "block", "operator", 9.0, "operator:x", 1000, ("scan",), "why", 2000
)


def by_key(*entries: ManualEntry) -> dict[EntryKey, ManualEntry]:
    return {entry.key: entry for entry in entries}


def test_overlay_carries_everything_that_an_entry_says():
    overlay = OverlayMaker().make(None, by_key(ENTRY), (1, 2), 0)
    (native,) = unpack_entries(overlay.packed)
    assert (native.target, native.score, native.origin) == ("203.0.113.7/32", 9.0, "operator")
    assert (native.sources, native.categories, native.reason) == (("operator:x",), ("scan",), "why")
    assert (native.first_seen, native.expires) == (1000, 2000)
    assert overlay.blocklist is None


def test_changed_entry_is_made_anew_and_a_removed_one_is_gone():
    """The same key with another score is another entry."""
    maker = OverlayMaker()
    other = replace(ENTRY, target="203.0.113.8/32")
    maker.make(None, by_key(ENTRY, other), (1, 1), 0)
    overlay = maker.make(None, by_key(replace(ENTRY, score=3.0)), (1, 2), 0)
    assert [(entry.target, entry.score) for entry in unpack_entries(overlay.packed)] == [
        ("203.0.113.7/32", 3.0)
    ]
    assert overlay.entry_count == 1


def test_what_is_kept_stays_bounded():
    """A feed of short-lived blocks must not grow the process for ever."""
    maker = OverlayMaker()
    for number in range(3000):
        last = replace(ENTRY, score=number % 100 / 10)
        overlay = maker.make(None, by_key(last), (1, number), 0)
    assert len(maker._made) <= 1003
    (native,) = unpack_entries(overlay.packed)
    assert native.score == last.score


def test_overlay_lies_on_the_base_it_is_given():
    base = Blocklist.from_entries([], epoch=1, sequence=1)
    files = base_files(Path(), 1, 1)
    blocklist = OverlayMaker().make(Base(files, base, 0), by_key(ENTRY), (1, 2), 0).blocklist
    assert blocklist is not None
    assert blocklist.version == (1, 2)
    assert blocklist.lookup("203.0.113.7") is not None
