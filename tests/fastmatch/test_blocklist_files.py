"""List files and packs: whole or refused, damaged in any way harmless."""

from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch import Blocklist, Builder, Entry, pack_entries, unpack_entries

ENTRIES = [
    Entry("10.0.0.0/8", score=8, sources=["one"], reason="because"),
    Entry("10.1.0.0/16", disposition="known_good"),
    Entry("10.1.2.3", score=9, origin="operator", expires=100),
    Entry("2001:db8::/32", score=5),
    Entry("example.com", score=7, categories=["kind"]),
    Entry("a.example.com", disposition="allow", kind="exact"),
]


@pytest.fixture
def files(tmp_path):
    builder = Builder()
    for entry in ENTRIES:
        builder.add(entry)
    decision, evidence = tmp_path / "decision.bin", tmp_path / "evidence.bin"
    builder.write(str(decision), str(evidence), epoch=1, sequence=2, now=3)
    return decision, evidence


def replace(path: Path, content: bytes) -> None:
    """As a file of the same name that somebody damaged: a mapped one is never written to."""
    path.unlink()
    path.write_bytes(content)


def use(blocklist: Blocklist) -> None:
    for address in ["10.1.2.3", "10.0.0.0", "2001:db8::1", "255.255.255.255", "::"]:
        blocklist.lookup(address)
    for name in ["example.com", "a.example.com", "b.a.example.com", "org"]:
        blocklist.lookup_domain(name)
        blocklist.explain(name)
    blocklist.explain("10.1.2.3")


@given(data=st.data())
def test_a_flipped_byte_is_refused_when_verified_and_harmless_when_not(tmp_path_factory, data):
    """Whoever wrote the files verifies them once; workers check the head only."""
    builder = Builder()
    for entry in ENTRIES:
        builder.add(entry)
    folder = tmp_path_factory.mktemp("lists")
    paths = folder / "decision.bin", folder / "evidence.bin"
    builder.write(*map(str, paths))
    path = data.draw(st.sampled_from(paths))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    replace(path, bytes(content))
    with pytest.raises(ValueError, match=f"^{folder}"):
        Blocklist.open(*map(str, paths), verify=True)
    try:
        unverified = Blocklist.open(*map(str, paths), prefault=data.draw(st.booleans()))
        use(unverified)
    except ValueError:
        pass


