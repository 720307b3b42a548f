"""[upstream] and [[upstreams]] -> the upstreams that workers get."""

from pathlib import Path

from proxy.edge.config import EdgeConfig
from proxy.edge.config_upstreams import EjectionConfig, TargetConfig, UpstreamConfig, UpstreamTlsConfig
from proxy.settings import LaneSettings, Settings
from proxy.settings.lanes import UPSTREAM_PREFIX, lane_socket_name
from proxy.settings.types import UpstreamUrl
from proxy.settings.upstreams import DEFAULT_NAME, UpstreamKeys

_LANE_SECONDS = 1.0


def to_upstream_configs(settings: Settings, config: EdgeConfig) -> tuple[UpstreamConfig, ...]:
    """Those that the plain fields of `config` do not say already."""
    receive_buffer_bytes = settings.edge.limits.receive_buffer_bytes
    named = tuple(
        _upstream(
            upstream.name,
            upstream,
            tuple(_target(target.url, target.weight) for target in upstream.targets),
            receive_buffer_bytes,
        )
        for upstream in settings.upstreams
    )
    named += tuple(_lane(lane, settings) for lane in settings.lanes)
    if any(upstream.name == DEFAULT_NAME for upstream in named):
        return named
    target = _target(settings.upstream.url, 1)
    default = _upstream(DEFAULT_NAME, settings.upstream, (target,), receive_buffer_bytes)
    return named if default == config.default_upstream() else (default, *named)


def _lane(lane: LaneSettings, settings: Settings) -> UpstreamConfig:
    """To a worker a lane is one more upstream, on a unix socket. It has deadlines of its own towards the
    origin; the worker waits a little longer, so that the lane's answer is the one that is given.
    """
    upstream = settings.upstream_named(lane.upstream)
    head_seconds = lane.head_seconds or upstream.head_seconds + _LANE_SECONDS
    return UpstreamConfig(
        name=UPSTREAM_PREFIX + lane.name,
        targets=(TargetConfig(path=str(settings.state.run / lane_socket_name(lane.name))),),
        idle_count=upstream.idle_count,
        idle_seconds=upstream.idle_seconds,
        connect_seconds=upstream.connect_seconds,
        head_seconds=head_seconds,
        read_idle_seconds=upstream.read_idle_seconds + _LANE_SECONDS,
        write_idle_seconds=upstream.write_idle_seconds + _LANE_SECONDS,
        receive_buffer_bytes=settings.edge.limits.receive_buffer_bytes,
    )


def _target(url: UpstreamUrl, weight: int) -> TargetConfig:
    is_tls = url.scheme == "https"
    return TargetConfig(host=url.host, port=url.port, path=url.path, weight=weight, is_tls=is_tls)


def _upstream(
    name: str, keys: UpstreamKeys, targets: tuple[TargetConfig, ...], receive_buffer_bytes: int
) -> UpstreamConfig:
    return UpstreamConfig(
        name=name,
        targets=targets,
        balance=keys.balance,
        host_header=keys.host_header,
        idle_count=keys.idle_count,
        idle_seconds=keys.idle_seconds,
        connect_seconds=keys.connect_seconds,
        head_seconds=keys.head_seconds,
        read_idle_seconds=keys.read_idle_seconds,
        write_idle_seconds=keys.write_idle_seconds,
        receive_buffer_bytes=keys.receive_buffer_bytes or receive_buffer_bytes,
        resolve_seconds=keys.resolve_seconds,
        in_flight_count=keys.in_flight_count,
        queue_count=keys.queue_count,
        queue_seconds=keys.queue_seconds,
        retry_count=keys.retries.count,
        retry_budget_percent=keys.retries.budget_percent,
        retry_minimum_per_second=keys.retries.minimum_per_second,
        ejection=EjectionConfig(
            consecutive_failures=keys.ejection.consecutive_failures,
            window_seconds=keys.ejection.window_seconds,
            seconds=keys.ejection.seconds,
            maximum_percent=keys.ejection.maximum_percent,
            statuses=keys.ejection.statuses,
        ),
        has_checks=keys.health is not None,
        tls=UpstreamTlsConfig(
            ca=_text(keys.tls.ca),
            server_name=keys.tls.server_name,
            certificate=_text(keys.tls.certificate),
            key=_text(keys.tls.key),
            verify=keys.tls.verify,
        ),
        proxy_protocol=keys.proxy_protocol,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
