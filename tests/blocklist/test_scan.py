"""Telling what a file is from its name and its first lines."""

import pytest

from proxy.blocklist import scan
from proxy.blocklist.scan import scan_folder


def only(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = scan_folder(folder, 8.0)
    return found.specs[0] if found.specs else None


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("bad.txt", b"# c\n192.0.2.1\nevil.example\n", ("plain", "suffix", None)),
        ("nets.cidr", b"192.0.2.0/24\n", ("plain", "suffix", None)),
        ("level1.netset", b"192.0.2.0/24\n", ("netset", "suffix", None)),
        ("saved.ipset", b"add x 192.0.2.1\n", ("netset", "suffix", None)),
        ("hosts", b"127.0.0.1\tevil.example\n0.0.0.0 b.example\n::1 c.example\n", ("hosts", "exact", None)),
        ("hits.tsv", b"# c\n192.0.2.1\t3\n192.0.2.2\t10\n", ("csv", "suffix", 1)),
        ("scored.csv", b"192.0.2.1,9.5,x\n192.0.2.2,2,y\n", ("csv", "suffix", 1)),
        ("ports.csv", b"192.0.2.1,8080\n192.0.2.2,443\n", ("csv", "suffix", None)),
        ("empty.txt", b"", ("plain", "suffix", None)),
        ("adblock.txt", b"! Title\n||evil.example^\n", ("plain", "suffix", None)),
    ],
)
def test_format_is_told_from_name_and_content(tmp_path, name, content, expected):
    spec = only(tmp_path, name, content)
    assert (spec.format, spec.kind, spec.score_column) == expected
    assert spec.disposition == "block"


def test_scores_up_to_a_hundred_are_tenths(tmp_path):
    """AbuseIPDB's confidence, for one."""
    spec = only(tmp_path, "confidence.csv", b"192.0.2.1,100\n192.0.2.2,25\n")
    assert spec.score_map is not None
    assert spec.score_map[25] == (25, 2.5)
    assert spec.score_map[100] == (100, 10)


def test_delimiter_is_told_from_the_lines(tmp_path):
    assert only(tmp_path, "hits", b"192.0.2.1;3\n192.0.2.2;4\n").delimiter == ";"


def test_folder_named_allow_holds_known_good_lists(tmp_path):
    """They veto the others; their JSON is MISP's."""
    spec = only(tmp_path, "allow/google.json", b"{}")
    assert (spec.source, spec.format, spec.disposition) == ("allow/google", "misp", "known_good")
    (tmp_path / "allow/mine.txt").write_text("example.com\n")
    assert {item.disposition for item in scan_folder(tmp_path, 8.0).specs} == {"known_good"}


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("README.md", b"# lists", "README.md: not a list"),
        ("LICENSE", b"MIT", "LICENSE: not a list"),
        ("list.gz", b"\x1f\x8b", "list.gz: not a list"),
        ("feed.json", b"{}", "feed.json: JSON is read as a warning list in allow/"),
        ("image.dat", b"a\0b", "image.dat: not text"),
    ],
)
def test_file_that_is_no_list_is_left_out_with_a_note(tmp_path, name, content, note):
    assert only(tmp_path, name, content) is None
    assert scan_folder(tmp_path, 8.0).notes == (note,)


def test_hidden_files_are_passed_over(tmp_path):
    """Kubernetes keeps the real files of a mounted ConfigMap in `..data`; editors keep theirs beside ours."""
    assert only(tmp_path, "..data/bad.txt", b"192.0.2.1\n") is None
    assert scan_folder(tmp_path, 8.0).notes == ()


def test_links_to_files_are_followed(tmp_path):
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data/bad.txt").write_text("192.0.2.1\n")
    (tmp_path / "bad.txt").symlink_to("..data/bad.txt")
    assert [spec.source for spec in scan_folder(tmp_path, 8.0).specs] == ["bad"]


def test_sources_get_names_of_their_own(tmp_path):
    """A verdict that names `bad` must mean one list."""
    for name in ("bad.txt", "bad.csv", "b a d!.txt"):
        (tmp_path / name).write_text("192.0.2.1\n")
    assert [spec.source for spec in scan_folder(tmp_path, 8.0).specs] == ["b-a-d", "bad", "bad-2"]


def test_missing_folder_is_a_note(tmp_path):
    found = scan_folder(tmp_path / "none", 8.0)
    assert found.specs == ()
    assert "is not a folder" in found.notes[0]


def test_number_of_lists_is_bounded(tmp_path, monkeypatch):
    """Somebody's home folder is not a folder of lists."""
    monkeypatch.setattr(scan, "_MAXIMUM_FILES", 2)
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text("192.0.2.1\n")
    found = scan_folder(tmp_path, 8.0)
    assert len(found.specs) == 2
    assert "more than 2 lists" in found.notes[0]
