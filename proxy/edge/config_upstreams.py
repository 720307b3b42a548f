"""The part of a worker's configuration that says where requests go; travels within `EdgeConfig`."""

from dataclasses import dataclass
from typing import Final, Literal

import orjson

DEFAULT_NAME: Final = "default"
# As `host_header`: each target is asked by its own name.
HOST_OF_TARGET: Final = "target"

Balance = Literal["round_robin", "least_connections", "power_of_two", "client_hash"]


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """A host with a port, or the path of a unix socket. Every address of a name gets the whole weight."""

    host: str = ""
    port: int = 0
    path: str = ""
    weight: int = 1
    is_tls: bool = False


@dataclass(frozen=True, slots=True)
class UpstreamTlsConfig:
    """Of https targets. Paths: a worker reads the files itself. `server_name` None: the target's host; `ca`
    None: the system's authorities."""

    ca: str | None = None
    server_name: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class EjectionConfig:
    """When a target is left out for a while. `consecutive_failures` 0: never."""

    consecutive_failures: int = 5
    window_seconds: float = 30.0
    seconds: float = 30.0
    maximum_percent: float = 50.0
    statuses: tuple[int, ...] = (502, 503, 504)


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """Plain values only. A new field needs a default, an older peer may send."""

    name: str
    targets: tuple[TargetConfig, ...]
    balance: Balance = "round_robin"
    host_header: str | None = None
    idle_count: int = 256
    idle_seconds: float = 15.0
    connect_seconds: float = 2.0
    head_seconds: float = 60.0
    read_idle_seconds: float = 60.0
    write_idle_seconds: float = 30.0
    receive_buffer_bytes: int = 65536
    resolve_seconds: float = 10.0
    # Exchanges under way at this upstream from one worker; 0: no limit. Others wait.
    in_flight_count: int = 0
    queue_count: int = 1000
    queue_seconds: float = 5.0
    retry_count: int = 1
    retry_budget_percent: float = 20.0
    retry_minimum_per_second: float = 3.0
    ejection: EjectionConfig = EjectionConfig()
    # The control process asks the targets and tells in HEALTH frames.
    has_checks: bool = False
    tls: UpstreamTlsConfig = UpstreamTlsConfig()
    # Sent on each connection, which then belongs to one client's one request.
    proxy_protocol: Literal["off", "v1", "v2"] = "off"


def health_from_wire(payload: bytes) -> dict[str, dict[str, bool]]:
    """A HEALTH frame: by upstream and target, whether it is up. Raises ValueError when it is none."""
    sent = orjson.loads(payload)
    if not isinstance(sent, dict) or not all(isinstance(found, dict) for found in sent.values()):
        raise ValueError("a health report is an object of objects")
    return {
        upstream: {name: bool(is_up) for name, is_up in found.items()} for upstream, found in sent.items()
    }
