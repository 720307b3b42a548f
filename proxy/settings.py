"""One TOML file and the environment -> Settings, or a ConfigError that names file, line and key.

The environment wins over the file: `SENTRA_EDGE__BLOCK_SCORE=6` is `[edge] block_score = 6`.
`TYK_GATEWAY_URL` and `LOG_LEVEL` are known by their own names. Relative paths start at the folder of the file.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from proxy.errors import ConfigError
from proxy.setting_types import (
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
    Upstream,
    UpstreamUrl,
    is_loopback,
)
from proxy.toml_lines import KeyPath, key_lines, nearest_line

DEFAULT_CONFIG_NAME = "sentra.toml"
ENVIRONMENT_PREFIX = "SENTRA_"

# Names under our prefix that are no settings but the command line's own.
_OTHER_VARIABLES = frozenset({"SENTRA_CONFIG", "SENTRA_ADMIN_URL", "SENTRA_ADMIN_TOKEN"})
# Kubernetes puts these into every pod for a Service named sentra-...; they are not typing mistakes.
_SERVICE_LINK = re.compile(
    r"^[A-Z0-9_]+_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$"
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class TimeoutSettings(_Section):
    """[edge.timeouts]: what a client may take."""

    head_seconds: Seconds = 10.0
    keepalive_seconds: Seconds = 30.0
    body_idle_seconds: Seconds = 30.0
    send_idle_seconds: Seconds = 30.0
    tunnel_idle_seconds: Seconds = 3600.0
    linger_seconds: Seconds = 1.0
    drain_seconds: Seconds = 30.0


class LimitSettings(_Section):
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


class EdgeSettings(_Section):
    """[edge]"""

    listen: Bind = BindAddress("0.0.0.0", 8080)
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    engine: Literal["edge", "aiohttp"] = "edge"
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


class UpstreamSettings(_Section):
    """[upstream]: the gateway behind the edge."""

    url: Upstream = UpstreamUrl("127.0.0.1", 8070)
    host_header: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9._:\[\]-]{1,255}$")] = None
    idle_count: Annotated[int, Field(ge=0, le=65536)] = 256
    idle_seconds: Seconds = 15.0
    connect_seconds: Seconds = 2.0
    head_seconds: Seconds = 60.0
    read_idle_seconds: Seconds = 60.0
    write_idle_seconds: Seconds = 30.0


class ListSettings(_Section):
    """[[lists]]: one list file."""

    path: Path
    source: SourceName
    score: Score = 8.0
    format: Literal["plain", "cidr", "netset", "ipset", "hosts", "csv", "misp"] = "plain"
    kind: ListKind = "suffix"
    disposition: Literal["block", "allow", "known_good"] = "block"
    score_column: Annotated[int | None, Field(ge=0, le=255)] = None
    score_map: tuple[tuple[float, Score], ...] | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    categories: tuple[SourceName, ...] = ()
    allow_empty: bool = False

    @field_validator("score_column", "score_map")
    @classmethod
    def _columns_belong_to_csv(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("format") not in (None, "csv"):
            raise ValueError(f"belongs to format 'csv', but the format is {info.data['format']!r}")
        return value


class BlocklistSettings(_Section):
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


class TokenSettings(_Section):
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


class ControlSettings(_Section):
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


class StateSettings(_Section):
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


class LogSettings(_Section):
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
        frozen=True,
        extra="forbid",
        validate_default=True,
    )

    edge: EdgeSettings = EdgeSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    lists: tuple[ListSettings, ...] = ()
    blocklist: BlocklistSettings = BlocklistSettings()
    control: ControlSettings = ControlSettings()
    state: StateSettings = StateSettings()
    log: LogSettings = LogSettings()

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
        if _lists_folder(os.environ) is not None:
            environment: Any = env_settings  # the mapping is public but not in the base class
            environment.env_vars = {
                k: v for k, v in environment.env_vars.items() if k.upper() != "SENTRA_LISTS"
            }
        return env_settings, init_settings


def load_settings(path: Path | None = None) -> Settings:
    """Settings from `path` (None: no file) and the environment.

    Raises ConfigError with one line per fault: `file:line: key: what, value, limit`.
    """
    text = _read(path) if path is not None else ""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_fault(path, error)) from error
    _refuse_unknown_variables(os.environ)
    places = _Places(path, key_lines(text), os.environ)
    try:
        settings = Settings(**_with_fixed_names(data, os.environ))
    except ValidationError as error:
        faults = [_fault(dict(item), places) for item in error.errors(include_url=False)]
        raise ConfigError("\n".join(faults)) from error
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; write lists and tables as JSON") from error
    return _with_absolute_paths(settings, (path.parent if path is not None else Path()).absolute())


def default_config_path(environ: Mapping[str, str]) -> Path | None:
    """`SENTRA_CONFIG`, else `sentra.toml` in the working directory when there is one."""
    if named := environ.get("SENTRA_CONFIG"):
        return Path(named)
    return Path(DEFAULT_CONFIG_NAME) if Path(DEFAULT_CONFIG_NAME).is_file() else None


def locate(path: Path | None, key: KeyPath) -> str:
    """`file:line: key` for a fault that shows only after loading, such as a missing secret file."""
    text = _read(path) if path is not None else ""
    return _Places(path, key_lines(text), os.environ).of(key)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error


def _syntax_fault(path: Path | None, error: tomllib.TOMLDecodeError) -> str:
    match = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error))
    if match is None:
        return f"{path}: {_lower_first(str(error))}"
    return f"{path}:{match[2]}: column {match[3]}: {_lower_first(match[1])}"


def _with_fixed_names(data: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The names that other tools share count like `SENTRA_...`: above the file."""
    for variable, (section, key) in _FIXED_NAMES.items():
        if value := environ.get(variable):
            _put(data, section, key, value)
    if folder := _lists_folder(environ):
        _put(data, "blocklist", "folder", str(Path(folder).absolute()))
    return data


