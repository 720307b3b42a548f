"""What the aiohttp proxy works by, as the front door itself or as a lane behind the edge."""

from dataclasses import dataclass

from proxy.edge.config import EdgeConfig
from proxy.edge.config_upstreams import TargetConfig


@dataclass(frozen=True, slots=True)
class LaneConfig:
    """Seconds, bytes and counts. A size or rate of 0 means no limit.

    `is_behind_edge`: who connects is an edge worker of ours. It has checked the request and said who the
    client is, so its fields pass as they are; nothing of ours is added, looked for or removed.
    """

    upstream_host: str = "127.0.0.1"
    upstream_port: int = 8070
    targets: tuple[TargetConfig, ...] = ()
    """Instead of that one host and port."""
    upstream_host_header: str | None = None
    upstream_idle_count: int = 256
    upstream_idle_seconds: float = 15.0
    upstream_connect_seconds: float = 2.0
    upstream_head_seconds: float = 60.0
    upstream_read_idle_seconds: float = 60.0
    upstream_write_idle_seconds: float = 30.0
    receive_buffer_bytes: int = 65536
    trusted_proxies: tuple[str, ...] = ()
    via: str = "sentra"
    head_bytes: int = 16384
    target_bytes: int = 8192
    header_count: int = 100
    body_bytes: int = 0
    minimum_body_bytes_per_second: int = 0
    response_head_bytes: int = 65536
    head_seconds: float = 10.0
    keepalive_seconds: float = 30.0
    body_idle_seconds: float = 30.0
    send_idle_seconds: float = 30.0
    linger_bytes: int = 65536
    linger_seconds: float = 1.0
    drain_seconds: float = 30.0
    connection_count: int = 20000
    is_behind_edge: bool = False
    concurrency_count: int = 256
    """Behind the edge: requests at a time; one more is answered 503."""
    read_bytes: int = 1048576
    """Largest body that a middleware may read whole; beyond it aiohttp answers 413."""

    @property
    def all_targets(self) -> tuple[TargetConfig, ...]:
        return self.targets or (TargetConfig(host=self.upstream_host, port=self.upstream_port),)

    @classmethod
    def of_edge(cls, config: EdgeConfig) -> "LaneConfig":
        """The engine in the place of an edge worker."""
        return cls(
            upstream_host=config.upstream_host,
            upstream_port=config.upstream_port,
            upstream_host_header=config.upstream_host_header,
            upstream_idle_count=config.upstream_idle_count,
            upstream_idle_seconds=config.upstream_idle_seconds,
            upstream_connect_seconds=config.upstream_connect_seconds,
            upstream_head_seconds=config.upstream_head_seconds,
            upstream_read_idle_seconds=config.upstream_read_idle_seconds,
            upstream_write_idle_seconds=config.upstream_write_idle_seconds,
            receive_buffer_bytes=config.receive_buffer_bytes,
            trusted_proxies=config.trusted_proxies,
            via=config.via,
            head_bytes=config.head_bytes,
            target_bytes=config.target_bytes,
            header_count=config.header_count,
            body_bytes=config.body_bytes,
            response_head_bytes=config.response_head_bytes,
            head_seconds=config.head_seconds,
            keepalive_seconds=config.keepalive_seconds,
            body_idle_seconds=config.body_idle_seconds,
            send_idle_seconds=config.send_idle_seconds,
            linger_bytes=config.linger_bytes,
            linger_seconds=config.linger_seconds,
            drain_seconds=config.drain_seconds,
            connection_count=config.connection_count,
        )
