"""Files of `tls` are read before they count: a fault names file, line and key."""

from pathlib import Path

import pytest

from proxy.control.process import load_running
from proxy.errors import ConfigError
from tests.support.authority import Authority


def settings(folder: Path, text: str) -> Path:
    path = folder / "sentra.toml"
    path.write_text(text + '[control]\nauth = "none"\n')
    return path


def test_fault_of_every_upstream_is_named_with_its_line(tmp_path: Path):
    """A worker would find it with its first connection, long after the reload."""
    (tmp_path / "rubbish.pem").write_text("rubbish")
    path = settings(
        tmp_path,
        """
[upstream]
url = "https://gateway"
tls = { ca = "gone.pem" }
[[upstreams]]
name = "app"
targets = [{ url = "https://app" }]
[upstreams.tls]
server_name = "app.internal"
ca = "rubbish.pem"
""",
    )
    with pytest.raises(ConfigError) as caught:
        load_running(path, {})
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{path}:4: upstream.tls.ca: {tmp_path}/gone.pem: cannot be read")
    assert second.startswith(f"{path}:10: upstreams.0.tls.ca: {tmp_path}/rubbish.pem: is no certificate")


def test_good_files_pass(tmp_path: Path):
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("edge", "edge.example")
    path = settings(
        tmp_path,
        '[upstream]\nurl = "https://gateway"\n[upstream.tls]\n'
        f'ca = "{authority.certificate}"\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n',
    )
    assert load_running(path, {}).settings.upstream.tls.ca == authority.certificate
