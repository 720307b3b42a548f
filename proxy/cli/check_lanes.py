"""[[lanes]] of a configuration -> faults of their middlewares, and what their routes have to do without."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from proxy.errors import ConfigError
from proxy.settings import Settings
from proxy.supervisor import python_module
from proxy.supervisor.options import child_environment

_IMPORT_SECONDS = 60.0


def check_lanes(settings: Settings, path: Path | None) -> None:
    """Raises ConfigError with `file:line: key: what` for each middleware that cannot be used."""
    faults = [fault for lane in settings.lanes if (fault := _fault_of(lane.name, path))]
    if faults:
        raise ConfigError("\n".join(faults))


def lane_notes(settings: Settings) -> Iterator[str]:
    """One line for each route through a lane that could need what a lane does not do."""
    for route in settings.routes:
        if route.lane is None:
            continue
        missing = ["trailers are dropped", "100 Continue is the lane's word, not the origin's"]
        if not route.methods or "GET" in route.methods:
            missing.insert(0, "WebSocket is answered 501")
        yield f"route {route.name!r} goes through lane {route.lane!r}: {', '.join(missing)}"


def _fault_of(lane: str, path: Path | None) -> str:
    config = () if path is None else ("--config", str(path))
    command = [*python_module("proxy.lane.check"), "--lane", lane, *config]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command,
            capture_output=True,
            check=False,
            text=True,
            timeout=_IMPORT_SECONDS,
            env=os.environ | child_environment(),
        )
    except subprocess.TimeoutExpired:
        return f"lane {lane!r}: its middlewares take more than {_IMPORT_SECONDS:g} s to import"
    if done.returncode == 0:
        return ""
    return done.stderr.strip() or f"lane {lane!r}: importing its middlewares ended with {done.returncode}"
