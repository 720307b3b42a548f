"""[upstream] and [[upstreams]]: what requests are sent to, and how."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from proxy.settings.section import Section
from proxy.settings.types import CheckPath, HostHeader, RoutePath, Seconds, SourceName, Upstream, UpstreamUrl

DEFAULT_NAME = "default"
# As `host_header`: each target is asked by its own name.
HOST_OF_TARGET = "target"
MOST_UPSTREAMS = 256
MOST_TARGETS = 256
MOST_WEIGHT = 100
# Tyk answers 503 there while Redis is away, before its first reload, and as soon as it stops.
PRESET_PATHS = {"tyk": "/ready"}


class RetrySettings(Section):
    """`retries`: to another target, and only of what cannot have been carried out, or may be twice."""

    count: Annotated[int, Field(ge=0, le=10)] = 1
    budget_percent: Annotated[float, Field(ge=0, le=100)] = 20.0
    minimum_per_second: Annotated[float, Field(ge=0, le=1000)] = 3.0


class EjectionSettings(Section):
    """`ejection`: a target that fails is left out for a while. Fails: refuses, resets, is silent, or answers
    with one of `statuses`."""

    consecutive_failures: Annotated[int, Field(ge=0, le=1000)] = 5
    window_seconds: Seconds = 30.0
    seconds: Seconds = 30.0
    maximum_percent: Annotated[float, Field(ge=0, le=100)] = 50.0
    statuses: tuple[Annotated[int, Field(ge=500, le=599)], ...] = (502, 503, 504)


class HealthSettings(Section):
    """`health`: the control process asks each target. A preset fills in what is not given."""

    preset: Literal["tyk"] | None = None
    path: CheckPath | None = None
    host: HostHeader | None = None
    interval_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    healthy_count: Annotated[int, Field(ge=1, le=100)] = 2
    unhealthy_count: Annotated[int, Field(ge=1, le=100)] = 3
    statuses: Annotated[tuple[Annotated[int, Field(ge=200, le=599)], ...], Field(min_length=1)] = (200,)
    body_contains: Annotated[str | None, Field(min_length=1, max_length=1024)] = None

    @field_validator("path")
    @classmethod
    def _is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and "preset" in info.data:
            if info.data["preset"] is None:
                raise ValueError("must be given, or a preset")
            return PRESET_PATHS[info.data["preset"]]
        return value


class UpstreamTlsSettings(Section):
    """`tls`: how https targets are spoken to, and what they must prove."""

    ca: Path | None = None
    server_name: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")] = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True

    @field_validator("key")
    @classmethod
    def _belongs_to_a_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "certificate" in info.data and (value is None) is not (info.data["certificate"] is None):
            raise ValueError("belongs to certificate: give both or none")
        return value

    @field_validator("verify")
    @classmethod
    def _trusts_somebody(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("ca") is not None:
            raise ValueError("is false, so ca is of no use; leave one of them out")
        return value


# What the engine `aiohttp` does not know.
NATIVE_KEYS = frozenset(
    {
        "balance",
        "resolve_seconds",
        "receive_buffer_bytes",
        "in_flight_count",
        "queue_count",
        "queue_seconds",
        "retries",
        "ejection",
        "health",
        "tls",
        "proxy_protocol",
    }
)


class UpstreamKeys(Section):
    """What both kinds of table know."""

    balance: Literal["round_robin", "least_connections", "power_of_two", "client_hash"] = "round_robin"
    host_header: HostHeader | None = None
    idle_count: Annotated[int, Field(ge=0, le=65536)] = 256
    idle_seconds: Seconds = 15.0
    connect_seconds: Seconds = 2.0
    head_seconds: Seconds = 60.0
    read_idle_seconds: Seconds = 60.0
    write_idle_seconds: Seconds = 30.0
    resolve_seconds: Seconds = 10.0
    receive_buffer_bytes: Annotated[int | None, Field(ge=4096, le=16777216)] = None
    in_flight_count: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    queue_count: Annotated[int, Field(ge=0, le=100_000)] = 1000
    queue_seconds: Seconds = 5.0
    retries: RetrySettings = RetrySettings()
    ejection: EjectionSettings = EjectionSettings()
    health: HealthSettings | None = None
    tls: UpstreamTlsSettings = UpstreamTlsSettings()
    proxy_protocol: Literal["off", "v1", "v2"] = "off"
    protect_tyk: bool | None = None
    # `health_check_endpoint_name` and its like in tyk.conf rename the last two.
    tyk_paths: tuple[RoutePath, ...] = ("/tyk", "/hello", "/ready")

    @property
    def hidden_paths(self) -> tuple[str, ...]:
        """Tyk serves its control API and its health on the port of the traffic. Who has it asked as Tyk
        means Tyk."""
        is_tyk = self.health is not None and self.health.preset == "tyk"
        protects = is_tyk if self.protect_tyk is None else self.protect_tyk
        return self.tyk_paths if protects else ()


Table = TypeVar("Table", bound=UpstreamKeys)


class UpstreamSettings(UpstreamKeys):
    """[upstream]: the upstream named default, with one target."""

    url: Upstream = UpstreamUrl("127.0.0.1", 8070)


class TargetSettings(Section):
    """One of `targets`."""

    url: Upstream
    weight: Annotated[int, Field(ge=1, le=MOST_WEIGHT)] = 1


class NamedUpstreamSettings(UpstreamKeys):
    """[[upstreams]]: an upstream that routes name."""

    name: SourceName
    targets: Annotated[tuple[TargetSettings, ...], Field(min_length=1, max_length=MOST_TARGETS)]

    @field_validator("targets")
    @classmethod
    def _targets_differ(cls, value: tuple[TargetSettings, ...]) -> tuple[TargetSettings, ...]:
        urls = [str(target.url) for target in value]
        if repeated := sorted({url for url in urls if urls.count(url) > 1}):
            raise ValueError(f"two targets are {repeated[0]}; give one of them more weight")
        return value


def with_absolute_files(table: Table, base: Path) -> Table:
    """Relative paths start at the folder of the settings' file."""
    paths = {name: getattr(table.tls, name) for name in ("ca", "certificate", "key")}
    absolute = {name: base / path for name, path in paths.items() if path is not None}
    if not absolute:
        return table
    return table.model_copy(update={"tls": table.tls.model_copy(update=absolute)})
