"""What the build bench measures ends in a list that holds what went in."""

from pathlib import Path

import pytest

from bench import build, entries, lists
from bench.report import Report
from fastmatch import Blocklist, Entry


@pytest.fixture(scope="module")
def mixed() -> tuple[entries.ListText, ...]:
    return tuple(entries.mixed_lists(2000))


def test_texts_and_packed_entries_give_the_same_list(tmp_path: Path, mixed: tuple[entries.ListText, ...]):
    """Else one of the two figures would be for less work."""
    found: list[set[Entry]] = []
    for work in (
        lambda: build.from_texts(mixed, tmp_path),
        lambda: build.from_packed(build.packed(mixed), tmp_path),
    ):
        work()
        decision, evidence = lists.decision_file(tmp_path, "built"), lists.evidence_file(tmp_path, "built")
        found.append(set(Blocklist.open(str(decision), str(evidence)).entries()))
    assert len(found[0]) == 2000
    assert found[0] == found[1]


@pytest.mark.parametrize("count", [1, 100, 4096])
def test_operators_entries_are_as_many_as_named_and_distinct(count: int):
    """Two entries for one target would be one in the overlay."""
    targets = [entry.target for entry in build._operators_entries(count)]
    assert len(set(targets)) == len(targets) == count


def test_a_row_that_ran_once_has_no_interval_and_no_ratio():
    """One measurement says nothing about the next."""
    report = Report("build", {})
    ours = build.Case("sentra", "x", "seconds", lambda: None, values=[1.0, 2.0], cpu_values=[0.5, 0.5])
    once = build.Case("slow", "x", "seconds", lambda: None, values=[9.0], cpu_values=[9.0])
    peer = build.Case("peer", "x", "seconds", lambda: None, values=[2.0, 4.0], cpu_values=[2.0, 4.0])
    build.add_rows(report, [ours, once, peer])
    assert [(row.subject, row.metric, row.low) for row in report.rows if row.subject == "slow"] == [
        ("slow", "seconds", None)
    ]
    assert {name: ratio.value for name, ratio in report.ratios.items()} == {"build.seconds.x.vs_peer": 0.5}
