"""Reading a list file: whole or not at all."""

import os
from pathlib import Path

import pytest

from proxy.blocklist import files
from proxy.blocklist.files import ListSpec, digest_of, read_list, spec_from_settings, stamp_of
from proxy.errors import ListError
from proxy.settings import ListSettings


def test_text_and_its_digest_come_together(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"192.0.2.1\n")
    read = read_list(ListSpec(path, "bad"))
    assert read.text == b"192.0.2.1\n"
    assert read.digest == digest_of(b"192.0.2.1\n")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_unreadable_file_is_named(tmp_path, make):
    """Absent, or a folder in its place (a mount that failed)."""
    path = tmp_path / "bad.txt"
    make(path)
    with pytest.raises(ListError, match=r"bad\.txt: cannot be read: "):
        read_list(ListSpec(path, "bad"))


def test_too_large_file_is_refused_unread(tmp_path, monkeypatch):
    """A wrong path must not fill the memory."""
    monkeypatch.setattr(files, "MAXIMUM_LIST_BYTES", 10)
    path = tmp_path / "bad.txt"
    path.write_bytes(b"x" * 11)
    with pytest.raises(ListError, match="has 11 bytes, the limit for a list is 10"):
        read_list(ListSpec(path, "bad"))


def test_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    """Half a list passes every later check: it is a list, only a shorter one."""
    path = tmp_path / "bad.txt"
    path.write_bytes(b"192.0.2.1\n")
    real, calls = os.fstat, []

    def growing(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            with path.open("ab") as file:
                file.write(b"192.0.2.2\n")
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", growing)
    with pytest.raises(ListError, match="is being written"):
        read_list(ListSpec(path, "bad"))


def test_stamp_changes_with_content_and_with_mode(tmp_path):
    """A file that may be read at last is looked at again."""
    path = tmp_path / "bad.txt"
    assert stamp_of(path) is None
    path.write_bytes(b"1")
    first = stamp_of(path)
    path.write_bytes(b"12")
    second = stamp_of(path)
    os.utime(path, ns=(1, 1))
    assert len({first, second, stamp_of(path), None}) == 4


def test_warning_list_becomes_plain_lines(tmp_path):
    path = tmp_path / "good.json"
    path.write_bytes(b'{"type": "cidr", "list": ["192.0.2.0/24", " .example.com "]}')
    assert read_list(ListSpec(path, "good", format="misp")).text == b"192.0.2.0/24\nexample.com"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>", "is not JSON"),
        (b"[]", "no array 'list'"),
        (b'{"list": 3, "type": "cidr"}', "no array 'list'"),
        (b'{"list": [], "type": "regex"}', "type 'regex'; readable are cidr"),
    ],
)
def test_json_that_is_no_warning_list_is_refused_by_name(tmp_path, content, reason):
    path = tmp_path / "good.json"
    path.write_bytes(content)
    with pytest.raises(ListError, match=rf"good\.json: .*{reason}"):
        read_list(ListSpec(path, "good", format="misp"))


def test_formats_of_settings_become_those_of_the_compiler(tmp_path):
    def form(name):
        return spec_from_settings(ListSettings(path=tmp_path, source="a", format=name)).format

    assert [form(name) for name in ("plain", "cidr", "ipset", "netset", "hosts", "csv", "misp")] == [
        "plain", "plain", "netset", "netset", "hosts", "csv", "misp",
    ]  # fmt: skip


def test_other_way_of_reading_shows():
    """The same bytes with another score are other entries: they must be compiled anew."""
    path = Path("a")
    assert ListSpec(path, "a", score=8).reading != ListSpec(path, "a", score=9).reading
    assert ListSpec(path, "a").reading == ListSpec(path, "b").reading
