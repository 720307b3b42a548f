"""The store in one SQLite file, for a single pod.

SQLite works in a thread of its own, so the loop never waits for a disk. WAL with synchronous FULL: a commit
has been synced when it returns. Denials, audit and summaries use a second connection with synchronous NORMAL:
losing their last second in a power cut costs nothing, a sync per second would.
"""

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Full, Queue
from typing import TypeVar

from proxy.errors import StoreError
from proxy.store import tables
from proxy.store.records import AuditLine, Denial, Draft, Head, Record, Snapshot
from proxy.store.summaries import Period, Summary

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    path: Path
    timeout_seconds: float = 5.0
    queue_count: int = 1000
    log_count: int = 100_000
    denial_count: int = 100_000
    audit_count: int = 100_000


class _Job:
    """One call on its way to the thread and back."""

    __slots__ = ("call", "error", "future", "loop", "result")

    def __init__(self, call: Callable[[], object], loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.loop = loop
        self.future: asyncio.Future[object] = loop.create_future()
        self.result: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.call()
        except sqlite3.Error as error:
            self.error = StoreError(f"the store refused: {error}")
            self.error.__cause__ = error
        except Exception as error:  # noqa: BLE001 every outcome travels to the caller; none may end the thread
            self.error = error
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        if self.future.done():
            return  # its caller's timeout came first
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteStore:
    """See `proxy.store.protocol.Store`. Made by `open_store`."""

    def __init__(self, options: SqliteOptions) -> None:
        self._options = options
        self._queue: Queue[_Job | None] = Queue(options.queue_count)
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._log: sqlite3.Connection | None = None
        self._history: sqlite3.Connection | None = None

    async def start(self) -> None:
        """Raises StoreError when the file is not a sound store of ours."""
        self._thread.start()
        await self._call(self._open)

    async def close(self) -> None:
        if not self._thread.is_alive():
            return
        await self._call(self._close)
        self._queue.put_nowait(None)
        await asyncio.to_thread(self._thread.join, self._options.timeout_seconds)

    async def head(self) -> Head:
        return await self._call(lambda: tables.head(self._log_connection))

    async def append(self, draft: Draft, expected: Head) -> Record:
        count = self._options.log_count
        return await self._call(lambda: tables.append(self._log_connection, draft, expected, count))

    async def records(self, after: int, limit: int) -> tuple[Record, ...]:
        return await self._call(lambda: tables.records(self._log_connection, after, limit))

    async def snapshot(self) -> Snapshot:
        return await self._call(lambda: tables.snapshot(self._log_connection))

    async def add_denials(self, denials: Sequence[Denial]) -> None:
        count = self._options.denial_count
        await self._call(lambda: tables.add_denials(self._history_connection, denials, count))

    async def denials(self, limit: int, client: str | None = None) -> tuple[Denial, ...]:
        return await self._call(lambda: tables.denials(self._history_connection, limit, client))

    async def add_audit(self, line: AuditLine) -> None:
        count = self._options.audit_count
        await self._call(lambda: tables.add_audit(self._history_connection, line, count))

    async def audit(self, limit: int) -> tuple[AuditLine, ...]:
        return await self._call(lambda: tables.audit(self._history_connection, limit))

    async def add_summaries(self, new: Sequence[Summary]) -> None:
        await self._call(lambda: tables.add_summaries(self._history_connection, new))

    async def summaries(self, period: Period, since_ms: int, until_ms: int) -> tuple[Summary, ...]:
        return await self._call(
            lambda: tables.summaries(self._history_connection, period, since_ms, until_ms)
        )

    async def _call(self, call: Callable[[], _Result]) -> _Result:
        if not self._thread.is_alive():
            raise StoreError("the store is closed")
        job = _Job(call, asyncio.get_running_loop())
        try:
            self._queue.put_nowait(job)
        except Full as error:
            raise StoreError(
                f"the store's queue of {self._options.queue_count} calls is full; try again"
            ) from error
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                result = await job.future
        except TimeoutError as error:
            limit = self._options.timeout_seconds
            raise StoreError(
                f"the store did not answer within {limit:g} s; what was asked may still happen"
            ) from error
        return result  # type: ignore[return-value]  # the job carries whatever `call` returns, the queue forgets its type

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            job.run()

    def _open(self) -> None:
        path = self._options.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite gives its side files the mode of the main one.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error
        try:
            self._log = self._connect("FULL")
            tables.prepare(self._log, epoch=time.time_ns() // 1_000_000)
            tables.check(self._log)
            self._history = self._connect("NORMAL")
        except (sqlite3.Error, StoreError) as error:
            self._close()
            raise StoreError(f"{path}: {error}") from error

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._options.path,
            # Below our own timeout: the caller then hears that nothing happened, not that it may yet happen.
            timeout=self._options.timeout_seconds * 0.8,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        return connection

    def _close(self) -> None:
        for connection in (self._history, self._log):
            if connection is not None:
                connection.close()
        self._history = self._log = None

    @property
    def _log_connection(self) -> sqlite3.Connection:
        if self._log is None:
            raise StoreError("the store is closed")
        return self._log

    @property
    def _history_connection(self) -> sqlite3.Connection:
        if self._history is None:
            raise StoreError("the store is closed")
        return self._history


async def open_store(options: SqliteOptions) -> SqliteStore:
    store = SqliteStore(options)
    try:
        await store.start()
    except BaseException:
        await store.close()
        raise
    return store
