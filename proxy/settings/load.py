"""One TOML file and the environment -> Settings, or a ConfigError that names file, line and key.

The environment wins over the file: `SENTRA_EDGE__BLOCK_SCORE=6` is `[edge] block_score = 6`.
`TYK_GATEWAY_URL` and `LOG_LEVEL` are known by their own names. Relative paths start at the file's folder.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from proxy.errors import ConfigError
from proxy.settings import access_log, listeners
from proxy.settings.cross import cross_faults
from proxy.settings.model import ENVIRONMENT_PREFIX, Settings, lists_folder
from proxy.settings.toml_lines import KeyPath, key_lines, nearest_line
from proxy.settings.upstreams import with_absolute_files

DEFAULT_CONFIG_NAME = "sentra.toml"

# Names under our prefix that are no settings but the command line's own.
_OTHER_VARIABLES = frozenset({"SENTRA_CONFIG", "SENTRA_ADMIN_URL", "SENTRA_ADMIN_TOKEN"})
# Kubernetes puts these into every pod for a Service named sentra-...; they are not typing mistakes.
_SERVICE_LINK = re.compile(
    r"^[A-Z0-9_]+_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$"
)


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
    if faults := [f"{places.of(key)}: {message}" for key, message in cross_faults(settings)]:
        raise ConfigError("\n".join(faults))
    base = (path.parent if path is not None else Path()).absolute()
    return _with_absolute_paths(settings, base, places)


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
    if "TYK_GATEWAY_URL" in environ and isinstance(upstream := data.get("upstream"), dict):
        upstream.setdefault("protect_tyk", True)
    if folder := lists_folder(environ):
        _put(data, "blocklist", "folder", str(Path(folder).absolute()))
    return data


_FIXED_NAMES = {"TYK_GATEWAY_URL": ("upstream", "url"), "LOG_LEVEL": ("log", "level")}


def _put(data: dict[str, Any], section: str, key: str, value: str) -> None:
    table = data.setdefault(section, {})
    if isinstance(table, dict):  # anything else is refused by the model, with its line
        table[key] = value


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


def _with_absolute_paths(settings: Settings, base: Path, places: _Places) -> Settings:
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
    lanes = tuple(
        lane.model_copy(update={"python_path": tuple(base / path for path in lane.python_path)})
        for lane in settings.lanes
    )
    return settings.model_copy(
        update={
            "lists": lists,
            "lanes": lanes,
            "listeners": _absolute_listeners(settings, base, places),
            "upstream": with_absolute_files(settings.upstream, base),
            "upstreams": tuple(with_absolute_files(upstream, base) for upstream in settings.upstreams),
            "blocklist": blocklist,
            "state": state,
            "control": control,
            "access_log": access_log.at(settings.access_log, base),
        }
    )


def _absolute_listeners(
    settings: Settings, base: Path, places: _Places
) -> tuple[listeners.ListenerSettings, ...]:
    found = []
    for index, listener in enumerate(settings.listeners):
        try:
            found.append(listeners.at(listener, base))
        except ValueError as error:
            raise ConfigError(f"{places.of(('listeners', index, 'listen'))}: {error}") from error
    return tuple(found)
