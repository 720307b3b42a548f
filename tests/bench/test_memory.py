"""What a process is said to hold is what it holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import entries, lists, memory, memory_child


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    addresses = entries.seeded_addresses(100_000)
    lists.lines_file(tmp_path, "hosts").write_bytes(entries.address_text(addresses) + b"\n")
    lists.open_list(tmp_path, "hosts", lists.address_texts(addresses))
    return tmp_path


def test_numbers_and_texts_of_a_list_file_are_its_addresses(folder: Path):
    """A peer that gets fewer would weigh less."""
    addresses = entries.seeded_addresses(100_000)
    lines = lists.lines_file(folder, "hosts")
    assert list(memory_child._numbers(lines)) == addresses
    assert list(memory_child._texts(lines)) == list(map(entries.dotted, addresses))


def test_a_set_weighs_what_its_table_and_its_texts_take(folder: Path):
    """Known beforehand: 58 bytes a text, rounded to 64, and 16 to 64 for its place."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory_child", "hold", "set", str(folder), "hosts"],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert 80 < json.loads(done.stdout)["resident_bytes"] / 100_000 < 160


def test_two_processes_share_a_mapped_list(folder: Path):
    """A copy of each would be twice the size of one."""
    decision = lists.decision_file(folder, "hosts")
    with memory.Holder(decision) as first:
        alone = memory.proportional_bytes(first.process_id, decision)
        assert alone >= decision.stat().st_size // 4096 * 4096
        with memory.Holder(decision) as second:
            both = [memory.proportional_bytes(it.process_id, decision) for it in (first, second)]
    assert alone * 0.99 <= sum(both) <= alone * 1.1


def test_a_process_that_cannot_map_says_so(tmp_path: Path):
    """The figure of a process that maps nothing would be zero."""
    with pytest.raises(RuntimeError, match="ended with"), memory.Holder(tmp_path / "none"):
        pass
