"""The part of the settings that an edge worker works by, in the form that travels in a CONFIGURE frame."""

from dataclasses import asdict, dataclass
from typing import Literal

import orjson

from proxy.edge.config_listeners import ListenerConfig
from proxy.edge.config_rate_limits import RateLimitConfig
from proxy.edge.config_routes import RouteConfig
from proxy.edge.config_upstreams import DEFAULT_NAME, TargetConfig, UpstreamConfig
from proxy.edge.wire import decode


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Plain values only: seconds, bytes, scores 0-10. A new field needs a default, an older peer may send.

    Tables of the settings that repeat are tuples of dataclasses, one file each (`config_routes.py`).
    """

    upstream_host: str = "127.0.0.1"
    upstream_port: int = 8070
    upstream_host_header: str | None = None
    upstream_idle_count: int = 256
    upstream_idle_seconds: float = 15.0
    upstream_connect_seconds: float = 2.0
    upstream_head_seconds: float = 60.0
    upstream_read_idle_seconds: float = 60.0
    upstream_write_idle_seconds: float = 30.0
    receive_buffer_bytes: int = 65536
    trusted_proxies: tuple[str, ...] = ()
    block_score: float = 7.0
    drop_score: float | None = None
    observe: bool = False
    domains: tuple[Literal["host", "origin", "referer"], ...] = ("host",)
    on_missing: Literal["open", "closed"] = "closed"
    rate_limits: tuple[RateLimitConfig, ...] = ()
    limit_fields: Literal["limited", "always"] = "limited"
    limit_when_full: Literal["limit", "pass"] = "limit"
    on_block: Literal["close", "finish"] = "close"
    half_close: Literal["cancel", "serve"] = "cancel"
    via: str = "sentra"
    head_bytes: int = 16384
    target_bytes: int = 8192
    header_count: int = 100
    body_bytes: int = 0
    response_head_bytes: int = 65536
    head_seconds: float = 10.0
    keepalive_seconds: float = 30.0
    body_idle_seconds: float = 30.0
    send_idle_seconds: float = 30.0
    tunnel_idle_seconds: float = 3600.0
    linger_bytes: int = 65536
    linger_seconds: float = 1.0
    drain_seconds: float = 30.0
    write_buffer_bytes: int = 262144
    pipelined_bytes: int = 65536
    connection_count: int = 20000
    backlog_count: int = 4096
    buffer_bytes: int = 268435456
    # Empty: off. "-": the program's own log.
    access_log_path: str = ""
    access_log_share: float = 1.0
    access_log_query: bool = False
    access_log_buffer_bytes: int = 4194304
    routes: tuple[RouteConfig, ...] = (RouteConfig(),)
    listeners: tuple[ListenerConfig, ...] = ()
    # One named default stands for the fields `upstream_...` above.
    upstreams: tuple[UpstreamConfig, ...] = ()

    def default_upstream(self) -> UpstreamConfig:
        """What the fields `upstream_...` say."""
        return UpstreamConfig(
            name=DEFAULT_NAME,
            targets=(TargetConfig(host=self.upstream_host, port=self.upstream_port),),
            host_header=self.upstream_host_header,
            idle_count=self.upstream_idle_count,
            idle_seconds=self.upstream_idle_seconds,
            connect_seconds=self.upstream_connect_seconds,
            head_seconds=self.upstream_head_seconds,
            read_idle_seconds=self.upstream_read_idle_seconds,
            write_idle_seconds=self.upstream_write_idle_seconds,
            receive_buffer_bytes=self.receive_buffer_bytes,
        )

    def every_upstream(self) -> tuple[UpstreamConfig, ...]:
        if any(upstream.name == DEFAULT_NAME for upstream in self.upstreams):
            return self.upstreams
        return (self.default_upstream(), *self.upstreams)

    def to_wire(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_wire(cls, payload: bytes) -> "EdgeConfig":
        """Fields that this worker does not know are left out. Raises ValueError when not a JSON object."""
        return decode(cls, orjson.loads(payload))
