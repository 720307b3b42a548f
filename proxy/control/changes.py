"""A planned change -> on stable storage, in force here, on its way to every worker. In this order."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from proxy import frames
from proxy.control.folding import Folded
from proxy.control.links import Links
from proxy.control.sight.feed import Feed
from proxy.control.state import Base, Overlay, OverlayMaker, State
from proxy.edge.config import EdgeConfig
from proxy.errors import PolicyRefused, StoreError
from proxy.store.protocol import Store
from proxy.store.records import (
    Draft,
    EntryKey,
    HeadMovedError,
    LogTrimmedError,
    ManualEntry,
    Record,
    RecordKind,
    keys_to_wire,
)
from proxy.telemetry import events, logs

_APPEND_ATTEMPTS = 5
_CATCH_UP_COUNT = 1000


@dataclass(frozen=True, slots=True)
class Applied:
    """`worker_count` of `worker_total` attached workers have the change in force."""

    record: Record
    is_replay: bool
    worker_count: int
    worker_total: int


class Changes:
    """The only writer of the log in this process, and of `State`. One change at a time."""

    def __init__(self, store: Store, state: State, links: Links, feed: Feed) -> None:
        self._store = store
        self._state = state
        self._links = links
        self._feed = feed
        self._overlays = OverlayMaker()
        self._lock = asyncio.Lock()

    async def put(
        self, entry: ManualEntry, author: str, idempotency_key: str | None, wait_seconds: float
    ) -> Applied:
        """Raises StoreError; PolicyRefused when the key was used for another entry."""
        draft = _draft(RecordKind.ENTRY_PUT, entry.to_wire(), author, idempotency_key)
        record, is_replay = await self._commit(draft)
        if is_replay:
            _check_same(entry, record)
        return await self._wait(record, is_replay, wait_seconds)

    async def remove(self, keys: Sequence[EntryKey], author: str, wait_seconds: float) -> Applied:
        """Raises StoreError."""
        record, _ = await self._commit(_draft(RecordKind.ENTRY_REMOVED, keys_to_wire(keys), author, None))
        return await self._wait(record, False, wait_seconds)

    async def prune(self) -> None:
        """Take expired entries out of the log's sum. Workers judge expiry by their own clock meanwhile."""
        if expired := self._state.expired(time.time()):
            await self._commit(_draft(RecordKind.ENTRIES_EXPIRED, keys_to_wire(expired), "control", None))
            logs.logger().info(events.ENTRIES_EXPIRED, count=len(expired))

    async def follow(self) -> None:
        """Take over what stands in the log and not here: a call that timed out may have been carried out."""
        async with self._lock:
            if await self._store.head() != self._state.head:
                await self._catch_up()

    @property
    def overlay(self) -> Overlay | None:
        """What lies above the base, as it was published last."""
        return self._state.overlay

    async def note_lists(self, summary: dict[str, object]) -> tuple[Record, Folded]:
        """Give a new base its place in the order of changes; the manual entries that go into it.

        Raises StoreError.
        """
        record, _ = await self._commit(
            _draft(RecordKind.LISTS_CHANGED, orjson.dumps(summary), "control", None)
        )
        return record, Folded(self._state.head.sequence, self._state.live_by_key())

    def sharing(self, folded: Folded) -> Folded:
        """With the entries that are at hand anyway."""
        return folded.sharing(self._state.entries)

    async def install(self, base: Base) -> None:
        """Swap the base, manual entries on top, here and in every worker."""
        async with self._lock:
            await self._publish(new_base=base)
        self._feed.tell_lists(base)

    async def configure(self, config: EdgeConfig) -> None:
        async with self._lock:
            self._state.config = config
            await self._publish(with_configuration=True)
        mode = "observe" if config.observe else "enforce"
        self._feed.tell("configuration", {"mode": mode, "block_score": config.block_score})

    async def share_health(self, payload: bytes) -> None:
        """Tell every worker, and those that start later, which targets are up."""
        async with self._lock:
            self._state.health_frame = frames.encode(frames.Kind.HEALTH, payload)
            await self._send(self._state.health_frame, self._state.frames())

    async def publish_all(self) -> None:
        """At the start: what was loaded is what an attaching worker gets."""
        async with self._lock:
            await self._publish(with_configuration=True)

    async def _commit(self, draft: Draft) -> tuple[Record, bool]:
        """(the record, True when it stood in the log already)."""
        async with self._lock:
            for _ in range(_APPEND_ATTEMPTS):
                before = self._state.head
                try:
                    record = await self._store.append(draft, before)
                except HeadMovedError:
                    # A call that ran into its timeout may have happened after all; a store may be shared.
                    await self._catch_up()
                    continue
                if record.sequence <= before.sequence:
                    return record, True
                if self._state.apply(record):
                    await self._publish()
                self._feed.tell_record(record)
                return record, False
        raise StoreError(f"the log moved {_APPEND_ATTEMPTS} times while this change was appended; try again")

    async def _catch_up(self) -> None:
        head = await self._store.head()
        try:
            if head.epoch != self._state.head.epoch or head.sequence < self._state.head.sequence:
                raise LogTrimmedError("another log")
            while self._state.head.sequence < head.sequence:
                for record in await self._store.records(self._state.head.sequence, _CATCH_UP_COUNT):
                    self._state.apply(record)
                    self._feed.tell_record(record)
        except LogTrimmedError:
            self._state.load(await self._store.snapshot())
        await self._publish()

    async def _publish(self, *, with_configuration: bool = False, new_base: Base | None = None) -> None:
        state = self._state
        base = state.base if new_base is None else new_base
        # 100,000 entries take tens of milliseconds, copying their table one: the rest is not for the loop.
        entries, now = dict(state.entries), time.time()
        overlay = await asyncio.to_thread(self._overlays.make, base, entries, state.version, now)
        # Both at once: an overlay is right above its own base only.
        state.base, state.overlay = base, overlay
        everything = state.frames()
        if with_configuration:
            data = everything
        elif new_base is not None:
            data = state.list_frames()
        else:
            data = state.overlay_frame()
        await self._send(data, everything)

    async def _send(self, data: bytes, everything: bytes) -> None:
        self._links.broadcast(data, everything, self._state.version if self._state.base is not None else None)
        try:
            await asyncio.to_thread(self._links.write_attach_file)
        except OSError as error:
            # The workers have the change; only one that starts while control is down would lack it.
            logs.logger().error(events.ATTACH_FILE_FAILED, reason=str(error))

    async def _wait(self, record: Record, is_replay: bool, wait_seconds: float) -> Applied:
        version = (record.epoch, record.sequence)
        done, total = await self._links.wait_applied(version, wait_seconds)
        return Applied(record, is_replay, done, total)


def _draft(kind: RecordKind, payload: bytes, author: str, idempotency_key: str | None) -> Draft:
    return Draft(kind, payload, author, time.time_ns() // 1_000_000, idempotency_key)


def _check_same(entry: ManualEntry, record: Record) -> None:
    """A key that comes again must bring the same wish; only the times may differ."""
    known = ManualEntry.from_wire(record.payload) if record.kind == RecordKind.ENTRY_PUT else None
    if known is None or _wish(known) != _wish(entry):
        raise PolicyRefused(
            "idempotency_key",
            f"idempotency_key was used for another change (sequence {record.sequence}); choose a new one",
        )


def _wish(entry: ManualEntry) -> tuple[object, ...]:
    lifetime = None if entry.expires is None else entry.expires - entry.created
    return (entry.key, entry.score, entry.categories, entry.reason, lifetime)
