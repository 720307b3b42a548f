"""[sight]: what others may see of the traffic."""

from typing import Annotated

from pydantic import Field

from proxy.settings.section import Section


class SightSettings(Section):
    listener_count: Annotated[int, Field(ge=0, le=1000)] = 16