_FIXED_NAMES = {"TYK_GATEWAY_URL": ("upstream", "url"), "LOG_LEVEL": ("log", "level")}


def _put(data: dict[str, Any], section: str, key: str, value: str) -> None:
    table = data.setdefault(section, {})
    if isinstance(table, dict):  # anything else is refused by the model, with its line
        table[key] = value


def _lists_folder(environ: Mapping[str, str]) -> str | None:
    """`SENTRA_LISTS` names a folder of list files, unless it is a JSON array of `[[lists]]` tables."""
    value = environ.get("SENTRA_LISTS", "").strip()
    return None if not value or value.startswith("[") else value


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    sections = {name.upper() for name in Settings.model_fields}
    for variable in sorted(environ):
        if not variable.upper().startswith(ENVIRONMENT_PREFIX) or variable in _OTHER_VARIABLES:
            continue
        section = variable.upper().removeprefix(ENVIRONMENT_PREFIX).split("__")[0]
        if section not in sections and not _SERVICE_LINK.match(variable):
            known = sorted({*_OTHER_VARIABLES, *(f"{ENVIRONMENT_PREFIX}{name}" for name in sections)})
            raise ConfigError(f"environment: {variable}: unknown name{_suggestion(variable, known)}")


class _Places:
    """Key path -> where it was set."""

    def __init__(self, path: Path | None, lines: dict[KeyPath, int], environ: Mapping[str, str]) -> None:
        self._path = path
        self._lines = lines
        self._environ = {name.upper(): name for name in environ}

    def of(self, key: KeyPath) -> str:
        name = ".".join(str(part) for part in key) or "file"
        if variable := self._variable(key):
            return f"environment: {variable}: {name}"
        if self._path is None:
            return f"settings: {name}"
        return f"{self._path}:{nearest_line(self._lines, key) or 1}: {name}"

    def _variable(self, key: KeyPath) -> str | None:
        for variable, fixed in _FIXED_NAMES.items():
            if (
                key[:2] == fixed
                and variable in self._environ
                and f"SENTRA_{'__'.join(fixed).upper()}" not in self._environ
            ):
                return variable
        for end in range(len(key), 0, -1):
            candidate = ENVIRONMENT_PREFIX + "__".join(str(part).upper() for part in key[:end])
            if candidate in self._environ:
                return self._environ[candidate]
        return None


def _fault(error: dict[str, Any], places: _Places) -> str:
    path: KeyPath = tuple(error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{places.of(path)}: unknown key{_suggestion(str(path[-1]), _keys_at(path[:-1]))}"
    if error["type"] == "missing":
        return f"{places.of(path)}: is missing"
    message = _lower_first(error["msg"].removeprefix("Value error, ").removeprefix("Input "))
    value = error.get("input")
    if isinstance(value, (str, int, float)) and path[-1] not in ("secret", "sha256"):
        message += f", is {value!r}"
    return f"{places.of(path)}: {message}"


def _keys_at(path: KeyPath) -> list[str]:
    """The keys that the section at `path` knows, for a suggestion."""
    model: type[BaseModel] = Settings
    for part in path:
        if isinstance(part, int):
            continue
        annotation: Any = model.model_fields[part].annotation
        model = next(
            (item for item in (annotation, *getattr(annotation, "__args__", ())) if _is_model(item)), model
        )
    return list(model.model_fields)


def _is_model(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, BaseModel)


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _with_absolute_paths(settings: Settings, base: Path) -> Settings:
    lists = tuple(item.model_copy(update={"path": base / item.path}) for item in settings.lists)
    folder = settings.blocklist.folder
    blocklist = settings.blocklist.model_copy(
        update={"folder": base / folder if folder is not None else None}
    )
    state = settings.state.model_copy(
        update={"directory": base / settings.state.directory, "runtime_directory": base / settings.state.run}
    )
    tokens = tuple(
        token.model_copy(update={"secret_file": base / token.secret_file})
        if token.secret_file is not None
        else token
        for token in settings.control.tokens
    )
    control = settings.control.model_copy(update={"tokens": tokens})
    return settings.model_copy(
        update={"lists": lists, "blocklist": blocklist, "state": state, "control": control}
    )
