"""What a list gives back of what it was made of."""

import copy
import gc
import pickle
from array import array
from collections import Counter
from ipaddress import ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch import Blocklist, Builder, Entry, pack_entries, unpack_entries

ENTRIES = [
    Entry("10.0.0.0/24", score=8, sources=["a"], categories=["c"], reason="why", first_seen=1, last_seen=2),
    Entry("10.0.0.0/24", score=3, sources=["b"]),
    Entry("10.0.1.7", score=5, sources=["a", "b"], expires=100),
    Entry("10.0.2.0/23", disposition="allow", origin="operator"),
    Entry("2001:db8::/32", score=7, sources=["a"], origin="incident"),
    Entry("example.com", disposition="known_good", sources=["c"]),
    Entry("example.com", score=2, kind="exact", sources=["b"]),
    Entry("*.example.com".removeprefix("*."), score=2, kind="below", sources=["b"]),
]  # fmt: skip
BLOCKLIST = Blocklist.from_entries(ENTRIES, now=50)

networks = st.builds(
    lambda start, length: str(ip_network((0x0A000000 + (start << 20), length), strict=False)),
    st.integers(0, 7),
    st.integers(7, 13),
)
entries = st.builds(
    Entry,
    networks,
    score=st.integers(0, 10),
    disposition=st.sampled_from(["block", "block", "allow", "known_good"]),
    sources=st.sets(st.sampled_from("ab")),
)


def test_a_list_gives_back_every_entry_it_was_made_of():
    """Folding, diffs and overlap reports start from entries, not from verdicts."""
    assert Counter(BLOCKLIST.entries()) == Counter(ENTRIES)


def test_entries_leave_out_what_the_overlay_removes():
    """And show what it adds instead."""
    removal = Entry("10.0.0.0/24", disposition="tombstone", sources=["b"])
    added = Entry("10.9.0.0/16", origin="operator")
    expected = Counter([*ENTRIES, added])
    expected[ENTRIES[1]] -= 1
    listed = Counter(BLOCKLIST.with_overlay(pack_entries([removal, added]), sequence=1).entries())
    assert listed == +expected


def test_entries_hold_the_list_they_come_from():
    """The iterator outlives every other reference, and half of it may be left."""
    listed = Blocklist.from_entries(ENTRIES).entries()
    first = next(listed)
    gc.collect()
    assert Counter([first, *listed]) == Counter(ENTRIES)
    assert next(listed, None) is None
    halfway = Blocklist.from_entries(ENTRIES).entries()
    next(halfway)
    del halfway
    gc.collect()


def test_two_readers_of_one_iterator_share_its_entries():
    """As with any iterator."""
    listed = BLOCKLIST.entries()
    assert iter(listed) is listed
    assert Counter(entry for pair in zip(listed, listed, strict=True) for entry in pair) == Counter(ENTRIES)


def test_without_evidence_there_are_no_entries(tmp_path):
    """A worker maps the decision file alone."""
    builder = Builder()
    builder.add(ENTRIES[0])
    decision, evidence = str(tmp_path / "decision"), str(tmp_path / "evidence")
    builder.write(decision, evidence)
    bare = Blocklist.open(decision)
    for refused in (bare.entries, bare.ipv4_ranges, lambda: builder.add_list(bare)):
        with pytest.raises(LookupError, match="without its evidence"):
            refused()
    whole = Blocklist.open(decision, evidence, verify=True)
    builder.add_list(whole)
    assert list(whole.entries()) == ENTRIES[:1]
    assert {file for file, _, _ in bare.sections} == {"decision"}
    assert {file for file, _, _ in whole.sections} == {"decision", "evidence"}


def ranges(blocklist, **arguments):
    words = array("I", blocklist.ipv4_ranges(**arguments))
    return list(zip(words[::2], words[1::2], strict=True))


def test_ranges_are_what_live_blocks_cover():
    """Touching networks are one range, an expired block covers nothing, an allow is none."""
    assert ranges(BLOCKLIST) == [(0x0A000000, 0x0A0000FF), (0x0A000107, 0x0A000107)]
    assert ranges(BLOCKLIST, source="b", minimum_score=4) == [(0x0A000107, 0x0A000107)]
    assert ranges(BLOCKLIST, source="nobody") == []
    later = Blocklist.from_entries(ENTRIES, now=100)
    assert ranges(later) == [(0x0A000000, 0x0A0000FF)]
    assert ranges(Blocklist.from_entries([Entry("0.0.0.0/0")])) == [(0, 2**32 - 1)]
    assert ranges(Blocklist.from_entries([Entry("255.255.255.255"), Entry("0.0.0.0")])) == [
        (0, 0),
        (2**32 - 1, 2**32 - 1),
    ]


