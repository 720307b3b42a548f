"""Nothing -> a running edge on this machine, with lists to be denied by and lines to try it with."""

import http.client
import ipaddress
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proxy import launch, supervisor
from proxy.errors import ConfigError
from proxy.settings import Settings, load_settings

STATE_DIRECTORY = Path("var/quickstart")

# Ctrl-C leaves no process within two seconds: drain, then control and gateway.
_DRAIN_SECONDS = 0.5
_STOP_SECONDS = 0.7
# The supervisor waits meanwhile, a Ctrl-C too.
_STATUS_SECONDS = 1.0
_SERVED_SECONDS = 0.7

# Documentation ranges (RFC 5737, RFC 3849) and names (RFC 2606, RFC 6761): nobody's real clients.
_DEMO_LISTS = {
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


def run_quickstart(lists_folder: Path | None = None, state_directory: Path = STATE_DIRECTORY) -> int:
    """Serve until a signal; returns the exit status. Raises ConfigError with nothing started."""
    config_path = write_state(state_directory.absolute(), lists_folder)
    settings = load_settings(config_path)
    gateway = demo_gateway_address(settings)
    options = launch.supervisor_options(
        settings, config_path, gateway_listen=gateway, stop_seconds=_STOP_SECONDS
    )

    def welcome() -> None:
        status = status_when_served(settings, options.worker_count)
        sys.stdout.write(
            "\n".join(lines(settings, options.worker_count, status, has_demo_gateway=gateway is not None))
        )
        sys.stdout.flush()

    return supervisor.run(options, on_ready=welcome)


def write_state(directory: Path, lists_folder: Path | None) -> Path:
    """The demo lists and the configuration; returns its path. What an earlier run has learnt stays."""
    if lists_folder is not None and not lists_folder.is_dir():
        raise ConfigError(f"{str(lists_folder)!r} is not a folder of lists")
    folder = "" if lists_folder is None else f"folder = {json.dumps(str(lists_folder.absolute()))}\n"
    try:
        (directory / "demo").mkdir(parents=True, exist_ok=True)
        for name, text in _DEMO_LISTS.items():
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


def status_when_served(settings: Settings, worker_count: int) -> dict[str, Any] | None:
    """The status once every worker has the lists: the first line to try must not be answered by 503."""
    deadline = time.monotonic() + _SERVED_SECONDS
    while True:
        status = fetch_status(settings)
        if status is None or status["workers"]["current"] >= worker_count or time.monotonic() > deadline:
            return status
        time.sleep(0.02)


def fetch_status(settings: Settings) -> dict[str, Any] | None:
    """What the admin API says of the lists; None when it does not answer in time."""
    address = settings.control.admin_listen
    connection = http.client.HTTPConnection(address.host, address.port, timeout=_STATUS_SECONDS)
    try:
        connection.request("GET", "/v1/status")
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None


def lines(
    settings: Settings, worker_count: int, status: dict[str, Any] | None, *, has_demo_gateway: bool
) -> Iterator[str]:
    """What a person reads at the start."""
    edge, admin = f"http://{settings.edge.listen}", f"http://{settings.control.admin_listen}"
    ops = f"http://{settings.control.ops_listen}"
    upstream = f"http://{settings.upstream.url.host}:{settings.upstream.url.port}"
    yield ""
    yield "sentra-proxy is ready; Ctrl-C stops all of it."
    yield ""
    yield f"  edge       {edge}  {worker_count} workers, denies from score {settings.edge.block_score:g}"
    yield f"  gateway    {upstream}  {'the demo gateway' if has_demo_gateway else 'your own'}"
    yield f"  admin API  {admin}  without tokens, on this machine only"
    yield f"  ops        {ops}  /livez /readyz /metrics"
    yield f"  blocklist  {describe_blocklist(status)}"
    yield ""
    yield "Try, in another terminal:"
    for what, command in examples(edge, admin):
        yield ""
        yield f"  # {what}"
        yield f"  {command}"
    yield ""
    yield ""


def examples(edge: str, admin: str) -> Iterator[tuple[str, str]]:
    """(what it shows, the command)."""
    yield "a request that is forwarded, and what the gateway sees of it", f"curl -i {edge}/headers"
    yield "denied: the client's address is on a list", f"curl -i -H 'X-Forwarded-For: 198.51.100.7' {edge}/"
    yield "denied: the name it asks for is on a list", f"curl -i -H 'Host: login.phish.test' {edge}/"
    yield "why that address is denied", f"curl -s '{admin}/v1/lookup?target=198.51.100.7'"
    body = json.dumps({"target": "192.0.2.99", "reason": "tried it out", "ttl_seconds": 600})
    yield (
        "block an address for ten minutes; every worker denies it within 100 ms",
        f"curl -s -X POST -H 'Content-Type: application/json' -d '{body}' {admin}/v1/blocks",
    )
    yield "workers, lists and counters", f"curl -s {admin}/v1/status"


def describe_blocklist(status: dict[str, Any] | None) -> str:
    """Entries by kind, version and age, from the admin API's status."""
    if status is None:
        return "its state is not known yet"
    blocklist = status["blocklist"]
    if blocklist["state"] != "loaded":
        return f"not loaded: {blocklist['fault'] or 'there are no lists'}"
    kinds = (("IPv4", "ipv4"), ("IPv6", "ipv6"), ("domains", "domains"), ("by hand", "overlay"))
    counts = ", ".join(f"{blocklist[key]:,} {name}" for name, key in kinds)
    version = f"{status['version']['epoch']}.{status['version']['sequence']}"
    return (
        f"{blocklist['entries']:,} entries ({counts}), version {version},"
        f" compiled {age(blocklist['age_seconds'])} ago from {len(status['lists'])} lists"
    )


def age(seconds: int) -> str:
    """In the largest unit that fits."""
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"
