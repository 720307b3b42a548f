"""Names in the settings -> the user's middlewares, or a ConfigError that says what is wrong where."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.errors import ConfigError

Locate = Callable[[int], str]


def load_middlewares(names: Sequence[str], locate: Locate, folders: Sequence[Path] = ()) -> list[Middleware]:
    """Import each `module:name`, looking into `folders` first. `locate`: place of the name at a position.

    Raises ConfigError with one line per fault. The user's own exception is shown with its last own line: what
    a whole traceback says beside that is how we called it.
    """
    for folder in reversed(folders):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    found: list[Middleware] = []
    faults: list[str] = []
    for position, name in enumerate(names):
        try:
            found.append(_load(name))
        except ConfigError as error:
            faults.append(f"{locate(position)}: {error}, is {name!r}")
    if faults:
        raise ConfigError("\n".join(faults))
    return found


def _load(name: str) -> Middleware:
    module_name, _, path = name.partition(":")
    value: object = _import(module_name)
    for part in path.split("."):
        if not hasattr(value, part):
            raise ConfigError(f"{module_name} has no {path!r}")
        value = getattr(value, part)
    return _as_middleware(value)


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"there is no module {error.name!r}: is its folder in python_path, is it installed?"
            ) from error
        raise ConfigError(f"cannot be imported: {_described(error)}") from error
    except (Exception, SystemExit) as error:  # whatever the user's module does at import is reported
        raise ConfigError(f"cannot be imported: {_described(error)}") from error


def _as_middleware(value: object) -> Middleware:
    if not callable(value) or not (
        inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__)
    ):
        raise ConfigError("is no middleware: it must be `async def name(request, handler)`")
    found = cast("Middleware", value)
    try:
        # As aiohttp calls it.
        inspect.signature(found).bind(None, handler=None)
    except TypeError as error:
        raise ConfigError("is no middleware: it must take (request, handler)") from error

    @web.middleware
    async def call(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await found(request, handler)

    # One that has no mark is taken for an old-style factory; a method or an object takes none.
    return found if getattr(found, "__middleware_version__", None) == 1 else call


def _described(error: BaseException) -> str:
    """`what, file:line` of the innermost frame."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
