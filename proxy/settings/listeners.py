"""[[listeners]]: where clients come in, and what is particular to each door."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from proxy.settings.section import Section
from proxy.settings.types import BindAddress, FileMode, ListenBind, Score, UnixBind

# What `[edge] listen` makes; the worker knows its socket by having no name.
DEFAULT_NAME = "default"
# sun_path holds 108 bytes with the closing zero, and the socket is bound under a name with a process id.
_SOCKET_PATH_BYTES = 99


class ListenerSettings(Section):
    """One listening address. What is left out is as in [edge]."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}$")]
    listen: ListenBind
    unix_mode: FileMode | None = None
    drop_score: Score | None = None
    half_close: Literal["cancel", "serve"] | None = None

    @field_validator("name")
    @classmethod
    def _is_its_own(cls, value: str) -> str:
        if value == DEFAULT_NAME:
            raise ValueError(f"{DEFAULT_NAME!r} is the name of the listener that [edge] listen makes")
        return value

    @field_validator("unix_mode")
    @classmethod
    def _belongs_to_unix(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and isinstance(info.data.get("listen"), BindAddress):
            raise ValueError("belongs to a unix socket, but listen is an address and a port")
        return value


def at(listener: ListenerSettings, base: Path) -> ListenerSettings:
    """With its paths starting at `base`. Raises ValueError when a socket's path becomes too long."""
    if isinstance(listener.listen, BindAddress):
        return listener
    path = str(base / listener.listen.path)
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise ValueError(f"{path!r} is too long for a unix socket: at most {_SOCKET_PATH_BYTES} bytes")
    return listener.model_copy(update={"listen": UnixBind(path)})
