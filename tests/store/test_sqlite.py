"""What is SQLite's own: damage, locks, a full queue, a slow disk, a kill."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.errors import StoreError
from proxy.store.records import Draft, ManualEntry, RecordKind
from proxy.store.sqlite import SqliteOptions, SqliteStore, open_store
from proxy.store.summaries import Period, Summary

_ROOT = Path(__file__).resolve().parents[2]

# Appends for ever and prints each sequence once it is on disk.
_WRITER = """
import asyncio, sys
from pathlib import Path
from proxy.store.records import Draft, ManualEntry, RecordKind
from proxy.store.sqlite import SqliteOptions, open_store

async def main():
    store = await open_store(SqliteOptions(Path(sys.argv[1])))
    number = 0
    while True:
        entry = ManualEntry(f"n{number}.example", "suffix", "block", "operator", 9.0, "operator:t", 1)
        record = await store.append(Draft(RecordKind.ENTRY_PUT, entry.to_wire(), "t", 1), await store.head())
        print(record.sequence, flush=True)
        number += 1

asyncio.run(main())
"""


def put(name: str = "a.example") -> Draft:
    entry = ManualEntry(name, "suffix", "block", "operator", 9.0, "operator:t", 1)
    return Draft(RecordKind.ENTRY_PUT, entry.to_wire(), "t", 1)


async def test_what_was_acknowledged_survives_a_kill(tmp_path):
    """The promise of every 2xx: durable first, then answered."""
    path = tmp_path / "store.sqlite"
    writer = subprocess.Popen(  # noqa: ASYNC220 its output is read line by line, the loop has nothing else to do
        [sys.executable, "-c", _WRITER, str(path)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    try:
        for line in writer.stdout:
            if int(line) >= 50:
                break
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
    acknowledged = int(rest[-1]) if rest else 50
    store = await open_store(SqliteOptions(path))
    try:
        assert (await store.head()).sequence >= acknowledged
        names = {entry.target for entry in (await store.snapshot()).entries}
        assert {f"n{number}.example" for number in range(acknowledged)} <= names
    finally:
        await store.close()


async def test_appends_are_synced_and_history_is_not(tmp_path):
    """A block must survive a power cut; a line of history need not cost a sync."""
    store = await open_store(SqliteOptions(tmp_path / "store.sqlite"))
    try:
        modes = await store._call(  # the pragma lives on the store's own connections
            lambda: tuple(
                connection.execute("PRAGMA synchronous").fetchone()[0]
                for connection in (store._log_connection, store._history_connection)
            )
        )
        assert modes == (2, 1)
    finally:
        await store.close()


async def test_store_is_readable_by_its_owner_only(tmp_path):
    """It holds client addresses."""
    store = await open_store(SqliteOptions(tmp_path / "store.sqlite"))
    await store.append(put(), await store.head())
    try:
        assert {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("store.sqlite*")}.values()
        assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("store.sqlite*"))
    finally:
        await store.close()


async def test_new_store_has_a_new_epoch(tmp_path):
    """A log that began anew must never look like an older state of the one before."""
    epochs = []
    for name in ("one", "two"):
        store = await open_store(SqliteOptions(tmp_path / name))
        epochs.append((await store.head()).epoch)
        await store.close()
        await asyncio.to_thread(threading.Event().wait, 0.002)
    assert epochs[1] > epochs[0]


async def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        await open_store(SqliteOptions(path, timeout_seconds=2.0))
    return str(caught.value)


async def test_file_that_is_no_database_is_refused_by_name(tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"this is not a database at all, not even nearly" * 100)
    assert str(path) in await refusal(path)


async def test_database_of_something_else_is_refused(tmp_path):
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    assert "layout 0" in await refusal(path)


async def test_database_of_a_later_layout_is_refused(tmp_path):
    path = tmp_path / "store.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    assert "is of layout 9, this program reads layout 2" in await refusal(path)


async def test_database_of_the_first_layout_is_brought_up_to_date(tmp_path):
    """Who updates the program keeps log, audit and denials."""
    path = tmp_path / "store.sqlite"
    store = await open_store(SqliteOptions(path))
    record = await store.append(put(), await store.head())
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE summaries")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    store = await open_store(SqliteOptions(path))
    await store.add_summaries([Summary(Period.SECOND, "a", 1000, b"{}")])
    assert await store.head() == record.head
    assert len(await store.summaries(Period.SECOND, 0, 2000)) == 1
    await store.close()


async def test_path_that_cannot_be_written_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "store.sqlite"
    assert str(path) in await refusal(path)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE log SET payload = x'7b7d' WHERE sequence = 2",
        "DELETE FROM log WHERE sequence = 3",
        "UPDATE head SET digest = zeroblob(32)",
        "UPDATE log SET kind = 'other' WHERE sequence = 1",
    ],
)
async def test_damaged_log_is_refused(tmp_path, damage):
    """A changed or missing record breaks the chain; going on would enforce something nobody wrote."""
    path = tmp_path / "store.sqlite"
    store = await open_store(SqliteOptions(path))
    for number in range(4):
        await store.append(put(f"n{number}.example"), await store.head())
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute(damage)
    connection.commit()
    connection.close()
    assert "the log is damaged at sequence" in await refusal(path)


async def test_store_without_a_head_is_refused(tmp_path):
    path = tmp_path / "store.sqlite"
    await (await open_store(SqliteOptions(path))).close()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM head")
    connection.commit()
    connection.close()
    assert "has no head" in await refusal(path)


async def test_locked_database_is_a_store_error_and_passes(tmp_path):
    """A backup that holds the lock delays writes, it does not break the process."""
    path = tmp_path / "store.sqlite"
    store = await open_store(SqliteOptions(path, timeout_seconds=0.2))
    head = await store.head()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreError):
            await store.append(put(), head)
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert (await store.append(put("b.example"), await store.head())).sequence >= 1
    await store.close()


class SlowStore:
    """A store whose thread waits until it is let go."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.gate = threading.Event()

    async def hold(self) -> "asyncio.Task[object]":
        """Returns once the thread is waiting."""
        entered = threading.Event()

        def wait() -> bool:
            entered.set()
            return self.gate.wait()

        held = asyncio.ensure_future(self.store._call(wait))
        await asyncio.to_thread(entered.wait)
        return held


async def test_slow_disk_ends_in_a_named_timeout(tmp_path):
    store = await open_store(SqliteOptions(tmp_path / "store.sqlite", timeout_seconds=0.25))
    slow = SlowStore(store)
    held = await slow.hold()
    with pytest.raises(StoreError, match="what was asked may still happen"):
        await store.head()
    slow.gate.set()
    with pytest.raises(StoreError):
        await held
    await store.close()


async def test_full_queue_is_refused_at_once(tmp_path):
    """Back-pressure: callers hear no instead of waiting in memory."""
    store = await open_store(SqliteOptions(tmp_path / "store.sqlite", queue_count=1))
    slow = SlowStore(store)
    held = await slow.hold()
    waiting = asyncio.ensure_future(store.head())
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="queue of 1 calls is full"):
        await store.head()
    slow.gate.set()
    await asyncio.gather(held, waiting)
    await store.close()


async def test_fault_of_the_code_reaches_its_caller_and_not_the_thread(tmp_path):
    store = await open_store(SqliteOptions(tmp_path / "store.sqlite"))
    with pytest.raises(ZeroDivisionError):
        await store._call(lambda: 1 // 0)
    assert (await store.head()).sequence == 0
    await store.close()
