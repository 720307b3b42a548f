"""[[routes]]: which requests go where, and by which rules."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from proxy.settings.lanes import LaneName
from proxy.settings.rate_limits import RateLimits
from proxy.settings.section import Section
from proxy.settings.types import (
    DomainSubject,
    HeaderToken,
    HeaderValue,
    HostHeader,
    HostPattern,
    MethodToken,
    RoutePath,
    Score,
    SizeBytes,
    SourceName,
)

# Each has counters in the shared memory.
MOST_ROUTES = 256


class HeaderMatchSettings(Section):
    """A field that must be there; with a value, be that."""

    name: HeaderToken
    value: Annotated[str | None, Field(max_length=1024)] = None


class HeaderChangeSettings(Section):
    """Fields of a message: set (instead of what came), added beside it, removed."""

    set: dict[HeaderToken, HeaderValue] = Field(default_factory=dict)
    add: dict[HeaderToken, HeaderValue] = Field(default_factory=dict)
    remove: tuple[HeaderToken, ...] = ()


class RedirectSettings(Section):
    """The answer is another place."""

    status: Literal[301, 302, 303, 307, 308] = 308
    location: Annotated[str, Field(min_length=1, max_length=2048)]


class RespondSettings(Section):
    """The answer is always the same."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    content_type: Annotated[str, Field(min_length=1, max_length=256)] = "text/plain; charset=utf-8"
    body: Annotated[str, Field(max_length=65536)] = ""


class RouteSettings(Section):
    """[[routes]]: one route. What is left out is as in [edge] and [upstream]."""

    name: SourceName
    hosts: tuple[HostPattern, ...] = ()
    path: RoutePath | None = None
    path_prefix: RoutePath | None = None
    methods: tuple[MethodToken, ...] = ()
    headers: tuple[HeaderMatchSettings, ...] = ()
    upstream: SourceName = "default"
    lane: LaneName | None = None
    block_score: Score | None = None
    mode: Literal["enforce", "observe"] | None = None
    domains: tuple[DomainSubject, ...] | None = None
    body_bytes: SizeBytes | None = None
    host_header: HostHeader | None = None
    rate_limits: RateLimits = ()
    strip_prefix: RoutePath | None = None
    add_prefix: RoutePath | None = None
    request_headers: HeaderChangeSettings = HeaderChangeSettings()
    response_headers: HeaderChangeSettings = HeaderChangeSettings()
    redirect: RedirectSettings | None = None
    respond: RespondSettings | None = None

    @field_validator("block_score")
    @classmethod
    def _blocks_something_less_than_all(cls, value: float | None) -> float | None:
        if value == 0:
            raise ValueError("must be above 0: every entry of every list would block")
        return value

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.path is not None and self.path_prefix is not None:
            raise ValueError(f"route {self.name!r} has path and path_prefix; it can have one of them")
        if self.redirect is not None and self.respond is not None:
            raise ValueError(f"route {self.name!r} has redirect and respond; it can have one of them")
        elsewhere = [name for name in ("lane", "redirect", "respond") if getattr(self, name) is not None]
        if self.lane is not None and ("upstream" in self.model_fields_set or len(elsewhere) > 1):
            others = " and ".join([*elsewhere, *({"upstream"} & self.model_fields_set)])
            raise ValueError(f"route {self.name!r} has {others}; it can have one of them")
        return self
