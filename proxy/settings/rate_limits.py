"""rate_limits and [edge.rate_limiting]: how often a client, a header's value or a route may come."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from proxy.settings.section import Section
from proxy.settings.types import SourceName

# Of [edge], and of one route.
MOST_RATE_LIMITS = 4
_LONGEST_SECONDS = 86400
_MOST_PER_SECOND = 100_000


class RateLimitSettings(Section):
    """One of `rate_limits`: so many requests per time, `burst` of them at once (as many as `requests`)."""

    name: SourceName
    key: Annotated[str, Field(pattern=r"^(client|route|header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})$")]
    requests: Annotated[int, Field(ge=1)]
    per_seconds: Annotated[int, Field(ge=1, le=_LONGEST_SECONDS)]
    burst: Annotated[int | None, Field(ge=1)] = None

    @model_validator(mode="after")
    def _can_be_counted(self) -> Self:
        if self.requests > self.per_seconds * _MOST_PER_SECOND:
            raise ValueError(
                f"rate limit {self.name!r} lets {self.requests} pass in {self.per_seconds} s,"
                f" the most is {_MOST_PER_SECOND} a second"
            )
        in_a_day = self.requests * _LONGEST_SECONDS // self.per_seconds
        if self.burst is not None and self.burst > in_a_day:
            raise ValueError(
                f"rate limit {self.name!r} has a burst of {self.burst},"
                f" the most is what comes in a day, {in_a_day}"
            )
        return self


def _names_differ(value: tuple[RateLimitSettings, ...]) -> tuple[RateLimitSettings, ...]:
    names = [limit.name for limit in value]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two rate limits are named {repeated[0]!r}; clients could not tell them apart")
    return value


RateLimits = Annotated[
    tuple[RateLimitSettings, ...], Field(max_length=MOST_RATE_LIMITS), AfterValidator(_names_differ)
]


class RateLimitingSettings(Section):
    """[edge.rate_limiting]: where all workers of a pod count, and what clients are told."""

    entry_count: Annotated[int, Field(ge=1024, le=16_777_216)] = 65536
    when_full: Literal["limit", "pass"] = "limit"
    fields: Literal["limited", "always"] = "limited"
