"""Our own processes as a user runs them: supervisor, control, one worker, a list of a million entries."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.peers.certificate import Pair
from bench.processes import free_port

# Denied by name: every server looks at Host, so nobody pays for a field that the others ignore.
BLOCKED_HOST = "blocked.bench.test"

_SETTINGS = """[edge]
{listen}workers = 1
engine = "{engine}"

[upstream]
url = "http://127.0.0.1:{upstream_port}"

[[lists]]
path = "{addresses}"
source = "bench-addresses"
score = 8.0
categories = ["bench"]

[[lists]]
path = "{domains}"
source = "bench-domains"
score = 8.0

[control]
admin_listen = "127.0.0.1:{admin_port}"
ops_listen = "127.0.0.1:{ops_port}"
auth = "none"

[state]
directory = "{folder}/var"
"""


_LISTENERS = """
[[listeners]]
name = "plain"
listen = "127.0.0.1:{port}"

[[listeners]]
name = "tls"
listen = "127.0.0.1:{tls_port}"

[listeners.tls]
certificates = [{{ certificate = "{pair.certificate}", key = "{pair.key}" }}]
"""


@dataclass(frozen=True, slots=True)
class Tls:
    """A second listening port."""

    port: int
    pair: Pair


@dataclass(frozen=True, slots=True)
class Program:
    command: list[str]
    ops_port: int


def program(
    folder: Path,
    port: int,
    upstream_port: int,
    *,
    addresses: Path,
    engine: Literal["native", "aiohttp"] = "native",
    settings: str = "",
    tls: Tls | None = None,
) -> Program:
    folder.mkdir(parents=True, exist_ok=True)
    domains = folder / "domains.txt"
    domains.write_text(f"{BLOCKED_HOST}\n", encoding="ascii")
    path = folder / "sentra.toml"
    ops_port = free_port()
    if tls is not None:
        settings += _LISTENERS.format(port=port, tls_port=tls.port, pair=tls.pair)
    text = _SETTINGS.format(
        listen="" if tls is not None else f'listen = "127.0.0.1:{port}"\n',
        engine=engine,
        upstream_port=upstream_port,
        addresses=addresses,
        domains=domains,
        admin_port=free_port(),
        ops_port=ops_port,
        folder=folder,
    )
    path.write_text(text + settings, encoding="utf-8")
    return Program([sys.executable, "-m", "proxy", "run", "--config", str(path)], ops_port)
