"""The parts of the quickstart that are values: its files, its address, what it prints."""

from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.quickstart import start, welcome
from proxy.settings import load_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As the written configuration gives them, whatever the caller's environment holds."""
    for name in ("TYK_GATEWAY_URL", "SENTRA_LISTS", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    return load_settings(start.write_state(tmp_path, None))


def test_everything_is_bound_to_this_machine(settings):
    """There are no tokens in a quickstart."""
    binds = (settings.edge.listen, settings.control.admin_listen, settings.control.ops_listen)
    assert {bind.host for bind in binds} == {"127.0.0.1"}
    assert start.demo_gateway_address(settings) == ("127.0.0.1", 8070)


def test_every_demo_list_is_written_and_named_in_the_configuration(settings):
    """A list that is written and not loaded would make a printed line untrue."""
    assert {item.path.name for item in settings.lists} == set(start.DEMO_LISTS)
    assert all(item.path.is_file() for item in settings.lists)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:18070", ("127.0.0.1", 18070)),
        ("http://192.0.2.1:8080", None),
        ("http://gateway.example:8080", None),
    ],
)
def test_demo_gateway_stands_only_for_an_upstream_on_loopback(tmp_path, monkeypatch, url, expected):
    """Somebody else's address cannot be listened on."""
    monkeypatch.delenv("TYK_GATEWAY_URL", raising=False)
    monkeypatch.setenv("SENTRA_UPSTREAM__URL", url)
    settings = load_settings(start.write_state(tmp_path, None))
    assert start.demo_gateway_address(settings) == expected


def test_lists_folder_with_odd_characters_reaches_the_settings(tmp_path: Path, monkeypatch):
    """The path goes through TOML."""
    monkeypatch.delenv("SENTRA_LISTS", raising=False)
    folder = tmp_path / 'with "quotes" and \\ and é'
    folder.mkdir()
    settings = load_settings(start.write_state(tmp_path / "state", folder))
    assert settings.blocklist.folder == folder


def test_folder_that_is_none_is_refused(tmp_path: Path):
    """Before anything is written or started."""
    with pytest.raises(ConfigError, match="not a folder"):
        start.write_state(tmp_path / "state", tmp_path / "missing")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_age_is_told_in_its_largest_unit(seconds: int, expected: str):
    """An old list should be seen to be old."""
    assert welcome.age(seconds) == expected


def test_blocklist_is_described_by_kind_version_and_age():
    """From an answer of the admin API."""
    blocklist = {"state": "loaded", "fault": None, "entries": 1234, "ipv4": 1000, "ipv6": 200, "domains": 33}
    status = {
        "blocklist": blocklist | {"overlay": 1, "age_seconds": 61},
        "version": {"epoch": 3, "sequence": 7},
        "lists": [{}, {}],
    }
    assert welcome.describe_blocklist(status) == (
        "1,234 entries (1,000 IPv4, 200 IPv6, 33 domains, 1 by hand), version 3.7,"
        " compiled 1 min ago from 2 lists"
    )


def test_missing_blocklist_is_described_by_its_reason():
    """Not as an empty one."""
    status = {"blocklist": {"state": "missing", "fault": "demo.txt: is gone", "entries": 0}}
    assert welcome.describe_blocklist(status) == "not loaded: demo.txt: is gone"
