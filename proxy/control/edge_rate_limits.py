"""Rate limits of the settings -> those that workers get."""

from proxy.edge.config_rate_limits import RateLimitConfig
from proxy.settings.rate_limits import RateLimits


def to_rate_limit_configs(limits: RateLimits) -> tuple[RateLimitConfig, ...]:
    return tuple(
        RateLimitConfig(limit.name, limit.key, limit.requests, limit.per_seconds, limit.burst)
        for limit in limits
    )
