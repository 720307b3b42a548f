"""Settings and the name of a lane -> what its process works by."""

from pathlib import Path

from aiohttp.typedefs import Middleware

from proxy.edge.config_upstreams import TargetConfig
from proxy.errors import ConfigError
from proxy.lane.config import LaneConfig
from proxy.lane.loading import load_middlewares
from proxy.settings import LaneSettings, Settings, locate
from proxy.settings.upstreams import NamedUpstreamSettings

# An edge worker closes a connection that it leaves idle; the lane must never be the first.
_KEEPALIVE_SECONDS = 3600.0


def lane_config(settings: Settings, lane: LaneSettings) -> LaneConfig:
    """Heads of the edge are a little larger than what it takes: its own fields come on top."""
    upstream = settings.upstream_named(lane.upstream)
    timeouts, limits = settings.edge.timeouts, settings.edge.limits
    return LaneConfig(
        targets=_targets(settings, lane.upstream),
        upstream_host_header=upstream.host_header,
        upstream_idle_count=upstream.idle_count,
        upstream_idle_seconds=upstream.idle_seconds,
        upstream_connect_seconds=upstream.connect_seconds,
        upstream_head_seconds=upstream.head_seconds,
        upstream_read_idle_seconds=upstream.read_idle_seconds,
        upstream_write_idle_seconds=upstream.write_idle_seconds,
        receive_buffer_bytes=upstream.receive_buffer_bytes or limits.receive_buffer_bytes,
        via=settings.edge.via,
        head_bytes=2 * limits.head_bytes,
        target_bytes=2 * limits.target_bytes,
        header_count=limits.header_count + 32,
        response_head_bytes=limits.response_head_bytes,
        head_seconds=timeouts.head_seconds,
        keepalive_seconds=_KEEPALIVE_SECONDS,
        body_idle_seconds=timeouts.body_idle_seconds,
        send_idle_seconds=timeouts.send_idle_seconds,
        linger_bytes=limits.linger_bytes,
        linger_seconds=timeouts.linger_seconds,
        drain_seconds=timeouts.drain_seconds,
        connection_count=limits.connection_count,
        is_behind_edge=True,
        concurrency_count=lane.concurrency_count,
        read_bytes=lane.read_bytes,
    )


def _targets(settings: Settings, upstream: str) -> tuple[TargetConfig, ...]:
    named = settings.upstream_named(upstream)
    if isinstance(named, NamedUpstreamSettings):
        return tuple(
            TargetConfig(target.url.host, target.url.port, target.url.path, target.weight)
            for target in named.targets
        )
    (url,) = settings.upstream_urls(upstream)
    return (TargetConfig(url.host, url.port, url.path),)


def lane_named(settings: Settings, name: str) -> tuple[int, LaneSettings]:
    """(position, settings). Raises ConfigError."""
    for position, lane in enumerate(settings.lanes):
        if lane.name == name:
            return position, lane
    raise ConfigError(f"there is no lane {name!r} in the settings any more")


def middlewares_of(settings: Settings, name: str, path: Path | None) -> list[Middleware]:
    """Imported. Raises ConfigError with `file:line: lanes.N.middlewares.M: what` for each fault."""
    number, lane = lane_named(settings, name)
    return load_middlewares(
        lane.middlewares,
        lambda position: locate(path, ("lanes", number, "middlewares", position)),
        lane.python_path,
    )
