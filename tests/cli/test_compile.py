"""`sentra-proxy compile`: what is written, what is said about the lines, what is refused."""

import json
import os
from pathlib import Path

import pytest

from fastmatch._native import Blocklist
from proxy.blocklist.evidence import evidence_beside


def test_lists_become_a_decision_file_and_its_evidence(sentra):
    """Both are what the control process would have written."""
    Path("bad.txt").write_text("# c\n198.51.100.0/24\nevil.example\n")
    status, printed, complaint = sentra("compile", "bad.txt", "-o", "out.bin")
    assert (status, complaint) == (0, "")
    assert printed.startswith("compiled 2 entries of 1 list in ")
    opened = Blocklist.open("out.bin", "out.evidence.bin")
    assert opened["198.51.100.7"].sources == ("bad",)
    assert opened.explain("www.evil.example").covering[0].entry.target == "evil.example"


def test_folder_is_read_as_quickstart_reads_it(sentra):
    """Formats told from names and lines, known-good lists in `allow`, other files named."""
    Path("lists/allow").mkdir(parents=True)
    Path("lists/hits.tsv").write_text("192.0.2.1\t9\n192.0.2.2\t3\n")
    Path("lists/allow/good.json").write_text('{"type": "cidr", "list": ["192.0.2.1"]}')
    Path("lists/README.md").write_text("what these are\n")
    status, printed, _ = sentra("compile", "lists", "-o", "out.bin", "--evidence", "why.bin")
    assert status == 0
    assert "misp, known_good  allow/good" in printed
    assert "left out: lists/README.md: not a list" in printed
    opened = Blocklist.open("out.bin", "why.bin")
    assert (opened.lookup("192.0.2.1"), opened["192.0.2.2"].score) == (None, 3.0)


def test_options_go_before_what_the_file_looks_like(sentra):
    Path("hosts").write_text("0.0.0.0 evil.example\n0.0.0.0 worse.example\n")
    options = ("--source", "mine", "--score", "6.5", "--kind", "suffix", "--category", "ads")
    assert sentra("compile", "hosts", "-o", "out.bin", *options)[0] == 0
    found = Blocklist.open("out.bin").lookup_domain("www.evil.example")
    assert found is not None
    assert (found.sources, found.score, found.categories) == (("mine",), 6.5, ("ads",))


def test_rejected_lines_are_counted_and_shown_without_their_control_characters(sentra):
    """A list from the internet must not be able to write on the operator's terminal."""
    lines = [f"192.0.2.{number}" for number in range(20)] + ["\x1b[2Jnot an entry"]
    Path("bad.txt").write_text("\n".join(lines))
    status, printed, _ = sentra("compile", "bad.txt", "-o", "out.bin")
    assert status == 0
    assert "line 21: '\\x1b[2Jnot an entry'" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize(
    "content",
    ["", "<html>\n<body>\n403 Forbidden</body>\n", "# nothing\n"],
    ids=["empty", "page", "comments"],
)
def test_list_that_is_none_is_refused_and_nothing_is_written(sentra, content: str):
    """A half-good set of lists must not look like a whole one."""
    Path("good.txt").write_text("192.0.2.1\n")
    Path("page.txt").write_text(content)
    status, printed, complaint = sentra("compile", "good.txt", "page.txt", "-o", "out.bin")
    assert (status, printed) == (1, "")
    assert "page.txt" in complaint
    assert not Path("out.bin").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("missing.txt", "-o", "out.bin"),
        ("a.txt", "-o", "out.bin", "--score", "11"),
        ("a.txt", "b.txt", "-o", "out.bin", "--source", "one"),
        ("empty", "-o", "out.bin"),
        ("a.txt", "-o", "out.bin", "--source", "a name with spaces\n"),
        ("a.txt", "-o", "out.bin", "--minimum-parsed", "5"),
        ("a.txt", "-o", "out.bin", "--minimum-parsed", "nan"),
        ("pipe", "-o", "out.bin"),
        ("a.txt", "-o", "out.bin", "--evidence", "./out.bin"),
        ("a.txt", "b.txt", "-o", "./b.txt"),
        ("a.txt", "-o", "out.bin", "--evidence", "a.txt"),
        (".", "-o", "a.txt"),
        ("a.txt", "-o", "empty"),
        ("a.txt", "-o", "pipe"),
    ],
    ids=[
        "missing",
        "score",
        "source of two",
        "empty folder",
        "bad source",
        "share",
        "no share",
        "piped list",
        "one file for both",
        "list as output",
        "list as evidence",
        "list of a folder",
        "folder",
        "pipe",
    ],
)
def test_wrong_usage_exits_with_two(sentra, arguments):
    Path("empty").mkdir()
    Path("a.txt").write_text("192.0.2.1\n")
    Path("b.txt").write_text("192.0.2.2\n")
    os.mkfifo("pipe")
    status, _, complaint = sentra("compile", *arguments)
    assert status == 2
    assert complaint
    assert Path("a.txt").read_text() + Path("b.txt").read_text() == "192.0.2.1\n192.0.2.2\n"
    assert not Path("out.bin").exists()
    assert Path("pipe").is_fifo()


