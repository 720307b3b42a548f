"""The part of a worker's configuration that says where requests go; travels within `EdgeConfig`."""

from dataclasses import dataclass
from typing import Final, Literal

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
