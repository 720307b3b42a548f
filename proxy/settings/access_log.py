"""[access_log]: a line of JSON for each exchange."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from proxy.settings.section import Section

# Into the program's own log, which is its standard error.
OWN_LOG = Path("-")


class AccessLogSettings(Section):
    """`share` is of the exchanges that end well; denials, refusals and failures are always written."""

    enabled: bool = False
    path: Path = OWN_LOG
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    query: bool = False
    buffer_bytes: Annotated[int, Field(ge=65536, le=268435456)] = 4194304

    @property
    def target(self) -> str:
        """Where lines go; empty: nowhere."""
        return str(self.path) if self.enabled else ""


def at(settings: AccessLogSettings, base: Path) -> AccessLogSettings:
    """With an absolute path: relative ones start at the folder of the configuration."""
    if settings.path == OWN_LOG:
        return settings
    return settings.model_copy(update={"path": base / settings.path})
