"""What a start would refuse, seen before it: file, line and key of each fault, all at once."""

from pathlib import Path

import pytest

from proxy.control.preflight import check_all
from proxy.errors import ConfigError
from proxy.settings import load_settings


def faults_of(folder: Path, text: str) -> list[str]:
    """Without the folder that the file lies in."""
    path = folder / "sentra.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        check_all(load_settings(path), path, {})
    return str(refused.value).replace(f"{folder}/", "").splitlines()


OPEN = '[control]\nauth = "none"\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[state]\ndirectory = "file/var"\n', "sentra.toml:4: state.directory: 'file' is in the way"),
        (f'[state]\ndirectory = "{"d" * 110}"\n', "sentra.toml:4: state.directory: "),
        (
            f'[state]\nruntime_directory = "/tmp/{"d" * 110}"\n',
            "sentra.toml:4: state.runtime_directory: ",
        ),
        (
            '[state]\nruntime_directory = "file"\n',
            "sentra.toml:4: state.runtime_directory: 'file' is in the way",
        ),
        (
            '[access_log]\nenabled = true\npath = "folder"\n',
            "sentra.toml:5: access_log.path: 'folder' is a folder",
        ),
        (
            '[access_log]\nenabled = true\npath = "none/access.log"\n',
            "sentra.toml:5: access_log.path: 'none' is no folder that can be written to",
        ),
        (
            'ops_listen = "127.0.0.1:9901"\n',
            "sentra.toml:3: control.ops_listen: 127.0.0.1:9901 is taken by control.admin_listen",
        ),
        (
            'ops_listen = "0.0.0.0:8080"\n',
            "sentra.toml:3: control.ops_listen: 0.0.0.0:8080 is taken by edge.listen (0.0.0.0:8080)",
        ),
        (
            '[[listeners]]\nname = "public"\nlisten = "127.0.0.1:9901"\n',
            "control.admin_listen: 127.0.0.1:9901 is taken by listeners.0.listen (127.0.0.1:9901)",
        ),
    ],
)
def test_fault_that_only_shows_by_looking_has_its_line(tmp_path: Path, text: str, fault: str):
    """The start would end with it, or worse, serve without what was asked for."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    found = faults_of(tmp_path, OPEN + text)
    assert len(found) == 1
    assert fault in found[0]


def test_all_faults_are_named_at_once(tmp_path: Path):
    """Who repairs one wants to see the next one too."""
    found = faults_of(
        tmp_path,
        """
[control]
ops_listen = "127.0.0.1:9901"

[[control.tokens]]
name = "operator"
scopes = ["read"]
secret_env = "NOT_SET"

[[listeners]]
name = "public"
listen = "127.0.0.1:8443"
tls = { certificates = [{ certificate = "missing.pem", key = "missing.key" }] }

[access_log]
enabled = true
path = "none/access.log"
""",
    )
    keys = [line.split(": ")[1] for line in found]
    assert [key.split(".")[0] for key in keys] == ["control", "listeners", "access_log", "control"]
    assert all(line.startswith("sentra.toml:") for line in found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[edge]\nlisten = "[::]:8080"\n',
        '[access_log]\nenabled = true\npath = "access.log"\n',
        "[access_log]\nenabled = true\n",
        '[access_log]\npath = "none/access.log"\n',
        '[state]\ndirectory = "not/yet/there"\n',
    ],
)
def test_what_a_start_takes_has_no_fault(tmp_path: Path, text: str):
    """A check that cries wolf is left out of the pipeline."""
    path = tmp_path / "sentra.toml"
    path.write_text(OPEN + text)
    check_all(load_settings(path), path, {})
