"""The settings themselves: sections, keys, defaults, limits. `sentra.example.toml` explains each key."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from proxy.settings.access_log import AccessLogSettings
from proxy.settings.lanes import MOST_LANES, LaneSettings
from proxy.settings.listeners import ListenerSettings
from proxy.settings.rate_limits import RateLimitingSettings, RateLimits
from proxy.settings.routes import MOST_ROUTES, RouteSettings
from proxy.settings.section import Section
from proxy.settings.sight import SightSettings
from proxy.settings.types import (
    Bind,
    BindAddress,
    DomainSubject,
    HeaderToken,
    Hex256,
    ListKind,
    Network,
    NetworkOrDomain,
    Score,
    Seconds,
    SizeBytes,
    SourceName,
    TokenSecret,
    UpstreamUrl,
    is_loopback,
)
from proxy.settings.upstreams import (
    DEFAULT_NAME,
    MOST_UPSTREAMS,
    NamedUpstreamSettings,
    UpstreamKeys,
    UpstreamSettings,
)

ENVIRONMENT_PREFIX = "SENTRA_"


class TimeoutSettings(Section):
    """[edge.timeouts]: what a client may take."""

    head_seconds: Seconds = 10.0
    keepalive_seconds: Seconds = 30.0
    body_idle_seconds: Seconds = 30.0
    send_idle_seconds: Seconds = 30.0
    tunnel_idle_seconds: Seconds = 3600.0
    linger_seconds: Seconds = 1.0
    drain_seconds: Seconds = 30.0


class LimitSettings(Section):
    """[edge.limits]: what a client may send and what a worker may hold."""

    head_bytes: Annotated[int, Field(ge=1024, le=262144)] = 16384
    target_bytes: Annotated[int, Field(ge=256, le=262144)] = 8192
    header_count: Annotated[int, Field(ge=8, le=1000)] = 100
    body_bytes: SizeBytes = 0
    response_head_bytes: Annotated[int, Field(ge=1024, le=1048576)] = 65536
    linger_bytes: SizeBytes = 65536
    write_buffer_bytes: Annotated[int, Field(ge=16384, le=67108864)] = 262144
    pipelined_bytes: Annotated[int, Field(ge=1024, le=16777216)] = 65536
    receive_buffer_bytes: Annotated[int, Field(ge=4096, le=16777216)] = 65536
    connection_count: Annotated[int, Field(ge=1, le=1000000)] = 20000
    backlog_count: Annotated[int, Field(ge=1, le=65535)] = 4096
    buffer_bytes: SizeBytes = 268435456


class EdgeSettings(Section):
    """[edge]"""

    listen: Bind = BindAddress("0.0.0.0", 8080)
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    engine: Literal["native", "aiohttp"] = "native"
    mode: Literal["enforce", "observe"] = "enforce"
    block_score: Score = 7.0
    drop_score: Score | None = None
    domains: tuple[DomainSubject, ...] = ("host",)
    trusted_proxies: tuple[Network, ...] = ()
    on_block: Literal["close", "finish"] = "close"
    half_close: Literal["cancel", "serve"] = "cancel"
    via: HeaderToken = "sentra"
    timeouts: TimeoutSettings = TimeoutSettings()
    limits: LimitSettings = LimitSettings()
    rate_limits: RateLimits = ()
    rate_limiting: RateLimitingSettings = RateLimitingSettings()

    @field_validator("drop_score")
    @classmethod
    def _drops_only_what_is_blocked(cls, value: float | None, info: ValidationInfo) -> float | None:
        block_score = info.data.get("block_score")
        if value is None or block_score is None:
            return value
        if info.data.get("mode") == "observe":
            raise ValueError(
                "cannot be used while edge.mode is 'observe': a dropped connection is not observed"
            )
        if value < block_score:
            raise ValueError(f"must not lie below edge.block_score, which is {block_score:g}")
        return value


class ListSettings(Section):
    """[[lists]]: one list file."""

    path: Path
    source: SourceName
    score: Score = 8.0
    format: Literal["plain", "cidr", "netset", "ipset", "hosts", "csv", "misp"] = "plain"
    kind: ListKind = "suffix"
    disposition: Literal["block", "allow", "known_good"] = "block"
    score_column: Annotated[int | None, Field(ge=0, le=255)] = None
    score_map: tuple[tuple[float, Score], ...] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    categories: tuple[SourceName, ...] = ()
    allow_empty: bool = False

    @field_validator("score_column", "score_map")
    @classmethod
    def _columns_belong_to_csv(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("format") not in (None, "csv"):
            raise ValueError(f"belongs to format 'csv', but the format is {info.data['format']!r}")
        return value


class BlocklistSettings(Section):
    """[blocklist]: how lists are read and what no change may do."""

    folder: Path | None = None
    folder_score: Score = 8.0
    reload_seconds: Annotated[float, Field(ge=0.05, le=86400)] = 2.0
    minimum_parsed: Annotated[float, Field(ge=0, le=1)] = 0.9
    on_missing: Literal["open", "closed"] = "closed"
    never_block: tuple[NetworkOrDomain, ...] = ()
    never_block_private: bool = True
    minimum_prefix_v4: Annotated[int, Field(ge=0, le=32)] = 16
    minimum_prefix_v6: Annotated[int, Field(ge=0, le=128)] = 32
    ipv6_host_prefix: Annotated[int, Field(ge=32, le=128)] = 64
    maximum_block_ttl_seconds: Annotated[int, Field(ge=1)] = 31_536_000
    maximum_allow_ttl_seconds: Annotated[int, Field(ge=1)] = 31_536_000
    permanent_entries: bool = True
    manual_entry_count: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    fold_count: Annotated[int, Field(ge=0, le=1_000_000)] = 4_096


class TokenSettings(Section):
    """[[control.tokens]]: who may call the admin API, and for what."""

    name: SourceName
    scopes: tuple[Literal["read", "propose", "write", "approve"], ...] = Field(min_length=1)
    secret: TokenSecret | None = None
    secret_env: Annotated[str | None, Field(min_length=1)] = None
    secret_file: Path | None = None
    sha256: Hex256 | None = None

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        given = [
            name
            for name in ("secret", "secret_env", "secret_file", "sha256")
            if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"token {self.name!r} needs exactly one of secret, secret_env, secret_file, sha256;"
                f" it has {', '.join(given) or 'none'}"
            )
        return self


class ControlSettings(Section):
    """[control]: the admin API and the ops port."""

    admin_listen: Bind = BindAddress("127.0.0.1", 9901)
    ops_listen: Bind = BindAddress("0.0.0.0", 9902)
    auth: Literal["token", "none"] = "token"
    tokens: tuple[TokenSettings, ...] = ()
    apply_seconds: Annotated[float, Field(ge=0, le=10)] = 0.5

    @field_validator("auth")
    @classmethod
    def _no_open_door(cls, value: str, info: ValidationInfo) -> str:
        address = info.data.get("admin_listen")
        if value == "none" and address is not None and not is_loopback(address.host):
            raise ValueError(
                f"'none' is for loopback only, but control.admin_listen is {address}; configure tokens"
            )
        return value

    @field_validator("tokens")
    @classmethod
    def _names_differ(cls, value: tuple[TokenSettings, ...]) -> tuple[TokenSettings, ...]:
        names = [token.name for token in value]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two tokens are named {repeated[0]!r}; each needs its own name")
        return value


class StateSettings(Section):
    """[state]: what is kept on disk."""

    directory: Path = Path("var")
    runtime_directory: Path | None = None
    store_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    store_queue_count: Annotated[int, Field(ge=1, le=100_000)] = 1000
    log_count: Annotated[int, Field(ge=100)] = 100_000
    denial_count: Annotated[int, Field(ge=0, le=10_000_000)] = 100_000

    @property
    def run(self) -> Path:
        """Sockets and frames; `run` inside the data directory unless set."""
        return self.runtime_directory or self.directory / "run"


class LogSettings(Section):
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"

    @field_validator("level", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """Everything; made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        # `NAME=` in a copied .env is a value that was not filled in.
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        validate_default=True,
    )

    edge: EdgeSettings = EdgeSettings()
    listeners: tuple[ListenerSettings, ...] = ()
    upstream: UpstreamSettings = UpstreamSettings()
    upstreams: Annotated[tuple[NamedUpstreamSettings, ...], Field(max_length=MOST_UPSTREAMS)] = ()
    routes: Annotated[tuple[RouteSettings, ...], Field(max_length=MOST_ROUTES)] = ()
    lanes: Annotated[tuple[LaneSettings, ...], Field(max_length=MOST_LANES)] = ()
    lists: tuple[ListSettings, ...] = ()
    blocklist: BlocklistSettings = BlocklistSettings()
    control: ControlSettings = ControlSettings()
    state: StateSettings = StateSettings()
    sight: SightSettings = SightSettings()
    log: LogSettings = LogSettings()
    access_log: AccessLogSettings = AccessLogSettings()

    def upstream_named(self, name: str) -> UpstreamKeys:
        """[upstream] or one of [[upstreams]]. Raises KeyError."""
        for upstream in self.upstreams:
            if upstream.name == name:
                return upstream
        if name != DEFAULT_NAME:
            raise KeyError(name)
        return self.upstream

    def upstream_urls(self, name: str) -> tuple[UpstreamUrl, ...]:
        """Of its targets. Raises KeyError."""
        upstream = self.upstream_named(name)
        if isinstance(upstream, NamedUpstreamSettings):
            return tuple(target.url for target in upstream.targets)
        return (self.upstream.url,)

    @field_validator("lists")
    @classmethod
    def _sources_differ(cls, value: tuple[ListSettings, ...]) -> tuple[ListSettings, ...]:
        names = [item.source for item in value]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two lists have the source {repeated[0]!r}; a verdict could not name its list")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 the signature is pydantic-settings' own
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 the signature is pydantic-settings' own
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 the signature is pydantic-settings' own
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment above the file, which comes in as keyword arguments."""
        if lists_folder(os.environ) is not None:
            environment: Any = env_settings  # the mapping is public but not in the base class
            environment.env_vars = {
                k: v for k, v in environment.env_vars.items() if k.upper() != "SENTRA_LISTS"
            }
        return env_settings, init_settings


def lists_folder(environ: Mapping[str, str]) -> str | None:
    """`SENTRA_LISTS` names a folder of list files, unless it is a JSON array of `[[lists]]` tables."""
    value = environ.get("SENTRA_LISTS", "").strip()
    return None if not value or value.startswith("[") else value
