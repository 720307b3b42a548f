"""Rate limits of a configuration -> the form that Rust decides by."""

from collections.abc import Iterable

from fastmatch._native import RateLimit
from proxy.edge.config_rate_limits import RateLimitConfig


def gate_rate_limits(limits: Iterable[RateLimitConfig]) -> list[RateLimit]:
    """Checked when a `GateConfig` takes them."""
    return [
        RateLimit(
            limit.name,
            key=limit.key,
            requests=limit.requests,
            per_seconds=limit.per_seconds,
            burst=limit.burst,
        )
        for limit in limits
    ]
