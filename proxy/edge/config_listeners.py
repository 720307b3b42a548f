"""What a worker knows of one listener, in the form that travels within a CONFIGURE frame."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """Plain values only. `name` is what the supervisor calls the socket. A new field needs a default."""

    name: str = ""
    drop_score: float | None = None
    half_close: Literal["cancel", "serve"] = "cancel"
