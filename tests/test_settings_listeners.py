"""[[listeners]]: what is refused, where, and what reaches supervisor and workers."""

from pathlib import Path

import pytest

from proxy.control.edge_config import to_edge_config
from proxy.control.listener_files import check_listener_files
from proxy.edge.config import EdgeConfig
from proxy.edge.config_listeners import CertificateFiles, ListenerConfig, TlsConfig
from proxy.errors import ConfigError
from proxy.launch import supervisor_options
from proxy.settings import load_settings
from proxy.supervisor import ListenerAddress
from tests.support.authority import Authority

FIRST = '[[listeners]]\nname = "public"\nlisten = "127.0.0.1:8443"\n'
PROXIED = FIRST + 'proxy_protocol = "required"\n'
UNIX = '[[listeners]]\nname = "a"\nlisten = "unix:a"\n'
TLS = FIRST + '[listeners.tls]\ncertificates = [{ certificate = "c.pem", key = "k.pem" }]\n'


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
        (FIRST + "[listeners.tls]\n", 4, ["listeners.0.tls.certificates", "is missing"]),
        (FIRST + "[listeners.tls]\ncertificates = []\n", 5, ["listeners.0.tls.certificates", "at least 1"]),
        (TLS + 'client_certificates = "required"\n', 4, ["listeners.0.tls.client_ca", "is missing"]),
        (TLS + 'client_ca = "a"\n', 6, ["listeners.0.tls.client_ca", "of no use"]),
        (TLS + 'minimum_version = "1.1"\n', 6, ["listeners.0.tls.minimum_version", "'1.2' or '1.3'"]),
        (
            TLS + 'client_certificates = "optional"\nclient_ca = "a"\nminimum_version = "1.2"\n',
            8,
            ["listeners.0.tls.minimum_version", "must be '1.3'"],
        ),
        ('[edge]\nengine = "aiohttp"\n' + TLS, 6, ["listeners.0.tls", "'aiohttp'"]),
        (FIRST + "handshake_seconds = 0\n", 4, ["listeners.0.handshake_seconds"]),
        (FIRST + "minimum_rate_seconds = 0.5\n", 4, ["listeners.0.minimum_rate_seconds", "is 0.5"]),
        (UNIX + "connections_per_address = 1\n", 4, ["listeners.0.connections_per_address", "unix socket"]),
        (FIRST + "connection_count = -1\n", 4, ["listeners.0.connection_count", "is -1"]),
        (PROXIED, 1, ["listeners.0.proxy_protocol_from", "must name the proxies"]),
        (
            FIRST + 'proxy_protocol_from = ["10.0.0.0/8"]\n',
            4,
            ["listeners.0.proxy_protocol_from", "of no use"],
        ),
        (PROXIED + 'proxy_protocol_from = ["10.0.0.1/8"]\n', 5, ["proxy_protocol_from.0", "host bits"]),
        (PROXIED + 'proxy_protocol_others = "plain"\n', 1, ["proxy_protocol_from", "must name the proxies"]),
        (
            UNIX + 'proxy_protocol = "required"\nproxy_protocol_from = ["10.0.0.0/8"]\n',
            5,
            ["listeners.0.proxy_protocol_from", "unix_mode"],
        ),
        (
            UNIX + 'proxy_protocol = "required"\nproxy_protocol_others = "plain"\n',
            5,
            ["listeners.0.proxy_protocol_others", "without proxy_protocol_from"],
        ),
        (
            '[edge]\nengine = "aiohttp"\n' + PROXIED + 'proxy_protocol_from = ["10.0.0.0/8"]\n',
            6,
            ["listeners.0.proxy_protocol", "'aiohttp'"],
        ),
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
        + 'drop_score = 8\nhalf_close = "cancel"\nproxy_protocol = "required"\n'
        + 'proxy_protocol_from = ["10.0.0.0/8"]\nproxy_protocol_others = "plain"\nproxy_header_seconds = 2\n'
        + "connections_per_address = 7\n"
        + "connection_count = 3\nminimum_body_bytes_per_second = 4\nminimum_send_bytes_per_second = 5\n"
        + "minimum_rate_seconds = 6\n"
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
        ListenerConfig(
            "public",
            drop_score=8.0,
            half_close="cancel",
            proxy_protocol="required",
            proxy_protocol_from=("10.0.0.0/8",),
            proxy_protocol_others="plain",
            proxy_header_seconds=2.0,
            connection_count=3,
            connections_per_address=7,
            minimum_body_bytes_per_second=4,
            minimum_send_bytes_per_second=5,
            minimum_rate_seconds=6.0,
        ),
        ListenerConfig("local", drop_score=9.0, half_close="serve"),
    )


def test_tls_reaches_the_workers_as_paths(tmp_path: Path):
    """A key's content would stand in frames and on disk; the worker reads the file itself."""
    path = write(tmp_path, TLS + 'client_certificates = "required"\nclient_ca = "/etc/ca.pem"\n')
    config = to_edge_config(load_settings(path))
    assert config.listeners[0].tls == TlsConfig(
        (CertificateFiles(str(tmp_path / "c.pem"), str(tmp_path / "k.pem")),),
        minimum_version="1.3",
        client_certificates="required",
        client_ca="/etc/ca.pem",
    )
    assert EdgeConfig.from_wire(config.to_wire()) == config


def a_file(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


def test_certificate_files_at_fault_are_named_with_their_line(tmp_path: Path):
    """What would stop a worker stops the start, `check` and a reload before."""
    authority = Authority(tmp_path)
    good, other = authority.issue("good", "a.example"), authority.issue("other", "b.example")
    locked = authority.issue("locked", "c.example", passphrase="secret")
    rubbish = a_file(tmp_path, "rubbish.pem", "no certificate")
    for certificate, key, place, part in [
        (good.certificate, tmp_path / "none.key", "key", "cannot be read: No such file"),
        (good.certificate, other.key, "key", "does not belong to the certificate"),
        (rubbish, good.key, "certificate", "no certificate"),
        (locked.certificate, locked.key, "key", "encrypted"),
    ]:
        path = write(tmp_path, TLS.replace("c.pem", str(certificate)).replace("k.pem", str(key)))
        with pytest.raises(ConfigError) as caught:
            check_listener_files(load_settings(path), path)
        assert str(caught.value).startswith(f"{path}:5: listeners.0.tls.certificates.0.{place}: "), caught
        assert part in str(caught.value)
        assert "secret" not in str(caught.value)
    text = TLS.replace("c.pem", str(good.certificate)).replace("k.pem", str(good.key))
    path = write(tmp_path, text)
    check_listener_files(load_settings(path), path)
    path = write(tmp_path, text + 'client_certificates = "required"\nclient_ca = "rubbish.pem"\n')
    expected = r":7: listeners\.0\.tls\.client_ca: .*rubbish\.pem: is no certificate"
    with pytest.raises(ConfigError, match=expected):
        check_listener_files(load_settings(path), path)


def test_without_listeners_there_is_the_one_of_edge(tmp_path: Path):
    path = write(tmp_path, '[edge]\nlisten = "127.0.0.1:7"\n')
    options = supervisor_options(load_settings(path), path)
    assert options.edge_addresses == (ListenerAddress("", "127.0.0.1", 7),)


def test_unix_socket_alone_has_one_worker(tmp_path: Path):
    """A second one would hold memory and never see a connection."""
    path = write(tmp_path, '[edge]\nworkers = 4\n[[listeners]]\nname = "a"\nlisten = "unix:/run/a"\n')
    assert supervisor_options(load_settings(path), path).worker_count == 1
