"""Rate limits, as they travel in a CONFIGURE frame."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimitConfig:
    """`key`: `client`, `route` or `header:NAME`. `burst` None: as many at once as `requests`."""

    name: str
    key: str = "client"
    requests: int = 1
    per_seconds: int = 1
    burst: int | None = None
