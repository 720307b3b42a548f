"""[sight]: what others may see of the traffic."""

import socket
from typing import Annotated

from pydantic import Field

from proxy.settings.section import Section

_PodName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")]


class SightSettings(Section):
    pod: _PodName | None = None
    listener_count: Annotated[int, Field(ge=0, le=1000)] = 16

    @property
    def pod_name(self) -> str:
        """What this pod's summaries are signed with; the machine's name unless set."""
        return self.pod or socket.gethostname()
