"""[[listeners]]: what is refused, where, and what reaches supervisor and workers."""

from pathlib import Path

import pytest

from proxy.control.edge_config import to_edge_config
from proxy.edge.config_listeners import ListenerConfig
from proxy.errors import ConfigError
from proxy.launch import supervisor_options
from proxy.settings import load_settings
from proxy.supervisor import ListenerAddress

FIRST = '[[listeners]]\nname = "public"\nlisten = "127.0.0.1:8443"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "sentra.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        (FIRST + 'half_clos = "serve"\n', 4, ["listeners.0.half_clos", "did you mean 'half_close'"]),
        ('[[listeners]]\nlisten = "127.0.0.1:1"\n', 1, ["listeners.0.name", "is missing"]),
        (
            '[[listeners]]\nname = "default"\nlisten = "127.0.0.1:1"\n',
            2,
            ["listeners.0.name", "[edge] listen"],
        ),
        ('[[listeners]]\nname = "A b"\nlisten = "127.0.0.1:1"\n', 2, ["listeners.0.name"]),
        ('[[listeners]]\nname = "a"\nlisten = "host:1"\n', 3, ["listeners.0.listen", "unix:"]),
        ('[[listeners]]\nname = "a"\nlisten = "unix:"\n', 3, ["listeners.0.listen", "path"]),
        (
            '[[listeners]]\nname = "a"\nlisten = "unix:%s"\n' % ("x" * 120),
            3,
            ["listeners.0.listen", "too long"],
        ),
        (FIRST + 'unix_mode = "0660"\n', 4, ["listeners.0.unix_mode", "belongs to a unix socket"]),
        (
            '[[listeners]]\nname = "a"\nlisten = "unix:a"\nunix_mode = "999"\n',
            4,
            ["listeners.0.unix_mode", "octal"],
        ),
        (FIRST + FIRST.replace("8443", "8444"), 5, ["listeners.1.name", "'public'"]),
        (FIRST + FIRST.replace("public", "other"), 6, ["listeners.1.listen", "127.0.0.1:8443"]),
        ('[edge]\nlisten = "127.0.0.1:1"\n' + FIRST, 3, ["listeners", "edge.listen"]),
        (FIRST + "drop_score = 6\n", 4, ["listeners.0.drop_score", "which one is 7", "is 6"]),
        ('[edge]\nmode = "observe"\n' + FIRST + "drop_score = 9\n", 6, ["listeners.0.drop_score", "observe"]),
        (
            FIRST + 'drop_score = 8\n[[routes]]\nname = "a"\nblock_score = 9\n',
            4,
            ["listeners.0.drop_score", "which one is 9"],
        ),
        (
            FIRST + 'drop_score = 8\n[[routes]]\nname = "a"\nmode = "observe"\n',
            4,
            ["listeners.0.drop_score", "observe"],
        ),
    ],
)
def test_fault_names_file_line_and_key(tmp_path: Path, text: str, line: int, parts: list[str]):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: "), message
    for part in parts:
        assert part in message


def test_listeners_reach_the_supervisor_and_the_workers(tmp_path: Path):
    """What is left out is as in [edge]; a relative socket lies beside the file."""
    path = write(
        tmp_path,
        '[edge]\nworkers = 3\nblock_score = 6\ndrop_score = 9\nhalf_close = "serve"\n'
        + FIRST
        + 'drop_score = 8\nhalf_close = "cancel"\n'
        + '[[listeners]]\nname = "local"\nlisten = "unix:edge.sock"\nunix_mode = "0600"\n',
    )
    settings = load_settings(path)
    options = supervisor_options(settings, path)
    assert options.worker_count == 3
    assert options.edge_addresses == (
        ListenerAddress("public", "127.0.0.1", 8443),
        ListenerAddress("local", path=str(tmp_path / "edge.sock"), mode=0o600),
    )
    assert to_edge_config(settings).listeners == (
        ListenerConfig("public", drop_score=8.0, half_close="cancel"),
        ListenerConfig("local", drop_score=9.0, half_close="serve"),
    )


def test_without_listeners_there_is_the_one_of_edge(tmp_path: Path):
    path = write(tmp_path, '[edge]\nlisten = "127.0.0.1:7"\n')
    options = supervisor_options(load_settings(path), path)
    assert options.edge_addresses == (ListenerAddress("", "127.0.0.1", 7),)


def test_unix_socket_alone_has_one_worker(tmp_path: Path):
    """A second one would hold memory and never see a connection."""
    path = write(tmp_path, '[edge]\nworkers = 4\n[[listeners]]\nname = "a"\nlisten = "unix:/run/a"\n')
    assert supervisor_options(load_settings(path), path).worker_count == 1
