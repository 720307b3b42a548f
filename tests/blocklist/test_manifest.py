"""The note beside the base that makes a restart need no list."""

from pathlib import Path

import pytest

from proxy.blocklist.compile import ListOutcome
from proxy.blocklist.files import ListSpec
from proxy.blocklist.manifest import Manifest, notes, read_manifest, write_manifest
from proxy.errors import ListError


def outcome(digest="d", refusal=None, count=3):
    return ListOutcome(ListSpec(Path("/a"), "a"), digest, count, 0, 0, (), refusal)


def test_manifest_comes_back_as_it_was_written(tmp_path):
    manifest = Manifest(1, 2, 3, "content", notes([outcome(refusal="broken")], None, 7))
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert manifest.files(tmp_path).decision == tmp_path / "decision-1-2.bin"


def test_no_manifest_is_no_fault(tmp_path):
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"lists": [{}]}', b'{"lists": [], "epoch": 1, "x": 2}']
)
def test_manifest_of_another_version_is_refused(tmp_path, content):
    (tmp_path / "base.json").write_bytes(content)
    with pytest.raises(ListError, match=r"base\.json: is not a manifest"):
        read_manifest(tmp_path)


def test_age_of_a_list_is_that_of_its_text():
    """A compile for another list's sake makes no list younger."""
    before = Manifest(1, 2, 100, "c", notes([outcome()], None, 100))
    assert notes([outcome()], before, 200)[0].loaded == 100
    assert notes([outcome(digest="e")], before, 200)[0].loaded == 200


def test_refusal_shows_without_a_new_base():
    before = Manifest(1, 2, 100, "c", notes([outcome()], None, 100))
    after = before.with_outcomes([outcome(refusal="gone")])
    assert after.lists[0].refusal == "gone"
    assert (after.sequence, after.content) == (2, "c")
