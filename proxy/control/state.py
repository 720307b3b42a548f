"""What is in force in this pod: base, manual entries above it, configuration. One owner, the control loop."""

import time
from dataclasses import dataclass, field

from fastmatch._native import Blocklist, Entry, pack_entries
from proxy import frames
from proxy.blocklist.compile import BaseFiles
from proxy.control.folding import Entries, Folded, above, to_entry, tombstone
from proxy.edge.config import EdgeConfig
from proxy.store.records import EntryKey, Head, ManualEntry, Record, Snapshot, fold

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Base:
    files: BaseFiles
    blocklist: Blocklist
    created: int
    folded: Folded = field(default_factory=Folded)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What lies above the base at one version; `live` are all manual entries, `entry_count` those up here."""

    version: Version
    packed: bytes
    entry_count: int
    live: Entries
    # None while there is no base to lay it on.
    blocklist: Blocklist | None


class State:
    """Single-threaded; the heavy part is `OverlayMaker`, which takes values and may run elsewhere."""

    def __init__(self, config: EdgeConfig) -> None:
        self.config = config
        self.head = Head(0, 0, bytes(32))
        self.entries: dict[EntryKey, ManualEntry] = {}
        self.base: Base | None = None
        self.overlay: Overlay | None = None
        # The HEALTH frame; empty while nothing is known.
        self.health_frame = b""

    @property
    def version(self) -> Version:
        return self.head.epoch, self.head.sequence

    @property
    def blocklist(self) -> Blocklist | None:
        """Base and overlay as the workers see them."""
        return self.overlay.blocklist if self.overlay is not None else None

    def load(self, snapshot: Snapshot) -> None:
        self.head = snapshot.head
        self.entries = {entry.key: entry for entry in snapshot.entries}

    def apply(self, record: Record) -> bool:
        """True when the manual entries changed."""
        has_changed = fold(self.entries, record)
        self.head = record.head
        return has_changed

    def live(self, now: float | None = None) -> tuple[ManualEntry, ...]:
        moment = time.time() if now is None else now
        return tuple(entry for entry in self.entries.values() if entry.is_live(moment))

    def live_by_key(self) -> dict[EntryKey, ManualEntry]:
        now = time.time()
        return {key: entry for key, entry in self.entries.items() if entry.is_live(now)}

    def expired(self, now: float) -> tuple[EntryKey, ...]:
        return tuple(key for key, entry in self.entries.items() if not entry.is_live(now))

    def frames(self) -> bytes:
        """Everything that a worker needs, as it is sent on attach."""
        configure = frames.encode(frames.Kind.CONFIGURE, self.config.to_wire())
        return configure + self.list_frames() + self.health_frame

    def list_frames(self) -> bytes:
        """INSTALL and OVERLAY; without a base there is nothing that an overlay could lie on."""
        if self.base is None:
            return b""
        files = self.base.files
        install = frames.encode_install(files.epoch, files.sequence, str(files.decision))
        return install + self.overlay_frame()

    def overlay_frame(self) -> bytes:
        if self.base is None or self.overlay is None:
            return b""
        epoch, sequence = self.overlay.version
        return frames.encode_overlay(epoch, sequence, self.overlay.packed)


class OverlayMaker:
    """Manual entries -> overlay. Keeps the native entries: only the changed ones are made anew.

    Not for two threads at once.
    """

    def __init__(self) -> None:
        # By identity: hashing 100,000 keys at every change would cost as much as making the entries.
        self._made: dict[int, tuple[ManualEntry, Entry]] = {}

    def make(self, base: Base | None, entries: Entries, version: Version, now: float) -> Overlay:
        """`entries` may hold some that have expired."""
        live = {key: entry for key, entry in entries.items() if entry.is_live(now)}
        found = above(base.folded if base is not None else Folded(), live)
        natives = [tombstone(place) for place in found.removed]
        natives += [self._native(entry) for entry in found.entries]
        packed = pack_entries(natives)
        if len(self._made) > 2 * len(found.entries) + 1000:
            self._made = {id(entry): self._made[id(entry)] for entry in found.entries}
        blocklist = base.blocklist.with_overlay(packed, sequence=version[1]) if base is not None else None
        return Overlay(version, packed, len(natives), live, blocklist)

    def _native(self, entry: ManualEntry) -> Entry:
        known = self._made.get(id(entry))
        # What is kept holds its entry, so an identity cannot pass to another one.
        if known is None:
            known = self._made[id(entry)] = (entry, to_entry(entry))
        return known[1]
