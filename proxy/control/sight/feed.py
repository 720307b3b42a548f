"""Things that happen -> everyone who listens, without waiting for anyone.

One bounded ring holds what was told last; a listener is a place in it. Who reads too slowly finds its place
overwritten and hears how many it missed. An id is `BEGUN-NUMBER`: after a restart the numbers begin anew, and
an id of before says that nobody knows how many were missed.
"""

import asyncio
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Final

import orjson

from proxy.control.putback import PutBack
from proxy.control.state import Base
from proxy.store.records import Record, RecordKind, changes

KINDS: Final = ("denial", "change", "lists", "configuration", "put_back")

_RING_COUNT: Final = 2_000
# The ring holds no more than count times this, 16 MB.
_EVENT_BYTES: Final = 8_192
# What one read takes: a reader that is far behind costs no more memory than this.
_TAKE_COUNT: Final = 100
# A removal or an expiry may name 100,000 entries.
_TOLD_TARGETS: Final = 20


class TooManyListenersError(Exception):
    """There are as many listeners as the settings allow."""


@dataclass(frozen=True, slots=True)
class Event:
    """`data` is one line of JSON."""

    number: int
    kind: str
    data: bytes


class Feed:
    """Single-threaded: belongs to the control process's loop."""

    def __init__(self, listener_count: int, ring_count: int = _RING_COUNT) -> None:
        self.listener_count = listener_count
        self._begun = time.time_ns() // 1_000_000
        self._ring: deque[Event] = deque(maxlen=ring_count)
        self._number = 0
        self._listeners: set[Listener] = set()
        self._put_backs: dict[str, PutBack] = {}
        self.is_closed = False

    @property
    def count(self) -> int:
        """Listeners at present."""
        return len(self._listeners)

    def tell(self, kind: str, values: dict[str, object]) -> None:
        self._keep(kind, orjson.dumps({"time": round(time.time(), 3), **values}))
        self._wake()

    def tell_denials(self, payload: bytes) -> None:
        """The payload of one EVENTS frame: a line of JSON each, which the worker has cut and escaped."""
        for line in payload.splitlines():
            if line:
                self._keep("denial", line)
        self._wake()

    def tell_record(self, record: Record) -> None:
        """A record of the change log that is in force here from now on, whoever made it."""
        put, removed = changes(record)
        if put is None and not removed:
            return
        entries = (
            [{"target": put.target, "disposition": put.disposition, "score": put.score}]
            if put is not None
            else [{"target": key.target, "disposition": key.disposition} for key in removed[:_TOLD_TARGETS]]
        )
        names = {RecordKind.ENTRY_PUT: "put", RecordKind.ENTRY_REMOVED: "removed"}
        self.tell(
            "change",
            {
                "action": names.get(RecordKind(record.kind), "expired"),
                "entries": entries,
                "count": len(removed) or 1,
                "author": record.author,
                "reason": put.reason if put is not None else "",
                "expires": put.expires if put is not None else None,
                "version": {"epoch": record.epoch, "sequence": record.sequence},
            },
        )

    def tell_lists(self, base: Base) -> None:
        """A base was swapped in."""
        files = base.files
        version = {"epoch": files.epoch, "sequence": files.sequence}
        self.tell("lists", {"version": version, "entries": len(base.blocklist), "created": base.created})

    def tell_put_backs(self, put_backs: dict[str, PutBack]) -> None:
        """Called now and then with what is not in force because workers died of it."""
        if put_backs == self._put_backs:
            return
        self._put_backs = put_backs
        self.tell("put_back", {"put_back": {name: note.to_json() for name, note in put_backs.items()}})

    def listen(self, kinds: Collection[str], after: str | None) -> "Listener":
        """`after`: the id of the last event that was received. Raises TooManyListenersError."""
        if len(self._listeners) >= self.listener_count:
            raise TooManyListenersError(f"{self.listener_count} listen already")
        listener = Listener(self, frozenset(kinds))
        if after is not None:
            listener.resume(self._place_after(after))
        self._listeners.add(listener)
        return listener

    def newest(self, kinds: Collection[str], count: int) -> list[Event]:
        """The last that are still held, oldest first."""
        found = [event for event in self._ring if event.kind in kinds]
        return found[-count:]

    def id_of(self, number: int) -> str:
        return f"{self._begun}-{number}"

    def close(self) -> None:
        """Everyone's stream ends."""
        self.is_closed = True
        self._wake()

    def after(self, number: int) -> list[Event]:
        """Held events with a higher number, oldest first, some at a time."""
        first = self._number - len(self._ring) + 1
        start = max(0, number + 1 - first)
        return list(islice(self._ring, start, start + _TAKE_COUNT))

    @property
    def number(self) -> int:
        """Of the newest event; 0 before the first."""
        return self._number

    def leave(self, listener: "Listener") -> None:
        self._listeners.discard(listener)

    def _place_after(self, text: str) -> int | None:
        """None when the id is none that this process gave."""
        begun, _, number = text.partition("-")
        is_ours = begun == str(self._begun) and number.isascii() and number.isdigit() and len(number) <= 19
        return int(number) if is_ours and int(number) <= self._number else None

    def _keep(self, kind: str, data: bytes) -> None:
        if len(data) > _EVENT_BYTES:
            data = orjson.dumps({"time": round(time.time(), 3), "too_long_bytes": len(data)})
        self._number += 1
        self._ring.append(Event(self._number, kind, data))

    def _wake(self) -> None:
        for listener in self._listeners:
            listener.wake()


class Listener:
    """One reader's place. `close` it when it goes."""

    def __init__(self, feed: Feed, kinds: frozenset[str]) -> None:
        self._feed = feed
        self._kinds = kinds
        self._number = feed.number
        self._news = asyncio.Event()
        self._is_unknown = False

    def resume(self, number: int | None) -> None:
        if number is None:
            self._is_unknown = True
            return
        self._number = number

    async def take(self) -> tuple[int | None, list[Event]]:
        """Waits for news: (how many of any kind were missed, None: nobody knows; events, oldest first).

        Nothing at all: the feed is closed, or what came is of other kinds.
        """
        if self._is_unknown:
            self._is_unknown = False
            return None, []
        while self._feed.number == self._number and not self._feed.is_closed:
            self._news.clear()
            await self._news.wait()
        held = self._feed.after(self._number)
        if not held:
            return 0, []
        missed_count = held[0].number - self._number - 1
        self._number = held[-1].number
        return missed_count, [event for event in held if event.kind in self._kinds]

    @property
    def place(self) -> str:
        """The id of the newest event that was looked at."""
        return self._feed.id_of(self._number)

    def wake(self) -> None:
        self._news.set()

    def close(self) -> None:
        self._feed.leave(self)
