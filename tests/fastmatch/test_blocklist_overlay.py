"""An overlay that grows, shrinks, expires and is folded says after each step what a rebuilt list says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from fastmatch import Blocklist, Builder, Entry, pack_entries
from tests.support import oracle
from tests.support.listed import (
    addresses,
    canonical,
    entries_of,
    host_names,
    listed,
    named_sources,
    seen,
    shown,
    tombstone_for,
)
from tests.support.oracle import Listed, Said

subjects = st.lists(addresses | host_names, min_size=3, max_size=8)


def look_up(blocklist: Blocklist, text: str) -> Said | None:
    is_name = isinstance(oracle.subject_of(text), str)
    return seen(blocklist.lookup_domain(text) if is_name else blocklist.lookup(text))


def explained(blocklist: Blocklist, text: str) -> list[oracle.Covered]:
    covering = blocklist.explain(text).covering
    return [oracle.Covered(shown(one.entry), one.is_live, one.is_vetoed, one.decided) for one in covering]


def edge_of(entry: Listed) -> str:
    """A subject that the entry covers, or nearly."""
    if entry.kind == "network":
        return str(oracle.network_of(entry.target).network_address)
    return "x." + entry.target if entry.kind == "below" else entry.target


class OverlayMachine(RuleBasedStateMachine):
    """Control's part: it holds the entries and publishes one list after the other."""

    known = Bundle("known")

    @initialize(entries=st.lists(listed, max_size=12), target=known)
    def compile(self, entries):
        self.base = [canonical(entry) for entry in entries]
        self.overlay: list[Listed] = []
        self.now = 0
        self.sequence = 0
        self.compiled = Blocklist.from_entries(entries_of(self.base), epoch=3)
        self.blocklist = self.compiled
        return self.base

    def publish(self):
        self.sequence += 1
        packed = pack_entries(entries_of(self.overlay))
        self.blocklist = self.compiled.with_overlay(packed, sequence=self.sequence)

    def holds(self, texts):
        """The law: base and overlay say and explain what is left of both."""
        left = [canonical(entry) for entry in oracle.remaining(self.base, self.overlay)]
        assert self.blocklist.version == (3, self.sequence)
        for text in texts:
            subject = oracle.subject_of(text)
            assert look_up(self.blocklist, text) == oracle.verdict(left, subject, self.now), text
            assert explained(self.blocklist, text) == oracle.explain(left, subject, self.now), text
            assert look_up(self.compiled, text) == oracle.verdict(self.base, subject, self.now), text

    @rule(batch=st.lists(listed, min_size=1, max_size=4), texts=subjects, target=known)
    def add(self, batch, texts):
        added = [canonical(entry) for entry in batch]
        self.overlay += added
        self.publish()
        self.holds(texts + [edge_of(entry) for entry in added])
        return added

    @rule(aims=known, at=st.integers(0, 11), sources=named_sources, texts=subjects)
    def remove(self, aims, at, sources, texts):
        """As an unblock does: the overlay's own entries are taken out, the base's get a tombstone."""
        if not aims:
            return
        tombstone = tombstone_for(aims[at % len(aims)], sources)
        self.overlay = [entry for entry in self.overlay if not oracle.removes(tombstone, entry)]
        self.overlay.append(tombstone)
        self.publish()
        self.holds([*texts, edge_of(tombstone)])

    @rule(aims=known, at=st.integers(0, 11), sources=named_sources, texts=subjects)
    def bury(self, aims, at, sources, texts):
        """A tombstone beside entries of the overlay that it would fit: they stay."""
        if not aims:
            return
        tombstone = tombstone_for(aims[at % len(aims)], sources)
        self.overlay.append(tombstone)
        self.publish()
        self.holds([*texts, edge_of(tombstone)])

    @rule(seconds=st.sampled_from([1, 9, 10, 11]), texts=subjects)
    def wait(self, seconds, texts):
        self.now += seconds
        self.blocklist.advance(self.now)
        self.holds(texts)

    @rule(texts=subjects)
    def fold(self, texts):
        """The overlay becomes part of the next base, which needs nothing but the list itself."""
        builder = Builder()
        builder.add_list(self.blocklist)
        self.base = [canonical(entry) for entry in oracle.remaining(self.base, self.overlay)]
        assert {shown(entry) for entry in self.blocklist.entries()} == set(self.base)
        self.overlay = []
        self.sequence = 0
        self.compiled = builder.build(epoch=3, now=self.now)
        assert len(self.compiled) == len(set(self.base))
        self.blocklist = self.compiled
        self.holds(texts)

    @rule(batch=st.lists(listed, min_size=1, max_size=4), cut=st.integers(1, 40), texts=subjects)
    def refuse(self, batch, cut, texts):
        """A batch that is not whole changes nothing."""
        packed = pack_entries(entries_of(self.overlay + batch))
        with pytest.raises(ValueError, match="packed entries"):
            self.compiled.with_overlay(packed[:-cut], sequence=99)
        self.holds(texts)


