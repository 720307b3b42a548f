"""Shared counters: what one process writes, another reads by descriptor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastmatch._native import COUNTERS, GAUGES, Downstream, Gate, GateConfig, Segment

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


def test_every_name_is_counted_from_zero():
    """/metrics is made from these names; a counter that appears late would look like a reset."""
    segment = Segment.create(3)
    assert segment.slots == 3
    assert segment.counters() == dict.fromkeys((*COUNTERS, *GAUGES), 0)
    assert not set(COUNTERS) & set(GAUGES)


def test_another_process_counts_into_its_slot():
    """Workers inherit the descriptor from the supervisor, which sums what they wrote."""
    segment = Segment.create(2)
    program = (
        "import sys\n"
        "from fastmatch._native import Segment\n"
        "segment = Segment.open(int(sys.argv[1]))\n"
        "segment.add(1, 'upstream_retries', 5)\n"
        "segment.add(1, 'tunnels_open', 2)\n"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", program, str(segment.fileno())],
        pass_fds=[segment.fileno()],
        cwd=root,
        check=True,
        timeout=30,
    )
    segment.add(0, "upstream_retries", 1)
    assert segment.counters()["upstream_retries"] == 6
    assert segment.slot_counters(1)["upstream_retries"] == 5
    segment.clear_gauges(1)
    after = segment.counters()
    assert (after["tunnels_open"], after["upstream_retries"]) == (0, 6)


def test_a_mapping_outlives_the_descriptor_it_was_opened_by():
    """`open` duplicates: closing the inherited number must not take the memory away."""
    first = Segment.create(1)
    inherited = os.dup(first.fileno())
    second = Segment.open(inherited)
    os.close(inherited)
    second.add(0, "connections", 1)
    assert first.counters()["connections"] == 1
    assert second.fileno() not in (first.fileno(), inherited)


def test_what_is_no_segment_is_refused(tmp_path):
    """A wrong descriptor must stop the start and not be written to."""
    path = tmp_path / "file"
    path.write_bytes(b"\0" * 65536)
    with path.open("r+b") as file, pytest.raises((OSError, ValueError)):
        Segment.open(file.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        Segment.open(-1)
    for slots in (0, 100_000):
        with pytest.raises(ValueError, match="slots"):
            Segment.create(slots)
    for entries in (0, 1 << 25):
        with pytest.raises(ValueError, match="limit entries"):
            Segment.create(1, limit_entry_count=entries)


def test_wrong_names_and_slots_are_refused():
    """A typing mistake in a counter's name must not vanish silently."""
    segment = Segment.create(1)
    with pytest.raises(ValueError, match="no_such_counter"):
        segment.add(0, "no_such_counter", 1)
    with pytest.raises(ValueError, match="denied"):
        segment.add(0, "denied", -1)
    with pytest.raises(KeyError):
        segment.histogram("other_seconds")  # type: ignore[arg-type]  # the wrong name is the case
    for call in (segment.clear_gauges, segment.slot_counters):
        with pytest.raises(IndexError):
            call(1)
    with pytest.raises(IndexError):
        Gate(GateConfig(), segment, 1)


def test_histograms_count_what_the_codecs_measured():
    """The bounds are seconds, ascending; a request of ours takes far less than one."""
    segment = Segment.create(1)
    gate = Gate(GateConfig(on_missing="open"), segment, 0)
    client = Downstream(gate, "198.51.100.1")
    for _ in range(5):
        client.head(GET)
        client.end(502)
    buckets = segment.histogram("request_seconds")
    assert sum(count for _, count in buckets) == 5
    bounds = [bound for bound, _ in buckets]
    assert bounds == sorted(bounds)
    assert all(0 < bound < 1 for bound in bounds)
    assert segment.histogram("upstream_seconds") == []
