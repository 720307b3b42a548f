"""`sentra-proxy inspect`: what it says of a file, and of one that is damaged."""

import json
from pathlib import Path

import pytest

from fastmatch._native import Builder, Entry


def write(name: str = "out.bin", *more: Entry, evidence: bool = True) -> Path:
    builder = Builder()
    entries = (
        Entry("198.51.100.0/24", score=8, sources=["a"], categories=["scan"]),
        Entry("198.51.100.7", score=8, sources=["a"], categories=["scan"]),
        Entry("198.51.100.0/25", score=6.5, sources=["b"]),
        Entry("192.0.2.1", disposition="known_good", sources=["good"]),
        Entry("2001:db8::/32", score=9, sources=["b"]),
        Entry("evil.example", score=10, sources=["names\x1b[2J"]),
    )
    for entry in (*entries, *more):
        builder.add(entry)
    path = Path(name)
    builder.write(name, f"{path.stem}.evidence.bin", epoch=7, sequence=3, now=1_700_000_000)
    if not evidence:
        Path(f"{path.stem}.evidence.bin").unlink()
    return path


def test_file_is_described(sentra):
    status, printed, complaint = sentra("inspect", write())
    assert (status, complaint) == (0, "")
    lines = printed.splitlines()
    assert lines[0].startswith("out.bin: epoch 7, sequence 3, compiled 2023-11-14 22:13:20 UTC, ")
    assert lines[1:3] == ["every checksum is right", "6 entries: 4 IPv4, 1 IPv6, 1 domains"]
    rows = [line.split() for line in lines]
    assert ["2", "block", "8", "a", "scan"] in rows
    assert ["1", "known_good", "good", "-"] in rows
    assert "names\\x1b[2J" in printed
    assert "\x1b" not in printed


def test_sections_add_up_to_the_files(sentra):
    path = write()
    answer = json.loads(sentra("inspect", path, "--json")[1])
    assert {item["file"] for item in answer["sections"]} == {"decision", "evidence"}
    counted = sum(item["bytes"] for item in answer["sections"])
    assert 0 < counted <= path.stat().st_size + Path("out.evidence.bin").stat().st_size
    assert (answer["verified"], answer["version"]) == (True, {"epoch": 7, "sequence": 3})


def test_without_evidence_numbers_are_not_made_up(sentra):
    path = write(evidence=False)
    status, printed, _ = sentra("inspect", path)
    assert status == 0
    assert "no evidence beside it" in printed
    assert "?  block 8" in printed
    answer = json.loads(sentra("inspect", path, "--json")[1])
    assert answer["evidence"] is None
    assert {item["entries"] for item in answer["verdicts"]} == {None}
    status, _, complaint = sentra("inspect", path, "--overlap")
    assert status == 1
    assert "overlap needs the evidence" in complaint


def test_overlap_of_sources_is_shown(sentra):
    status, printed, _ = sentra("inspect", write(), "--overlap")
    assert status == 0
    assert "IPv4 addresses listed: 256 in 1 /24s" in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["256", "1", "128", "a"] in rows
    assert "128     1  50.0 % of a and 100.0 % of b" in printed
    overlap = json.loads(sentra("inspect", "out.bin", "--overlap", "--json")[1])["overlap"]
    assert overlap["pairs"] == [
        {"first": "a", "second": "b", "addresses": 128, "networks24": 1, "jaccard": 0.5}
    ]


def test_damaged_file_is_named_and_exits_with_one(sentra):
    """One bit anywhere; a worker would not look so closely."""
    path = write()
    content = bytearray(path.read_bytes())
    path.unlink()
    content[-1] ^= 1
    path.write_bytes(content)
    status, printed, complaint = sentra("inspect", path)
    assert (status, printed) == (1, "")
    assert complaint.startswith("out.bin: ")


def test_long_verdict_tables_are_cut(sentra):
    more = [Entry(f"10.0.0.{number}", score=8, sources=[f"s{number}"]) for number in range(60)]
    printed = sentra("inspect", write("out.bin", *more))[1]
    assert "and 25 more; --json shows all" in printed
    assert len(json.loads(sentra("inspect", "out.bin", "--json")[1])["verdicts"]) == 65


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("no.bin",), "no.bin: No such file or directory\n"),
        (("folder",), "folder: is not a file\n"),
        (("short",), "short: header: the file is too short, 5 bytes of 96\n"),
        (("out.bin", "--evidence", "no.bin"), "no.bin: No such file or directory\n"),
        (("out.bin", "--evidence", "short"), "short: header: the file is too short, 5 bytes of 96\n"),
    ],
    ids=["missing", "folder", "short", "missing evidence", "short evidence"],
)
def test_file_at_fault_is_named_once(sentra, arguments, complaint: str):
    write()
    Path("folder").mkdir()
    Path("short").write_text("short")
    assert sentra("inspect", *arguments) == (1, "", complaint)


def test_small_share_is_not_shown_as_none(sentra):
    """A cloud's networks outnumber every host in them."""
    write(
        "out.bin", Entry("10.0.0.0/8", score=8, sources=["wide"]), Entry("10.1.2.3", score=8, sources=["one"])
    )
    assert "1     1  < 0.1 % of wide and 100.0 % of one" in sentra("inspect", "out.bin", "--overlap")[1]
