"""Routes, as they travel in a CONFIGURE frame: the order is the number that Rust gives for one."""

from dataclasses import dataclass
from typing import Literal

from proxy.edge.config_rate_limits import RateLimitConfig


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """`value` None: present at all."""

    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """`set` replaces what came, `add` stands beside it."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    status: int
    location: str


@dataclass(frozen=True, slots=True)
class FixedResponse:
    status: int
    content_type: str
    body: str


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """None: as the configuration around it says."""

    name: str = "default"
    hosts: tuple[str, ...] = ()
    path: str | None = None
    path_prefix: str | None = None
    methods: tuple[str, ...] = ()
    headers: tuple[HeaderMatch, ...] = ()
    upstream: str = "default"
    block_score: float | None = None
    observe: bool | None = None
    domains: tuple[Literal["host", "origin", "referer"], ...] | None = None
    body_bytes: int | None = None
    host_header: str | None = None
    rate_limits: tuple[RateLimitConfig, ...] = ()
    strip_prefix: str | None = None
    add_prefix: str | None = None
    request_headers: HeaderChanges = HeaderChanges()
    response_headers: HeaderChanges = HeaderChanges()
    redirect: Redirect | None = None
    respond: FixedResponse | None = None
    hidden_paths: tuple[str, ...] = ()
