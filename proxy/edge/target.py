"""One address of an upstream: its idle connections, its load and what is known of its health."""

import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from proxy.edge.ejection import Streak
from proxy.edge.pool import Pool
from proxy.edge.upstream_tls import ClientContext

if TYPE_CHECKING:  # cluster.py imports this module
    from proxy.edge.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect, as the socket wants it."""

    family: socket.AddressFamily
    location: Any

    def __str__(self) -> str:
        if self.family == socket.AF_UNIX:
            return f"unix:{self.location}"
        host, port = self.location[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def is_local(self) -> bool:
        """The peer is on this machine."""
        return self.family == socket.AF_UNIX or ipaddress.ip_address(self.location[0]).is_loopback


def literal(host: str, port: int) -> Address | None:
    """The address that needs no resolver; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return Address(socket.AF_INET, (host, port))
    # A zone is a name: the resolver knows its number.
    return None if address.scope_id else Address(socket.AF_INET6, (host, port, 0, 0))


@dataclass(frozen=True, slots=True)
class TargetKey:
    """What makes two targets the same one: connections may be shared between equals only."""

    address: Address
    # The name that it was found by.
    authority: str
    # Replaces the second line of each head, which is Host; None: as the codec made it.
    host_line: bytes | None
    # None: without TLS.
    tls: ClientContext | None
    server_name: str
    proxy_protocol: Literal["off", "v1", "v2"]


class Target:
    """Made by its cluster, and kept for as long as a connection to it is open."""

    __slots__ = (
        "cluster",
        "ejected_until",
        "ejection_count",
        "ejection_repeats",
        "failure_count",
        "in_flight",
        "is_shared",
        "is_suspect",
        "is_up",
        "key",
        "name",
        "open_count",
        "pool",
        "streak",
        "weight",
    )

    def __init__(self, cluster: "Cluster", key: TargetKey, weight: int) -> None:
        self.cluster = cluster
        self.key = key
        self.name = str(key.address)
        self.weight = weight
        # A connection that speaks for one client is not kept for another.
        self.is_shared = key.proxy_protocol == "off"
        self.pool = Pool(cluster.config.idle_count if self.is_shared else 0)
        # Exchanges on their way to it or at it; counted only while the upstream has a choice to make.
        self.in_flight = 0
        self.open_count = 0
        self.failure_count = 0
        self.streak = Streak()
        # Something is to be forgotten when it answers well.
        self.is_suspect = False
        # By the loop's clock; 0: it is not left out.
        self.ejected_until = 0.0
        self.ejection_count = 0
        # In a row, without a good answer between.
        self.ejection_repeats = 0
        # What the control process found.
        self.is_up = True

    @property
    def is_well(self) -> bool:
        return self.is_up and not self.ejected_until

    @property
    def busy_count(self) -> int:
        """Exchanges and tunnels that have a connection."""
        return self.open_count - len(self.pool)

    def retire(self) -> None:
        """It is no target any more: what is under way ends, nothing new begins."""
        self.pool.retire()
