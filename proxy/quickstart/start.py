"""Nothing -> a running edge on this machine, with lists to be denied by and lines to try it with."""

import ipaddress
import json
import os
from pathlib import Path
from typing import NoReturn

from proxy import launch, supervisor
from proxy.errors import ConfigError
from proxy.quickstart.welcome import Scene
from proxy.settings import Settings, load_settings

STATE_DIRECTORY = Path("var/quickstart")

# Ctrl-C leaves no process within two seconds: drain, then control and gateway.
_DRAIN_SECONDS = 0.5
_STOP_SECONDS = 0.7

# Documentation ranges (RFC 5737, RFC 3849) and names (RFC 2606, RFC 6761): nobody's real clients.
DEMO_LISTS = {
    "demo-addresses.netset": """\
# networks that scan
198.51.100.0/24
203.0.113.66
2001:db8:bad::/48
""",
    "demo-domains.txt": """\
# names that phish, with everything below them
phish.test
malware.example
""",
    "demo-reputation.csv": """\
# address,score: only what reaches the block score is denied
192.0.2.10,3
192.0.2.66,9
""",
    "demo-known-good.txt": """\
# vetoes what the other lists say
198.51.100.53
""",
}

_CONFIG = """\
# Written at every start of the quickstart: changes are lost. Copy it, then `sentra-proxy run --config FILE`.

[edge]
listen = "127.0.0.1:8080"
# So that the lines to try can name a client address in X-Forwarded-For.
trusted_proxies = ["127.0.0.0/8", "::1/128"]

[edge.timeouts]
drain_seconds = {drain_seconds}

[upstream]
url = "http://127.0.0.1:8070"

[control]
admin_listen = "127.0.0.1:9901"
ops_listen = "127.0.0.1:9902"
auth = "none"

[state]
directory = "."

[blocklist]
reload_seconds = 1.0
{folder}
[[lists]]
path = "demo/demo-addresses.netset"
source = "demo-addresses"
format = "netset"
score = 9
categories = ["scanner"]

[[lists]]
path = "demo/demo-domains.txt"
source = "demo-domains"
score = 8
categories = ["phishing"]

[[lists]]
path = "demo/demo-reputation.csv"
source = "demo-reputation"
format = "csv"
score_column = 1
categories = ["reputation"]

[[lists]]
path = "demo/demo-known-good.txt"
source = "demo-known-good"
disposition = "known_good"
"""


def run_quickstart(lists_folder: Path | None = None, state_directory: Path = STATE_DIRECTORY) -> NoReturn:
    """Become the supervisor of it all. Raises ConfigError with nothing started."""
    config_path = write_state(state_directory.absolute(), lists_folder)
    settings = load_settings(config_path)
    gateway = demo_gateway_address(settings)
    scene = Scene(
        edge=str(settings.edge.listen),
        admin=str(settings.control.admin_listen),
        ops=str(settings.control.ops_listen),
        upstream=str(settings.upstream.url),
        has_demo_gateway=gateway is not None,
        worker_count=settings.edge.workers or supervisor.available_cpu_count(),
        block_score=settings.edge.block_score,
    )
    supervisor.become(
        launch.supervisor_options(
            settings,
            config_path,
            gateway_listen=gateway,
            stop_seconds=_STOP_SECONDS,
            ready_command=(*supervisor.python_module("proxy.quickstart.welcome"), scene.to_json()),
        )
    )


def write_state(directory: Path, lists_folder: Path | None) -> Path:
    """The demo lists and the configuration; returns its path. What an earlier run has learnt stays."""
    if lists_folder is not None and not lists_folder.is_dir():
        raise ConfigError(f"{str(lists_folder)!r} is not a folder of lists")
    folder = "" if lists_folder is None else f"folder = {json.dumps(str(lists_folder.absolute()))}\n"
    try:
        (directory / "demo").mkdir(parents=True, exist_ok=True)
        for name, text in DEMO_LISTS.items():
            (directory / "demo" / name).write_text(text)
        config_path = directory / "sentra.toml"
        config_path.write_text(_CONFIG.format(drain_seconds=_DRAIN_SECONDS, folder=folder))
    except OSError as error:
        raise ConfigError(f"{str(directory)!r} cannot be written: {error.strerror}") from error
    return config_path


def demo_gateway_address(settings: Settings) -> tuple[str, int] | None:
    """Where the demo gateway listens; None when the upstream is somebody's own."""
    host, port = settings.upstream.url.host, settings.upstream.url.port
    if os.environ.get("TYK_GATEWAY_URL"):
        return None
    try:
        return (host, port) if ipaddress.ip_address(host).is_loopback else None
    except ValueError:
        return None
