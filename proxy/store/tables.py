"""The SQL of the SQLite store: each function is one call on a connection, inside the store's thread."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

from proxy.errors import StoreError
from proxy.store.records import (
    NO_DIGEST,
    AuditLine,
    Denial,
    Draft,
    Head,
    HeadMovedError,
    LogTrimmedError,
    ManualEntry,
    Record,
    Snapshot,
    changes,
    is_sound,
    seal,
)
from proxy.store.summaries import KEPT_MS, Period, Summary

_LAYOUT_VERSION = 2
_CHECKED_COUNT = 1000
_TRIM_EVERY = 256

_LAYOUT = """
CREATE TABLE log (
  sequence INTEGER PRIMARY KEY, previous BLOB NOT NULL, digest BLOB NOT NULL, kind TEXT NOT NULL,
  payload BLOB NOT NULL, author TEXT NOT NULL, time_ms INTEGER NOT NULL, idempotency_key TEXT
) STRICT;
CREATE UNIQUE INDEX log_by_key ON log (author, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE head (
  only INTEGER PRIMARY KEY CHECK (only = 1), epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
  digest BLOB NOT NULL
) STRICT;
CREATE TABLE entries (
  disposition TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY (disposition, kind, target)
) STRICT, WITHOUT ROWID;
CREATE TABLE denials (
  number INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, client TEXT NOT NULL, line BLOB NOT NULL
) STRICT;
CREATE INDEX denials_by_client ON denials (client, number);
CREATE TABLE audit (
  number INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, author TEXT NOT NULL,
  action TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
"""
# What came with each layout; an older file is brought up to date where it stands.
_SINCE_LAYOUT_2 = """
CREATE TABLE summaries (
  period TEXT NOT NULL, start_ms INTEGER NOT NULL, pod TEXT NOT NULL, content BLOB NOT NULL,
  PRIMARY KEY (period, start_ms, pod)
) STRICT, WITHOUT ROWID;
"""
_RECORD_COLUMNS = "sequence, previous, digest, kind, payload, author, time_ms, idempotency_key"


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def prepare(connection: sqlite3.Connection, epoch: int) -> None:
    """Lay out a new file, or what an older one lacks; raises StoreError when it is of another layout."""
    with _transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == _LAYOUT_VERSION:
            return
        (table_count,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if version == 0 and table_count == 0:
            for statement in _LAYOUT.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO head VALUES (1, ?, 0, ?)", (epoch, NO_DIGEST))
        elif version != 1:
            raise StoreError(f"is of layout {version}, this program reads layout {_LAYOUT_VERSION}")
        connection.execute(_SINCE_LAYOUT_2)
        connection.execute(f"PRAGMA user_version = {_LAYOUT_VERSION}")


def check(connection: sqlite3.Connection) -> None:
    """The end of the log must be one sound chain up to the head. Raises StoreError."""
    newest = head(connection)
    rows = connection.execute(
        f"SELECT {_RECORD_COLUMNS} FROM log ORDER BY sequence DESC LIMIT ?",  # noqa: S608 a constant of ours
        (_CHECKED_COUNT,),
    )
    expected = (newest.sequence, newest.digest)
    for row in rows:
        record = _record(newest.epoch, row)
        if (record.sequence, record.digest) != expected or not is_sound(record):
            raise StoreError(f"the log is damaged at sequence {expected[0]}; restore the file from a copy")
        expected = (record.sequence - 1, record.previous)


def head(connection: sqlite3.Connection) -> Head:
    row = connection.execute("SELECT epoch, sequence, digest FROM head").fetchone()
    if row is None:
        raise StoreError("the store has no head; restore the file from a copy")
    return Head(*row)


def append(connection: sqlite3.Connection, draft: Draft, expected: Head, log_count: int) -> Record:
    with _transaction(connection):
        current = head(connection)
        if (
            draft.idempotency_key is not None
            and (known := _find(connection, draft, current.epoch)) is not None
        ):
            return known
        if current != expected:
            raise HeadMovedError(
                f"the head is {current.epoch}/{current.sequence}, not {expected.epoch}/{expected.sequence}"
            )
        record = seal(current, draft)
        connection.execute(
            f"INSERT INTO log ({_RECORD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 a constant of ours
            (
                record.sequence,
                record.previous,
                record.digest,
                record.kind,
                record.payload,
                record.author,
                record.time_ms,
                record.idempotency_key,
            ),
        )
        connection.execute("UPDATE head SET sequence = ?, digest = ?", (record.sequence, record.digest))
        _fold_into_table(connection, record)
        if record.sequence % _TRIM_EVERY == 0:
            connection.execute("DELETE FROM log WHERE sequence <= ?", (record.sequence - log_count,))
    return record


def _find(connection: sqlite3.Connection, draft: Draft, epoch: int) -> Record | None:
    row = connection.execute(
        f"SELECT {_RECORD_COLUMNS} FROM log WHERE author = ? AND idempotency_key = ?",  # noqa: S608 a constant of ours
        (draft.author, draft.idempotency_key),
    ).fetchone()
    return None if row is None else _record(epoch, row)


def _fold_into_table(connection: sqlite3.Connection, record: Record) -> None:
    put, removed = changes(record)
    if put is not None:
        connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", (*put.key, record.payload))
    connection.executemany("DELETE FROM entries WHERE disposition = ? AND kind = ? AND target = ?", removed)


def records(connection: sqlite3.Connection, after: int, limit: int) -> tuple[Record, ...]:
    with _transaction(connection):
        newest = head(connection)
        rows = connection.execute(
            f"SELECT {_RECORD_COLUMNS} FROM log WHERE sequence > ? ORDER BY sequence LIMIT ?",  # noqa: S608 a constant of ours
            (after, limit),
        ).fetchall()
    found = tuple(_record(newest.epoch, row) for row in rows)
    if after < newest.sequence and limit > 0 and (not found or found[0].sequence != after + 1):
        raise LogTrimmedError(f"records right after sequence {after} are gone; the head is {newest.sequence}")
    return found


def snapshot(connection: sqlite3.Connection) -> Snapshot:
    with _transaction(connection):
        newest = head(connection)
        rows = connection.execute("SELECT payload FROM entries").fetchall()
    return Snapshot(newest, tuple(ManualEntry.from_wire(payload) for (payload,) in rows))


def _record(epoch: int, row: tuple[int, bytes, bytes, str, bytes, str, int, str | None]) -> Record:
    sequence, previous, digest, kind, payload, author, time_ms, idempotency_key = row
    return Record(epoch, sequence, previous, digest, kind, payload, author, time_ms, idempotency_key)


def add_denials(connection: sqlite3.Connection, new: Sequence[Denial], count: int) -> None:
    with _transaction(connection):
        connection.executemany(
            "INSERT INTO denials (time_ms, client, line) VALUES (?, ?, ?)",
            [(item.time_ms, item.client, item.line) for item in new],
        )
        connection.execute(
            "DELETE FROM denials WHERE number <= (SELECT max(number) FROM denials) - ?", (count,)
        )


def denials(connection: sqlite3.Connection, limit: int, client: str | None) -> tuple[Denial, ...]:
    condition, values = ("WHERE client = ?", [client]) if client is not None else ("", [])
    rows = connection.execute(
        f"SELECT time_ms, client, line FROM denials {condition} ORDER BY number DESC LIMIT ?",  # noqa: S608 constants of ours
        (*values, limit),
    )
    return tuple(Denial(*row) for row in rows)


def add_audit(connection: sqlite3.Connection, line: AuditLine, count: int) -> None:
    with _transaction(connection):
        connection.execute(
            "INSERT INTO audit (time_ms, author, action, target, outcome, detail) VALUES (?, ?, ?, ?, ?, ?)",
            (line.time_ms, line.author, line.action, line.target, line.outcome, line.detail),
        )
        connection.execute("DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?", (count,))


def audit(connection: sqlite3.Connection, limit: int) -> tuple[AuditLine, ...]:
    rows = connection.execute(
        "SELECT time_ms, author, action, target, outcome, detail FROM audit ORDER BY number DESC LIMIT ?",
        (limit,),
    )
    return tuple(AuditLine(*row) for row in rows)


def add_summaries(connection: sqlite3.Connection, new: Sequence[Summary]) -> None:
    with _transaction(connection):
        connection.executemany(
            "INSERT OR REPLACE INTO summaries (period, start_ms, pod, content) VALUES (?, ?, ?, ?)",
            [(item.period, item.start_ms, item.pod, item.content) for item in new],
        )
        # By what is written now: one that a wrong clock dated far ahead must not drop all that come after it.
        for period in {item.period for item in new}:
            newest_ms = max(item.start_ms for item in new if item.period is period)
            connection.execute(
                "DELETE FROM summaries WHERE period = ? AND start_ms < ?",
                (period, newest_ms - KEPT_MS[period]),
            )


def summaries(
    connection: sqlite3.Connection, period: Period, since_ms: int, until_ms: int
) -> tuple[Summary, ...]:
    rows = connection.execute(
        "SELECT pod, start_ms, content FROM summaries"
        " WHERE period = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms, pod",
        (period, since_ms, until_ms),
    )
    return tuple(Summary(period, pod, start_ms, content) for pod, start_ms, content in rows)