@given(
    st.lists(entries, max_size=8),
    st.lists(entries, max_size=3),
    st.sampled_from([None, "a"]),
    st.integers(0, 10),
)
def test_ranges_hold_what_a_scan_of_the_entries_holds(base, added, source, minimum):
    """Set algebra over feeds is only as good as the sets."""
    blocklist = Blocklist.from_entries(base).with_overlay(pack_entries(added), sequence=1)
    step = 1 << 18  # no network of the test is smaller
    blocks = [entry for entry in [*base, *added] if entry.disposition == "block" and entry.score >= minimum]
    wanted = [ip_network(entry.target) for entry in blocks if source is None or source in entry.sources]
    expected = {
        place
        for place in range(0x08000000, 0x10000000, step)
        if any(int(network[0]) <= place <= int(network[-1]) for network in wanted)
    }
    found = ranges(blocklist, source=source, minimum_score=minimum)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(found))
    covered = {place for first, last in found for place in range(first, last + 1, step)}
    assert {place for place in covered if 0x08000000 <= place < 0x10000000} == expected
    assert all(first % step == 0 and (last + 1) % step == 0 for first, last in found)


def test_sections_add_up_to_the_bytes_of_the_list():
    """`inspect` shows where they went."""
    overlaid = BLOCKLIST.with_overlay(pack_entries([Entry("10.9.0.0/16", origin="operator")]), sequence=1)
    for blocklist in (BLOCKLIST, overlaid):
        assert sum(size for _, _, size in blocklist.sections) == blocklist.stats["bytes"]
        files = [file for file, _, _ in blocklist.sections]
        assert not [name for _, name, _ in blocklist.sections if name.startswith("section")], "nameless"
        assert len({(file, name) for file, name, _ in blocklist.sections}) == len(files)
    assert {"overlay decision", "overlay evidence"} < {file for file, _, _ in overlaid.sections}


def test_a_builder_reads_what_a_builder_packed():
    """One form for one set of entries, in whatever order they were added."""
    forward, backward, again = Builder(), Builder(), Builder()
    for entry in ENTRIES:
        forward.add(entry)
    backward.add_list(Blocklist.from_entries(ENTRIES[::-1]))
    packed = forward.pack()
    assert packed == backward.pack() == pack_entries(ENTRIES)
    again.add_packed(packed)
    assert len(again) == len(ENTRIES)
    assert Counter(again.build().entries()) == Counter(ENTRIES) == Counter(unpack_entries(packed))


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"limit_entries": 7}, "7"), ({"limit_bytes": 100}, "100"), ({"limit_entries": -1}, "-1"),
     ({"limit_bytes": 2**200}, "out of range")],
)  # fmt: skip
def test_a_pack_beyond_the_limits_is_refused_and_nothing_is_added(limits, words):
    """The limit is the reader's, whoever wrote the pack."""
    builder = Builder()
    with pytest.raises(ValueError, match=words):
        builder.add_packed(pack_entries(ENTRIES), **limits)
    assert len(builder) == 0
    with pytest.raises(ValueError, match="packed entries"):
        builder.add_packed(b"SNTR")


def test_compact_domains_say_the_same_without_the_text():
    """The decision file of a worker then holds no names."""
    builder = Builder()
    for number in range(200):
        builder.add(Entry(f"name-{number}.example", score=4, sources=["a"]))
    plain, compact = builder.build(), builder.build(compact_domains=True)
    names = [f"www.name-{number}.example" for number in range(300)]
    plain_out, compact_out = bytearray(300), bytearray(300)
    assert plain.lookup_domain_batch(names, plain_out) == 200
    assert compact.lookup_domain_batch(names, compact_out) == 200
    assert plain_out == compact_out
    assert Counter(compact.entries()) == Counter(plain.entries())


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_survives_copying_and_pickling(entry):
    """It is a value; tests and queues treat it as one."""
    assert copy.copy(entry) == copy.deepcopy(entry) == pickle.loads(pickle.dumps(entry)) == entry


@pytest.mark.parametrize(
    "value", [BLOCKLIST, BLOCKLIST["10.0.0.1"], BLOCKLIST.explain("10.0.0.1"), Builder(), BLOCKLIST.entries()]
)
def test_what_belongs_to_a_list_is_not_copied(value):
    """A pickled list would be a second copy of what workers share; entries and packs travel instead."""
    for refused in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="pickle"):
            refused(value)


@pytest.mark.parametrize("value", [BLOCKLIST, BLOCKLIST["10.0.0.1"], ENTRIES[0]])
def test_instances_take_no_attributes(value):
    """What a lookup returns is shared by everyone who looks up."""
    with pytest.raises(AttributeError):
        value.score = 0
    with pytest.raises(AttributeError):
        value.note = "mine"
