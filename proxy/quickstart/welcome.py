"""Addresses of a started quickstart -> what a person reads: what listens where, the lists, lines to try.

`python -m proxy.quickstart.welcome SCENE` is run by the supervisor when every child serves; SCENE is JSON.
"""

import http.client
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

_STATUS_SECONDS = 2.0
_SERVED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Addresses as `host:port`, the upstream as a URL."""

    edge: str
    admin: str
    ops: str
    upstream: str
    has_demo_gateway: bool
    worker_count: int
    block_score: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main() -> int:
    scene = Scene(**json.loads(sys.argv[1]))
    sys.stdout.write("\n".join(lines(scene, status_when_served(scene))))
    return 0


def status_when_served(scene: Scene) -> dict[str, Any] | None:
    """The status once every worker has the lists: the first line to try must not be answered by 503."""
    deadline = time.monotonic() + _SERVED_SECONDS
    while True:
        status = fetch_status(scene.admin)
        if (
            status is None
            or status["workers"]["current"] >= scene.worker_count
            or time.monotonic() > deadline
        ):
            return status
        time.sleep(0.02)


def fetch_status(admin: str) -> dict[str, Any] | None:
    """What the admin API says of the lists; None when it does not answer in time."""
    connection = http.client.HTTPConnection(admin, timeout=_STATUS_SECONDS)
    try:
        connection.request("GET", "/v1/status")
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if response.status == 200 else None


def lines(scene: Scene, status: dict[str, Any] | None) -> Iterator[str]:
    """What a person reads at the start."""
    edge, admin = f"http://{scene.edge}", f"http://{scene.admin}"
    gateway = "the demo gateway" if scene.has_demo_gateway else "your own"
    yield ""
    yield "sentra-proxy is ready; Ctrl-C stops all of it."
    yield ""
    yield f"  edge       {edge}  {scene.worker_count} workers, denies from score {scene.block_score:g}"
    yield f"  gateway    {scene.upstream}  {gateway}"
    yield f"  admin API  {admin}  without tokens, on this machine only"
    yield f"  ops        http://{scene.ops}  /livez /readyz /metrics"
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


if __name__ == "__main__":
    raise SystemExit(main())
