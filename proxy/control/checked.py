"""`health` of [upstream] and [[upstreams]] -> what the control process asks."""

from proxy.control.checks import CheckRule
from proxy.control.edge_config import to_edge_config
from proxy.control.health import CheckedTarget, CheckedUpstream
from proxy.edge.cluster import authority_of
from proxy.edge.config_upstreams import HOST_OF_TARGET, TargetConfig, UpstreamConfig
from proxy.settings import Settings
from proxy.settings.upstreams import HealthSettings


def checked_upstreams(settings: Settings) -> tuple[CheckedUpstream, ...]:
    """The same upstreams that workers have, as far as they are to be checked."""
    health = {upstream.name: upstream.health for upstream in settings.upstreams}
    return tuple(
        _checked(upstream, wanted)
        for upstream in to_edge_config(settings).every_upstream()
        if (wanted := health.get(upstream.name, settings.upstream.health)) is not None
    )


def _checked(upstream: UpstreamConfig, health: HealthSettings) -> CheckedUpstream:
    return CheckedUpstream(
        name=upstream.name,
        targets=tuple(
            CheckedTarget(
                target.host,
                target.port,
                target.path,
                _rule(upstream, target, health),
                is_tls=target.is_tls,
                server_name=(upstream.tls.server_name or target.host) if target.is_tls else None,
            )
            for target in upstream.targets
        ),
        interval_seconds=health.interval_seconds,
        resolve_seconds=upstream.resolve_seconds,
        tls=upstream.tls,
    )


def _rule(upstream: UpstreamConfig, target: TargetConfig, health: HealthSettings) -> CheckRule:
    fixed = upstream.host_header if upstream.host_header != HOST_OF_TARGET else None
    return CheckRule(
        path=health.path or "/",
        host=health.host or fixed or authority_of(target),
        timeout_seconds=health.timeout_seconds,
        healthy_count=health.healthy_count,
        unhealthy_count=health.unhealthy_count,
        statuses=health.statuses,
        body_contains=health.body_contains,
    )
