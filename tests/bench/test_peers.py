"""A peer that answers wrongly would be measured for work that it does not do."""

from pathlib import Path

import maxminddb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import __main__ as command
from bench import entries
from bench.peers import matchers, mmdb

# Few upper bits, so that addresses share prefixes of every length.
_ADDRESSES = st.sets(st.one_of(st.integers(0, 255), st.integers(0, 2**32 - 1)), max_size=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mmdb")


@given(listed=_ADDRESSES, others=_ADDRESSES)
def test_a_written_file_holds_exactly_the_listed_addresses(folder: Path, listed: set[int], others: set[int]):
    """Read by the reader that is measured, and by the one in Python."""
    path = folder / "hosts.mmdb"
    mmdb.write(path, listed, {"score": 8})
    for mode in (maxminddb.MODE_MMAP_EXT, maxminddb.MODE_FILE):
        with maxminddb.open_database(path, mode) as reader:
            for address in listed | others:
                expected = {"score": 8} if address in listed else None
                assert reader.get(entries.dotted(address)) == expected


def test_nodes_are_as_many_as_distinct_prefixes(folder: Path):
    """Room for one node more or less moves every record's place."""
    listed = entries.seeded_addresses(500)
    mmdb.write(folder / "count.mmdb", listed, {"score": 8})
    with maxminddb.open_database(folder / "count.mmdb") as reader:
        expected = sum(len({address >> 32 - depth for address in listed}) for depth in range(32))
        assert reader.metadata().node_count == expected


def test_a_map_too_large_for_the_short_form_is_refused():
    """A wrong size would be read as something else."""
    with pytest.raises(ValueError, match="29"):
        mmdb.encode([1], {f"key{number}": 1 for number in range(29)})


def test_names_are_listed_with_everything_below_them_and_nothing_beside_them():
    """The same rule as our suffix rule, or the peers would do less."""
    is_listed = matchers.suffix_set(["bad.test", "deep.er.test"])
    questions = ("bad.test", "www.bad.test", "a.b.deep.er.test", "er.test", "notbad.test", "test")
    assert [bool(is_listed(name)) for name in questions] == [True, True, True, False, False, False]


def test_a_missing_peer_ends_the_bench_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A row less would look like a bench that has no such peer."""
    monkeypatch.setitem(command._PACKAGES, "lookup", ("no_such_peer",))
    assert command.main(["lookup", "--quick"]) == 2
    assert "bench lookup needs no_such_peer" in capsys.readouterr().err
