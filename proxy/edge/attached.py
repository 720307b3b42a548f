"""What the control socket's end needs of the process it is in: an edge worker, or the aiohttp engine in its
place.
"""

from collections.abc import Mapping
from typing import Protocol

from fastmatch._native import Gate
from proxy.edge.config import EdgeConfig


class Attached(Protocol):
    slot: int
    gate: Gate

    async def configure(self, config: EdgeConfig, /) -> None:
        """All or nothing: raises ValueError naming the key, and everything stays as it was."""

    def take_health(self, health: Mapping[str, Mapping[str, bool]], /) -> None:
        """Whether each target is up, by upstream and target, as the control process found."""
