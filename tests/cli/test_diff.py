"""`sentra-proxy diff`: what came, went and changed, against Python's own sets."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch._native import Blocklist, Builder, Entry
from proxy.blocklist.difference import difference
from tests.support import listed
from tests.support.oracle import Listed


def write(name: str, *entries: Entry, evidence: bool = True) -> None:
    builder = Builder()
    for entry in entries:
        builder.add(entry)
    builder.write(name, f"{Path(name).stem}.evidence.bin", now=1_700_000_000)
    if not evidence:
        Path(f"{Path(name).stem}.evidence.bin").unlink()


BEFORE = (
    Entry("198.51.100.0/24", score=8, sources=["a"]),
    Entry("192.0.2.1", score=3, sources=["b"], reason="seen"),
    Entry("gone.example", score=9, sources=["names"]),
)
AFTER = (
    Entry("198.51.100.0/24", score=8, sources=["a"]),
    Entry("192.0.2.1", score=7.5, sources=["b"], reason="seen\x1b[2J"),
    Entry("203.0.113.0/28", score=9, sources=["a"]),
)


def test_difference_is_printed(sentra):
    write("a.bin", *BEFORE)
    write("b.bin", *AFTER)
    status, printed, complaint = sentra("diff", "a.bin", "b.bin")
    assert (status, complaint) == (0, "")
    assert printed == (
        "a.bin: 2 IPv4, 0 IPv6, 1 domains, compiled 2023-11-14 22:13:20 UTC\n"
        "b.bin: 3 IPv4, 0 IPv6, 0 domains, compiled 2023-11-14 22:13:20 UTC\n"
        "\n"
        "entries: 1 added, 1 removed, 1 changed\n"
        "IPv4 addresses listed:\n"
        "  257  in  2  /24s  before\n"
        "  273  in  3  /24s  after\n"
        "   16  in  1  /24s  newly covered\n"
        "    0  in  0  /24s  no longer covered\n"
        "\n"
        "by source:\n"
        "  added  removed  changed  newly covered  no longer  source\n"
        "      1        0        0             16          0  a\n"
        "      0        0        1              0          0  b\n"
        "      0        1        0              0          0  names\n"
        "\n"
        "added:\n  + 203.0.113.0/28  block 9  feed a\n"
        "\n"
        "removed:\n  - gone.example  block 9  feed names\n"
        "\n"
        "changed:\n"
        "  ~ 192.0.2.1/32  block 3  feed b  seen\n"
        "  > 192.0.2.1/32  block 7.5  feed b  seen\\x1b[2J\n"
    )


def test_same_files_do_not_differ(sentra):
    write("a.bin", *BEFORE)
    write("b.bin", *BEFORE)
    printed = sentra("diff", "a.bin", "b.bin")[1]
    assert "0 added, 0 removed, 0 changed" in printed
    assert "by source" not in printed


def test_limit_bounds_what_is_shown_not_what_is_counted(sentra):
    write("a.bin")
    write("b.bin", *(Entry(f"10.0.{number}.0/24", score=8, sources=["a"]) for number in range(30)))
    answer = json.loads(sentra("diff", "a.bin", "b.bin", "--json", "--limit", "3")[1])
    assert (answer["entries"]["added"]["count"], len(answer["entries"]["added"]["first"])) == (30, 3)
    assert answer["addresses"]["newly_covered"] == {"addresses": 30 * 256, "networks24": 30}
    assert "added, the first 3 of 30:" in sentra("diff", "a.bin", "b.bin", "--limit", "3")[1]


def test_without_evidence_only_counts_are_compared_and_that_is_said(sentra):
    write("a.bin", *BEFORE, evidence=False)
    write("b.bin", *AFTER)
    status, printed, _ = sentra("diff", "a.bin", "b.bin")
    assert status == 0
    assert "no evidence beside a.bin: entries and coverage cannot be compared, only counts" in printed
    answer = json.loads(sentra("diff", "a.bin", "b.bin", "--json")[1])
    assert (answer["without_evidence"], answer["entries"], answer["addresses"]) == (["a.bin"], None, None)


@pytest.mark.parametrize(("names", "expected"), [(("a.bin", "no.bin"), 1), (("text", "a.bin"), 1)])
def test_file_that_cannot_be_used_exits_with_one(sentra, names, expected):
    write("a.bin", *BEFORE)
    Path("text").write_text("no list")
    status, printed, complaint = sentra("diff", *names)
    assert (status, printed) == (expected, "")
    assert complaint


def test_negative_limit_exits_with_two(sentra):
    write("a.bin")
    assert sentra("diff", "a.bin", "a.bin", "--limit", "-1")[0] == 2


def key(one: Listed) -> tuple[object, ...]:
    return (one.target, one.kind, one.disposition, one.origin, one.sources)


@given(st.lists(listed.listed, max_size=12), st.lists(listed.listed, max_size=12), st.integers(0, 20))
def test_difference_is_that_of_the_sets(before: list[Listed], after: list[Listed], limit: int):
    """Nested, repeated and equal targets among them."""
    old, new = ({listed.canonical(one) for one in side} for side in (before, after))
    found = difference(
        Blocklist.from_entries(listed.entries_of(before)),
        Blocklist.from_entries(listed.entries_of(after)),
        limit,
    )
    changed = {key(one) for one in old - new} & {key(one) for one in new - old}
    added = [one for one in new - old if key(one) not in changed]
    removed = [one for one in old - new if key(one) not in changed]
    assert (found.added.count, found.removed.count, found.changed.count) == (
        len(added),
        len(removed),
        len(changed),
    )
    assert len(found.added.first) == min(limit, len(added))
    assert {listed.shown(entry) for entry in found.added.first} <= set(added)
    assert {listed.shown(entry) for entry in found.removed.first} <= set(removed)
    assert len(found.changed.first) == len(found.changed_before) == min(limit, len(changed))
    for was, now in zip(found.changed_before, found.changed.first, strict=True):
        assert key(listed.shown(was)) == key(listed.shown(now))
        assert listed.shown(was) in old - new
        assert listed.shown(now) in new - old


def test_of_very_many_sources_those_that_changed_most_are_shown(sentra):
    """A cut in the order of the alphabet, without a word, left out the one that mattered."""
    kept = [Entry(f"10.0.0.{number}", score=8, sources=[f"s{number:03}"]) for number in range(100)]
    write("a.bin", *kept)
    write("b.bin", *kept, Entry("192.0.2.1", score=8, sources=["z"]))
    printed = sentra("diff", "a.bin", "b.bin")[1]
    assert "      1        0        0              1          0  z\n" in printed
    assert "and 37 sources that changed less" in printed
