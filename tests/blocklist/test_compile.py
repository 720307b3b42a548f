"""Lists through the real compiler: what is refused, what it falls back on, what lands on disk."""

import os
import threading

import pytest

from proxy.blocklist.compile import base_files, gather, lower_priority, open_base, write_base
from proxy.blocklist.files import ListSpec, digest_of
from proxy.blocklist.kept import KeptTexts
from proxy.errors import ListError


class Folder:
    """List files, their kept texts and compiled output."""

    def __init__(self, path):
        self.path = path
        self.kept = KeptTexts(path / "kept")
        self.version = 0

    def spec(self, name, content=None, **values):
        path = self.path / name
        if content is not None:
            path.write_bytes(content)
        return ListSpec(path, name, **values)

    def gather(self, *specs, shields=(), minimum=0.9):
        return gather(specs, shields, self.kept, minimum)

    def compile(self, *specs, **options):
        self.version += 1
        return write_base(self.gather(*specs, **options).builder, self.path / "out", 5, self.version, 1000)[1]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_entries_of_all_lists_are_in_one_base(folder):
    blocklist = folder.compile(
        folder.spec("a", b"192.0.2.0/24\n"),
        folder.spec("b", b"0.0.0.0 evil.example\n", format="hosts", kind="exact", score=7.5),
        folder.spec("c", b"198.51.100.7,9\n", format="csv", score_column=1),
    )
    assert blocklist.lookup("192.0.2.9").sources == ("a",)
    assert blocklist.lookup_domain("evil.example").score == 7.5
    assert blocklist.lookup_domain("x.evil.example") is None
    assert blocklist.lookup("198.51.100.7").score == 9.0
    assert blocklist.version == (5, 1)
    assert blocklist.created == 1000


def test_shields_veto_what_feeds_block(folder):
    """Published lists hold 10.0.0.0/8; behind a balancer that is every client."""
    blocklist = folder.compile(
        folder.spec("a", b"10.0.0.0/8\n192.0.2.1\n"), shields=[("10.0.0.0/8", "private")]
    )
    assert blocklist.lookup("10.1.2.3") is None
    assert blocklist.lookup("192.0.2.1") is not None
    (shield, vetoed) = sorted(
        blocklist.explain("10.1.2.3").covering, key=lambda item: item.entry.disposition
    )[::-1]
    assert (shield.entry.sources, shield.entry.reason) == (("never-block",), "private")
    assert vetoed.is_vetoed


def test_accepted_text_is_kept_and_used_when_the_file_breaks(folder):
    """Also when only another list changed since."""
    folder.compile(folder.spec("a", b"192.0.2.1\n"))
    gathered = folder.gather(folder.spec("a", b""), folder.spec("b", b"192.0.2.2\n"))
    assert [outcome.accepted_count for outcome in gathered.outcomes] == [1, 1]
    assert "has no entry; set allow_empty" in gathered.outcomes[0].refusal
    assert gathered.outcomes[0].digest == digest_of(b"192.0.2.1\n")
    assert gathered.outcomes[1].refusal is None


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", "has no entry"),
        (b"# only a comment\n", "has no entry"),
        (b"<!doctype html>\n<p>403 Forbidden</p>\n", "has 2 lines and none is an entry"),
        (
            b"192.0.2.1\n999.1.1.1\na b c\n",
            "only 33% of 3 lines are entries, the limit is 90%; line 2: '999.1.1.1'",
        ),
    ],
)
def test_broken_text_is_refused_with_its_first_bad_line(folder, content, refusal):
    """A 145-byte error page once wiped a published blocker."""
    (outcome,) = folder.gather(folder.spec("a", content)).outcomes
    assert refusal in outcome.refusal
    assert outcome.digest is None


def test_lines_of_a_refused_text_are_not_in_the_base(folder):
    """They were in the builder already when it was judged."""
    bad = folder.spec("a", b"192.0.2.1\nx y z\nx y z\n")
    blocklist = folder.compile(bad, folder.spec("b", b"192.0.2.2\n"))
    assert blocklist.lookup("192.0.2.1") is None
    assert blocklist.lookup("192.0.2.2") is not None


def test_few_bad_lines_are_reported_not_fatal(folder):
    (outcome,) = folder.gather(folder.spec("a", b"192.0.2.1\nx y z\n"), minimum=0.5).outcomes
    assert outcome.refusal is None
    assert (outcome.accepted_count, outcome.rejected_count) == (1, 1)
    assert outcome.rejected[0][0] == 2


def test_list_may_be_empty_when_that_is_allowed(folder):
    """Feodo's list really went to zero."""
    (outcome,) = folder.gather(folder.spec("a", b"# none today\n", allow_empty=True)).outcomes
    assert outcome.refusal is None
    assert outcome.digest is not None


def test_list_of_garbage_is_refused_even_when_it_may_be_empty(folder):
    (outcome,) = folder.gather(folder.spec("a", b"x y z\n", allow_empty=True)).outcomes
    assert "none is an entry" in outcome.refusal


def test_missing_list_takes_nothing_from_the_others(folder):
    gathered = folder.gather(folder.spec("gone"), folder.spec("b", b"192.0.2.2\n"))
    assert "cannot be read" in gathered.outcomes[0].refusal
    assert gathered.outcomes[0].digest is None
    assert gathered.outcomes[1].accepted_count == 1


def test_no_lists_make_an_empty_base(folder):
    """Operators' entries need something to lie on."""
    blocklist = folder.compile()
    assert len(blocklist) == 0
    assert blocklist.lookup("192.0.2.1") is None


def test_written_base_is_checked_before_it_is_used(folder, tmp_path):
    folder.compile(folder.spec("a", b"192.0.2.1\n"))
    files = base_files(tmp_path / "out", 5, 1)
    other = base_files(tmp_path / "out", 5, 2)
    files.decision.rename(other.decision)
    files.evidence.rename(other.evidence)
    with pytest.raises(ListError, match="says version"):
        open_base(other)
    other.decision.write_bytes(b"garbage" * 100)
    with pytest.raises(ListError, match=r"decision-5-2\.bin"):
        open_base(other)
    with pytest.raises(OSError, match=r"decision-5-1\.bin|No such file"):
        open_base(files)


def test_compile_thread_is_nice_and_only_it():
    """On Linux niceness belongs to a thread; the loop's own must not sink with it."""
    found = []

    def compiling():
        lower_priority()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=compiling)
    thread.start()
    thread.join()
    assert found == [10]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