def test_compact_domains_make_a_smaller_decision_file_with_the_same_verdicts(sentra):
    names = [f"long-name-number-{number}.evil.example" for number in range(2000)]
    Path("names.txt").write_text("\n".join(names))
    assert sentra("compile", "names.txt", "-o", "plain.bin")[0] == 0
    assert sentra("compile", "names.txt", "-o", "compact.bin", "--compact-domains")[0] == 0
    assert Path("compact.bin").stat().st_size < Path("plain.bin").stat().st_size / 2
    assert names[7] in Blocklist.open("compact.bin")


def test_folder_that_cannot_be_written_exits_with_one(sentra):
    Path("a.txt").write_text("192.0.2.1\n")
    status, _, complaint = sentra("compile", "a.txt", "-o", "no/such/folder/out.bin")
    assert status == 1
    assert "no/such/folder/out.bin: cannot be written" in complaint


def test_half_a_list_is_refused_with_each_line_named_once(sentra):
    Path("half.txt").write_text("192.0.2.1\nnot one\n192.0.2.2\nnor this\n")
    status, printed, complaint = sentra("compile", "half.txt", "-o", "out.bin")
    assert (status, printed) == (1, "")
    assert [complaint.count(f"line {number}: '") for number in range(1, 5)] == [0, 1, 0, 1]


def test_list_without_lines_may_be_meant(sentra):
    """A feed that has nothing today must not end a pipeline."""
    Path("none.txt").write_text("# none today\n")
    assert "set allow_empty" in sentra("compile", "none.txt", "-o", "out.bin")[2]
    assert sentra("compile", "none.txt", "-o", "out.bin", "--allow-empty")[0] == 0
    assert len(Blocklist.open("out.bin")) == 0


def test_summary_as_json_has_every_count(sentra):
    Path("a.txt").write_text("# c\n192.0.2.1\n192.0.2.2\n")
    Path("b/a.txt").parent.mkdir()
    Path("b/a.txt").write_text("192.0.2.3\n")
    summary = json.loads(sentra("compile", "a.txt", "b", "-o", "out.bin", "--json")[1])
    assert [(item["source"], item["accepted"], item["ignored"]) for item in summary["lists"]] == [
        ("a", 2, 1),
        ("a-2", 1, 0),
    ]
    assert (summary["entries"], summary["bytes"]["decision"]) == (3, Path("out.bin").stat().st_size)


@pytest.mark.parametrize(
    ("decision", "evidence"),
    [
        ("var/decision-7-12.bin", "var/evidence-7-12.bin"),
        ("bad.bin", "bad.evidence.bin"),
        ("bad", "bad.evidence"),
    ],
)
def test_evidence_lies_beside_its_decision_file(decision: str, evidence: str):
    assert evidence_beside(Path(decision)) == Path(evidence)
