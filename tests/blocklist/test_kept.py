"""Last good texts, and files that are replaced in one step."""

import pytest

from proxy.blocklist.kept import KeptTexts, write_atomically
from proxy.errors import ListError


def test_text_is_there_after_a_restart(tmp_path):
    KeptTexts(tmp_path / "kept").save("a/b", b"text")
    assert KeptTexts(tmp_path / "kept").load("a/b") == b"text"


def test_same_text_is_not_written_again(tmp_path):
    """Twenty megabytes with a sync, at every compile, for nothing."""
    kept = KeptTexts(tmp_path)
    kept.save("a", b"text")
    (path,) = tmp_path.iterdir()
    inode = path.stat().st_ino
    kept.save("a", b"text")
    assert path.stat().st_ino == inode
    kept.save("a", b"tex2")
    assert path.stat().st_ino != inode
    assert kept.load("a") == b"tex2"


def test_list_that_was_never_good_has_no_text(tmp_path):
    with pytest.raises(ListError, match="list 'a' was never read"):
        KeptTexts(tmp_path).load("a")


def test_texts_of_forgotten_lists_go(tmp_path):
    kept = KeptTexts(tmp_path)
    kept.save("a", b"1")
    kept.save("b", b"2")
    kept.forget_others(["b"])
    assert kept.load("b") == b"2"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("sync", [True, False])
def test_replacing_leaves_no_other_file(tmp_path, sync):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    write_atomically(path, b"new", sync=sync)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
