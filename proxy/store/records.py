"""What stands in the change log, and what it adds up to. Pure: every store implementation uses these.

A record carries (epoch, sequence) and the digest of the one before it, so a gap, a rewind and a foreign log
all show. The live manual entries are the log's sum: `fold` over all records gives the same set.
"""

import enum
import hashlib
from collections.abc import Iterable, MutableMapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import orjson

from proxy.errors import StoreError

NO_DIGEST = bytes(32)


class RecordKind(enum.StrEnum):
    ENTRY_PUT = "entry_put"
    ENTRY_REMOVED = "entry_removed"
    ENTRIES_EXPIRED = "entries_expired"
    LISTS_CHANGED = "lists_changed"


class HeadMovedError(StoreError):
    """Someone else appended first: read what is new, decide again, append again."""


class LogTrimmedError(StoreError):
    """Records after the given sequence are gone: take a snapshot."""


class Head(NamedTuple):
    """The newest record of a log; sequence 0 is an empty one."""

    epoch: int
    sequence: int
    digest: bytes


class EntryKey(NamedTuple):
    """What makes a manual entry the same one: putting it again replaces it."""

    disposition: str
    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class ManualEntry:
    """An operator's or an incident's statement. `target` is canonical; times are Unix seconds."""

    target: str
    kind: str
    disposition: str
    origin: str
    score: float
    source: str
    created: int
    categories: tuple[str, ...] = ()
    reason: str = ""
    expires: int | None = None

    @property
    def key(self) -> EntryKey:
        return EntryKey(self.disposition, self.kind, self.target)

    def is_live(self, now: float) -> bool:
        return self.expires is None or self.expires > now

    def to_wire(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_wire(cls, payload: bytes) -> "ManualEntry":
        """Unknown fields are left out: a newer version may have written them. Raises StoreError."""
        values = _wire_object(payload)
        known = {field.name for field in fields(cls)}
        try:
            entry = cls(**{name: value for name, value in values.items() if name in known})
        except TypeError as error:
            raise StoreError(f"an entry of the log lacks a field: {payload[:200]!r}") from error
        return entry if not isinstance(entry.categories, list) else _with_tuple(entry)


@dataclass(frozen=True, slots=True)
class Draft:
    """A record before the log gives it its place."""

    kind: RecordKind
    payload: bytes
    author: str
    time_ms: int
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    epoch: int
    sequence: int
    previous: bytes
    digest: bytes
    kind: str
    payload: bytes
    author: str
    time_ms: int
    idempotency_key: str | None

    @property
    def head(self) -> Head:
        return Head(self.epoch, self.sequence, self.digest)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The sum of the log up to `head`."""

    head: Head
    entries: tuple[ManualEntry, ...]


@dataclass(frozen=True, slots=True)
class Denial:
    """One denied request as a worker reported it; `line` is its JSON."""

    time_ms: int
    client: str
    line: bytes


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Who asked for which change, and what came of it; refusals too, which leave no record in the log."""

    time_ms: int
    author: str
    action: str
    target: str
    outcome: str
    detail: str = ""


def seal(head: Head, draft: Draft) -> Record:
    """The draft's place behind `head`. The digest covers everything that is stored."""
    sequence = head.sequence + 1
    content = orjson.dumps(
        [head.epoch, sequence, draft.kind, draft.author, draft.time_ms, draft.idempotency_key or ""]
    )
    digest = hashlib.sha256(
        head.digest + len(content).to_bytes(4, "little") + content + draft.payload
    ).digest()
    return Record(
        epoch=head.epoch,
        sequence=sequence,
        previous=head.digest,
        digest=digest,
        kind=draft.kind,
        payload=draft.payload,
        author=draft.author,
        time_ms=draft.time_ms,
        idempotency_key=draft.idempotency_key,
    )


def is_sound(record: Record) -> bool:
    """True when the record's digest is that of its content."""
    before = Head(record.epoch, record.sequence - 1, record.previous)
    try:
        kind = RecordKind(record.kind)
    except ValueError:
        return False
    draft = Draft(kind, record.payload, record.author, record.time_ms, record.idempotency_key)
    return seal(before, draft).digest == record.digest


def keys_to_wire(keys: Iterable[EntryKey]) -> bytes:
    """The payload of a removal or an expiry."""
    return orjson.dumps([list(key) for key in keys])


def changes(record: Record) -> tuple[ManualEntry | None, tuple[EntryKey, ...]]:
    """(the entry that this record puts, the keys that it takes away)."""
    match record.kind:
        case RecordKind.ENTRY_PUT:
            return ManualEntry.from_wire(record.payload), ()
        case RecordKind.ENTRY_REMOVED | RecordKind.ENTRIES_EXPIRED:
            return None, tuple(EntryKey(*key) for key in _wire_array(record.payload))
        case _:
            return None, ()


def fold(entries: MutableMapping[EntryKey, ManualEntry], record: Record) -> bool:
    """Apply a record to the live entries; True when they changed."""
    put, removed = changes(record)
    if put is not None:
        entries[put.key] = put
    gone = [entries.pop(key, None) for key in removed]
    return put is not None or any(entry is not None for entry in gone)


def _wire_object(payload: bytes) -> dict[str, Any]:
    try:
        values = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise StoreError(f"an entry of the log is not JSON: {payload[:200]!r}") from error
    if not isinstance(values, dict):
        raise StoreError(f"an entry of the log is not a JSON object: {payload[:200]!r}")
    return values


def _wire_array(payload: bytes) -> list[list[str]]:
    try:
        values = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise StoreError(f"a record of the log is not JSON: {payload[:200]!r}") from error
    if not isinstance(values, list) or not all(isinstance(item, list) and len(item) == 3 for item in values):
        raise StoreError(f"a record of the log does not hold entry keys: {payload[:200]!r}")
    return values


def _with_tuple(entry: ManualEntry) -> ManualEntry:
    values = asdict(entry)
    return ManualEntry(**{**values, "categories": tuple(values["categories"])})