# Longer runs only repeat what short ones try.
OverlayMachine.TestCase.settings = settings(stateful_step_count=12)
test_an_overlay_says_after_each_step_what_a_rebuilt_list_says = OverlayMachine.TestCase


@given(st.lists(listed, max_size=20), st.data())
def test_a_tombstone_for_each_entry_leaves_nothing(entries, data):
    """What is removed entry by entry is gone, whatever nests, vetoes or expires."""
    named = [data.draw(st.sampled_from([(), entry.sources])) for entry in entries]
    tombstones = [tombstone_for(*pair) for pair in zip(entries, named, strict=True)]
    base = Blocklist.from_entries(entries_of(entries))
    blocklist = base.with_overlay(pack_entries(entries_of(tombstones)), sequence=2)
    for entry in entries:
        assert look_up(blocklist, edge_of(entry)) is None
        assert explained(blocklist, edge_of(entry)) == []


def test_a_removed_entry_lets_the_covering_one_show_through():
    """An unblock of a host is no allow: the network's own entry still decides."""
    base = Blocklist.from_entries([Entry("10.0.0.0/8", score=3), Entry("10.1.2.3", score=9)])
    removal = pack_entries([Entry("10.1.2.3", disposition="tombstone")])
    blocklist = base.with_overlay(removal, sequence=1)
    assert base["10.1.2.3"].score == 9
    assert blocklist["10.1.2.3"] is base["10.0.0.1"]
    assert [one.entry.target for one in blocklist.explain("10.1.2.3").covering] == ["10.0.0.0/8"]


def test_a_removed_known_good_entry_vetoes_no_longer():
    """The warning list was wrong about this network; the feed's block is back."""
    entries = [Entry("10.0.0.0/8", score=9), Entry("10.1.0.0/16", disposition="known_good")]
    base = Blocklist.from_entries(entries)
    removal = pack_entries([Entry("10.1.0.0/16", disposition="tombstone")])
    assert base.lookup("10.1.0.1") is None
    assert base.with_overlay(removal, sequence=1)["10.1.0.1"].score == 9


def test_a_tombstone_removes_only_entries_whose_sources_it_names_and_of_its_origin():
    """An operator's unblock must not take away what a feed says, nor one feed what two say."""
    entries = [
        Entry("a.example", score=9, sources=["one", "two"]),
        Entry("a.example", score=8, sources=["one"]),
        Entry("a.example", score=7, origin="operator", sources=["one"]),
        Entry("a.example", score=6),
    ]
    base = Blocklist.from_entries(entries)
    removal = Entry("a.example", disposition="tombstone", sources=["one"])
    blocklist = base.with_overlay(pack_entries([removal]), sequence=1)
    assert [one.entry.score for one in blocklist.explain("a.example").covering] == [9, 7]


def test_a_tombstone_has_neither_score_nor_categories_nor_expiry():
    """It says that something is gone, nothing about what is there."""
    assert Entry("10.0.0.1", disposition="tombstone").score == 0
    with pytest.raises(ValueError, match="a tombstone does not expire"):
        Entry("10.0.0.1", disposition="tombstone", expires=9)
    with pytest.raises(ValueError, match="a tombstone has no categories"):
        Entry("10.0.0.1", disposition="tombstone", categories=["scan"])


def test_a_base_with_a_tombstone_is_refused(tmp_path):
    """There is nothing beneath a base; whoever compiles one has mixed up the two."""
    builder = Builder()
    builder.add(Entry("10.0.0.1", disposition="tombstone"))
    with pytest.raises(ValueError, match="a tombstone is for an overlay"):
        builder.build()
    with pytest.raises(ValueError, match="a tombstone is for an overlay"):
        builder.write(str(tmp_path / "decision"), str(tmp_path / "evidence"))
    with pytest.raises(ValueError, match="a list's disposition is"):
        Builder().add_text(b"10.0.0.1", format="plain", source="s", score=1, disposition="tombstone")  # type: ignore[arg-type]  # is refused
    assert list(tmp_path.iterdir()) == []