def test_a_file_cut_anywhere_is_refused(files):
    """A full disk leaves such files behind when somebody copies them by hand."""
    decision, evidence = files
    whole = decision.read_bytes()
    for length in [0, 1, 8, 95, 96, 200, len(whole) // 2, len(whole) - 1]:
        replace(decision, whole[:length])
        with pytest.raises(ValueError, match=r"header|length|short"):
            Blocklist.open(str(decision), str(evidence), prefault=False)


def test_files_of_two_compilations_do_not_fit(files, tmp_path):
    """Evidence of another version would explain what nobody decided."""
    decision, evidence = files
    other = Builder()
    other.write(str(tmp_path / "d"), str(tmp_path / "e"), epoch=1, sequence=2, now=3)
    with pytest.raises(ValueError, match="decision and evidence file"):
        Blocklist.open(str(decision), str(tmp_path / "e"))
    with pytest.raises(ValueError, match="magic"):
        Blocklist.open(str(evidence), str(decision))


def test_a_list_without_evidence_judges_but_does_not_explain(files):
    """Workers map the decision file only."""
    blocklist = Blocklist.open(str(files[0]))
    assert blocklist["10.1.2.3"].score == 9
    assert blocklist.stats == {
        "ipv4": 3, "ipv6": 1, "domains": 2, "overlay": 0, "verdicts": 5, "bytes": files[0].stat().st_size,
    }  # fmt: skip
    with pytest.raises(LookupError, match="evidence"):
        blocklist.explain("10.1.2.3")


def test_a_missing_file_is_an_os_error(tmp_path):
    """Not there yet is another case than damaged."""
    with pytest.raises(FileNotFoundError):
        Blocklist.open(str(tmp_path / "none.bin"))
    with pytest.raises(FileNotFoundError):
        Builder().write(str(tmp_path / "none" / "d"), str(tmp_path / "none" / "e"))
    with pytest.raises(IsADirectoryError):
        Builder().write(str(tmp_path), str(tmp_path / "e"))


def test_a_replaced_file_leaves_the_mapped_one_alone(files):
    """Workers go on with the old list until they swap."""
    decision, evidence = files
    mapped = Blocklist.open(str(decision), str(evidence))
    Builder().write(str(decision), str(evidence), sequence=9)
    assert mapped["10.1.2.3"].score == 9
    assert Blocklist.open(str(decision), str(evidence)).lookup("10.1.2.3") is None
    assert decision.stat().st_mode & 0o222 == 0


def test_a_failed_write_leaves_no_file_behind(tmp_path):
    """Half a list is no list."""
    (tmp_path / "d").mkdir()
    with pytest.raises(IsADirectoryError):
        Builder().write(str(tmp_path / "d"), str(tmp_path / "e"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "e"]


packs = pack_entries(ENTRIES)


@given(st.integers(0, len(packs) - 1), st.integers(1, 255))
def test_a_flipped_byte_in_a_pack_is_refused(position, flip):
    """What came through the store is checked before it is believed."""
    damaged = bytearray(packs)
    damaged[position] ^= flip
    base = Blocklist.from_entries([])
    with pytest.raises(ValueError, match=r"offset \d+: "):
        unpack_entries(bytes(damaged))
    with pytest.raises(ValueError, match=r"offset \d+: "):
        base.with_overlay(bytes(damaged), sequence=1)


@given(st.binary(max_size=200) | st.integers(0, len(packs) - 1).map(lambda length: packs[:length]))
def test_anything_that_is_no_pack_is_refused(packed):
    """Truncated, empty, or something else altogether."""
    with pytest.raises(ValueError, match=r"offset \d+: "):
        unpack_entries(packed)


def test_a_pack_is_read_up_to_the_limit():
    """A writer gone wrong must not fill the memory."""
    assert set(unpack_entries(packs, limit=len(ENTRIES))) == set(ENTRIES)
    with pytest.raises(ValueError, match="limit"):
        unpack_entries(packs, limit=len(ENTRIES) - 1)
    with pytest.raises(ValueError, match=r"behind|long"):
        unpack_entries(packs + b"\0")
    assert unpack_entries(pack_entries([])) == []


def test_a_builder_takes_a_pack_whole_or_not_at_all():
    """A store's snapshot goes into the compiler without an object for each entry."""
    builder = Builder()
    builder.add(Entry("198.51.100.1", score=1))
    builder.add_packed(packs)
    whole = builder.pack()
    assert whole == pack_entries([*ENTRIES, Entry("198.51.100.1", score=1)])
    for damaged in [packs[:-1], packs + b"\0", packs[:8] + b"\3" + packs[9:]]:
        with pytest.raises(ValueError, match=r"packed entries, offset \d+: "):
            builder.add_packed(damaged)
    with pytest.raises(ValueError, match=f"{len(ENTRIES)} entries, the limit is 5"):
        builder.add_packed(packs, limit_entries=5)
    with pytest.raises(ValueError, match=f"{len(packs)} bytes, the limit is 100"):
        builder.add_packed(packs, limit_bytes=100)
    assert builder.pack() == whole
    assert builder.build()["198.51.100.1"].score == 1


def test_readers_see_whole_lists_while_they_are_replaced(tmp_path):
    """Rename is the only moment of change."""
    paths = [str(tmp_path / name) for name in ("d", "e")]

    def write(sequence: int) -> None:
        builder = Builder()
        for number in range(50):
            builder.add(Entry(f"10.{sequence % 200}.{number}.0/24", sources=[str(sequence)]))
        builder.write(*paths, sequence=sequence)

    write(0)
    stop = Event()

    def keep_writing() -> None:
        for sequence in range(1, 60):
            write(sequence)
        stop.set()

    writer = Thread(target=keep_writing)
    writer.start()
    opened = 0
    while not stop.is_set() or opened == 0:
        blocklist = Blocklist.open(paths[0])
        sequence = blocklist.version[1]
        assert blocklist[f"10.{sequence % 200}.49.1"].sources == (str(sequence),)
        opened += 1
    writer.join(timeout=5)
