"""[[routes]]: which requests go where, and by which rules."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from proxy.settings.section import Section
from proxy.settings.types import (
    DomainSubject,
    HeaderToken,
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


class RouteSettings(Section):
    """[[routes]]: one route. What is left out is as in [edge] and [upstream]."""

    name: SourceName
    hosts: tuple[HostPattern, ...] = ()
    path: RoutePath | None = None
    path_prefix: RoutePath | None = None
    methods: tuple[MethodToken, ...] = ()
    headers: tuple[HeaderMatchSettings, ...] = ()
    upstream: SourceName = "default"
    block_score: Score | None = None
    mode: Literal["enforce", "observe"] | None = None
    domains: tuple[DomainSubject, ...] | None = None
    body_bytes: SizeBytes | None = None
    host_header: HostHeader | None = None

    @field_validator("block_score")
    @classmethod
    def _blocks_something_less_than_all(cls, value: float | None) -> float | None:
        if value == 0:
            raise ValueError("must be above 0: every entry of every list would block")
        return value

    @model_validator(mode="after")
    def _has_one_path(self) -> Self:
        if self.path is not None and self.path_prefix is not None:
            raise ValueError(f"route {self.name!r} has path and path_prefix; it can have one of them")
        return self
