"""[[lanes]]: processes of ours that carry the user's aiohttp middlewares."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from proxy.settings.section import Section
from proxy.settings.types import Seconds, SourceName

# Each is a process at least.
MOST_LANES = 32

# It is part of a socket's file name.
LaneName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}$")]
# What a route to a lane goes to; no upstream of the settings may be called so.
UPSTREAM_PREFIX = "lane:"

# `module:name`, both dotted identifiers: what `import module` and then `module.name` would take.
_IDENTIFIERS = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
MiddlewareName = Annotated[
    str, StringConstraints(pattern=rf"^{_IDENTIFIERS}:{_IDENTIFIERS}$", max_length=255)
]


class LaneSettings(Section):
    """One lane: a streaming proxy behind the edge, in front of an upstream."""

    name: LaneName
    middlewares: Annotated[tuple[MiddlewareName, ...], Field(min_length=1, max_length=32)]
    python_path: tuple[Path, ...] = ()
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    upstream: SourceName = "default"
    head_seconds: Seconds | None = None
    concurrency_count: Annotated[int, Field(ge=1, le=65536)] = 256
    read_bytes: Annotated[int, Field(ge=1, le=2**31)] = 1_048_576
    stall_seconds: Annotated[float, Field(ge=1, le=3600)] = 20.0


def lane_socket_name(lane: str) -> str:
    """Where in the runtime directory its processes listen and edge workers connect."""
    return f"lane-{lane}.sock"
