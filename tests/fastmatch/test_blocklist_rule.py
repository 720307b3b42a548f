"""The one rule for verdicts: compiled lists against the linear scan."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch import Blocklist, Builder, Entry, pack_entries, unpack_entries
from tests.support import oracle
from tests.support.listed import (
    addresses,
    canonical,
    entries_of,
    host_names,
    listed,
    seen,
    shown,
)
from tests.support.oracle import Listed, Said

lists = st.lists(listed, max_size=30)
subjects = st.lists(addresses | host_names, min_size=20, max_size=40)
times = st.sampled_from([0, 9, 10, 19, 20, 30, 31])


def look_up(blocklist: Blocklist, text: str) -> Said | None:
    is_name = isinstance(oracle.subject_of(text), str)
    return seen(blocklist.lookup_domain(text) if is_name else blocklist.lookup(text))


def assert_same(blocklist: Blocklist, entries: list[Listed], texts: list[str], now: int) -> None:
    blocklist.advance(now)
    for text in texts:
        expected = oracle.verdict(entries, oracle.subject_of(text), now)
        assert look_up(blocklist, text) == expected, text
        is_block = expected is not None and expected[0] == "block" and expected[1] > 0
        assert (text in blocklist) == is_block
        if expected is None:
            with pytest.raises(KeyError):
                blocklist[text]
        else:
            assert seen(blocklist[text]) == expected


@given(lists, subjects, times)
def test_a_lookup_says_what_the_linear_scan_says(entries, texts, now):
    """The index is a faster way to the same answer, for both families and for names."""
    assert_same(Blocklist.from_entries(entries_of(entries)), entries, texts, now)


@given(lists, subjects, times, st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(entries, texts, now, random):
    """Feeds arrive in any order."""
    shuffled = entries * 2
    random.shuffle(shuffled)
    assert_same(Blocklist.from_entries(entries_of(shuffled)), entries, texts, now)


@given(lists, lists, subjects, times)
def test_base_with_overlay_says_what_one_list_says(below, above, texts, now):
    """An overlay is a way to change a list quickly, not another rule."""
    base = Blocklist.from_entries(entries_of(below), epoch=7, sequence=1)
    blocklist = base.with_overlay(pack_entries(entries_of(above)), sequence=2)
    assert blocklist.version == (7, 2)
    assert_same(blocklist, below + above, texts, now)
    assert_same(base, below, texts, now)


@given(lists, lists, subjects, times)
def test_explain_lists_all_that_covers_and_what_decided(below, above, texts, now):
    """A denial that cannot be explained cannot be appealed."""
    base = Blocklist.from_entries(entries_of(below))
    blocklist = base.with_overlay(pack_entries(entries_of(above)), sequence=2)
    blocklist.advance(now)
    entries = [canonical(one) for one in below + above]
    for text in texts:
        subject = oracle.subject_of(text)
        explanation = blocklist.explain(text)
        expected = oracle.explain(entries, subject, now)
        found = [
            oracle.Covered(shown(c.entry), c.is_live, c.is_vetoed, c.decided) for c in explanation.covering
        ]
        assert found == expected
        assert explanation.subject == str(subject)
        assert seen(explanation.verdict) == oracle.verdict(entries, subject, now)


@given(entries=lists, texts=subjects, now=times)
def test_a_mapped_file_says_what_memory_says(tmp_path_factory, entries, texts, now):
    """Workers map what control compiled."""
    folder = tmp_path_factory.mktemp("lists")
    builder = Builder()
    for entry in entries_of(entries):
        builder.add(entry)
    decision, evidence = str(folder / "decision.bin"), str(folder / "evidence.bin")
    builder.write(decision, evidence, epoch=5, sequence=6, now=now)
    blocklist = Blocklist.open(decision, evidence)
    assert (blocklist.version, blocklist.created, len(blocklist)) == (
        (5, 6),
        now,
        len(set(map(canonical, entries))),
    )
    assert_same(blocklist, entries, texts, now)
    for text in texts[:3]:
        found = [shown(covering.entry) for covering in blocklist.explain(text).covering]
        expected = oracle.explain(list(map(canonical, entries)), oracle.subject_of(text), now)
        assert found == [covered.listed for covered in expected]
    assert sorted(path.name for path in Path(folder).iterdir()) == ["decision.bin", "evidence.bin"]


@given(lists)
def test_entries_survive_packing_and_a_set_has_one_pack(entries):
    """The store and the workers receive what the operator wrote, and equal lists are equal bytes."""
    whole = entries_of(entries)
    packed = pack_entries(whole)
    unpacked = unpack_entries(packed)
    assert len(unpacked) == len(set(whole))
    assert set(unpacked) == set(whole)
    assert pack_entries([*reversed(whole), *whole[:2]]) == packed
    assert [shown(entry) for entry in whole] == [canonical(one) for one in entries]


def test_an_expired_entry_never_hides_a_live_one_beneath_it():
    """The specific block runs out, the wide one stays."""
    entries = [Entry("10.0.0.0/8", score=3), Entry("10.1.0.0/16", score=9, expires=100)]
    blocklist = Blocklist.from_entries(entries, now=99)
    assert blocklist["10.1.2.3"].score == 9
    blocklist.advance(100)
    assert blocklist["10.1.2.3"].score == 3


def test_known_good_vetoes_feeds_and_nobody_else():
    """A warning list must not undo what a person or an incident decided."""
    entries = [
        Entry("10.0.0.0/8", score=9, sources=["feed"]),
        Entry("10.1.0.0/16", disposition="known_good"),
        Entry("10.1.2.0/24", score=2, origin="operator", sources=["person"]),
    ]
    blocklist = Blocklist.from_entries(entries)
    assert blocklist["10.0.0.1"].sources == ("feed",)
    assert blocklist.lookup("10.1.0.1") is None
    assert blocklist["10.1.2.1"].sources == ("person",)


def test_a_known_good_entry_of_the_overlay_uncovers_an_operators_block_in_the_base():
    """The feed's block is stronger and never expires, yet what stands behind it must not be forgotten."""
    entries = [Entry("10.0.0.0/8", score=9), Entry("10.0.0.0/8", score=4, origin="operator")]
    base = Blocklist.from_entries(entries)
    overlay = pack_entries([Entry("10.0.0.0/9", disposition="known_good")])
    assert base["10.0.0.1"].score == 9
    assert base.with_overlay(overlay, sequence=1)["10.0.0.1"].score == 4


def test_lists_made_from_one_list_share_its_clock_and_its_verdicts():
    """One tick per worker is enough, and a verdict stays one object."""
    base = Blocklist.from_entries([Entry("10.0.0.0/8", score=9, expires=50)])
    blocklist = base.with_overlay(pack_entries([Entry("11.0.0.0/8")]), sequence=1)
    assert blocklist["10.0.0.1"] is base["10.9.9.9"]
    blocklist.advance(50)
    assert base.lookup("10.0.0.1") is None
    assert blocklist.stats["overlay"] == 1
    assert len(blocklist) == 2
    assert len(blocklist.verdicts) == 2
