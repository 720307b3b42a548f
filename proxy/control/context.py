"""What the parts of the control process share."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from fastmatch._native import Segment
from proxy.control.auth import Doors
from proxy.control.changes import Changes
from proxy.control.configuration import Configuration
from proxy.control.denials import DenialRecorder
from proxy.control.health import HealthChecks
from proxy.control.links import Links
from proxy.control.lists import Lists
from proxy.control.policy import Rules
from proxy.control.putback import PutBack
from proxy.control.sight.feed import Feed
from proxy.control.sight.summaries import Summaries
from proxy.control.state import State
from proxy.settings import Settings
from proxy.store.protocol import Store

# Written by the supervisor, which asks us to stop only when the last worker has ended.
DRAINING_NAME = "draining"


@dataclass(frozen=True, slots=True)
class Running:
    """What a reload swaps, all at once."""

    settings: Settings
    rules: Rules
    doors: Doors


@dataclass(slots=True)
class Control:
    running: Running
    store: Store
    state: State
    links: Links
    changes: Changes
    lists: Lists
    configuration: Configuration
    denials: DenialRecorder
    health: HealthChecks
    feed: Feed
    summaries: Summaries
    segment: Segment
    runtime_directory: Path
    started: float = field(default_factory=time.time)
    # Set before the listeners close, so that a load balancer sees it in time.
    is_stopping: bool = False
    # Settings that changed on disk but need a restart.
    restart_needed: tuple[str, ...] = ()
    # Reports over whole lists take memory for each: one at a time.
    report_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def put_backs(self) -> dict[str, PutBack]:
        """What is not in force because workers died of it."""
        notes = {"lists": self.lists.put_back_note, "configuration": self.configuration.put_back_note}
        return {name: note for name, note in notes.items() if note is not None}

    @property
    def is_draining(self) -> bool:
        """The whole program is on its way out, or this process alone. Costs one stat."""
        return self.is_stopping or (self.runtime_directory / DRAINING_NAME).exists()
