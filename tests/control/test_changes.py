"""Durable first, then in force, then answered; whatever happens in between."""

import asyncio
import sqlite3
import time
from typing import Any

import pytest

from proxy.errors import StoreError
from proxy.store.records import Draft, ManualEntry, RecordKind
from tests.control.conftest import Pod, until


async def block(pod: Pod, target: str, **values: object) -> tuple[int, dict[str, Any]]:
    return await pod.call("POST", "/v1/blocks", {"target": target, **values})


def stored(pod: Pod) -> list[str]:
    """Targets on disk, read by a connection of our own."""
    connection = sqlite3.connect(pod.folder / "var/store.sqlite")
    try:
        return sorted(target for (target,) in connection.execute("SELECT target FROM entries"))
    finally:
        connection.close()


async def test_block_is_on_disk_when_it_is_answered(running_pod: Pod):
    status, answer = await block(running_pod, "203.0.113.7")
    assert status == 201
    assert answer["committed"] is True
    assert stored(running_pod) == ["203.0.113.7/32"]


async def test_block_survives_a_restart(running_pod: Pod):
    """Of this process; the workers never forgot it."""
    await block(running_pod, "203.0.113.7", reason="seen scanning", categories=["scan"])
    before = running_pod.control.state.version
    await running_pod.restart()
    assert running_pod.control.state.version >= before
    worker = await running_pod.current_worker()
    assert worker.blocks("203.0.113.7")
    _, answer = await running_pod.call("GET", "/v1/blocks")
    (entry,) = answer["blocks"]
    assert (entry["reason"], entry["categories"]) == ("seen scanning", ["scan"])


async def test_change_that_the_store_refuses_is_not_in_force(running_pod: Pod):
    """What is not durable must not be half there: 503, and nobody is denied by it."""
    config = running_pod.config_path.read_text()
    running_pod.config_path.write_text(f"{config}store_seconds = 0.2\n")
    await running_pod.restart()
    worker = await running_pod.current_worker()
    other = sqlite3.connect(running_pod.folder / "var/store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        status, answer = await block(running_pod, "203.0.113.7")
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert (status, answer["error"]) == (503, "store_unavailable")
    assert running_pod.response.headers["Retry-After"] == "1"
    assert not worker.blocks("203.0.113.7")
    assert (await block(running_pod, "203.0.113.7"))[0] == 201
    assert worker.blocks("203.0.113.7")


async def test_many_blocks_at_once_are_all_taken(running_pod: Pod):
    """One order for all of them, no lost update."""
    worker = await running_pod.current_worker()
    answers = await asyncio.gather(*(block(running_pod, f"203.0.113.{number}") for number in range(40)))
    assert {status for status, _ in answers} == {201}
    sequences = [answer["version"]["sequence"] for _, answer in answers]
    assert len(set(sequences)) == 40
    await until(lambda: worker.version == running_pod.control.state.version, "the worker has the newest")
    assert all(worker.blocks(f"203.0.113.{number}") for number in range(40))


async def test_append_by_somebody_else_is_taken_over(running_pod: Pod):
    """The log has one order; whoever moved its head is followed before the own change is tried again."""
    control = running_pod.control
    entry = ManualEntry(
        "192.0.2.9/32", "network", "block", "operator", 9.0, "operator:else", int(time.time())
    )
    draft = Draft(RecordKind.ENTRY_PUT, entry.to_wire(), "else", 1)
    await control.store.append(draft, await control.store.head())
    worker = await running_pod.current_worker()
    assert not worker.blocks("192.0.2.9")
    status, _ = await block(running_pod, "203.0.113.7")
    assert status == 201
    assert worker.blocks("192.0.2.9")
    assert worker.blocks("203.0.113.7")


async def test_append_that_was_not_heard_of_is_found_by_housekeeping(running_pod: Pod):
    """A call that ran into its timeout may have been carried out all the same."""
    control = running_pod.control
    entry = ManualEntry(
        "192.0.2.9/32", "network", "block", "operator", 9.0, "operator:else", int(time.time())
    )
    await control.store.append(
        Draft(RecordKind.ENTRY_PUT, entry.to_wire(), "else", 1), await control.store.head()
    )
    worker = await running_pod.current_worker()
    await control.changes.follow()
    await until(lambda: worker.blocks("192.0.2.9"), "the worker has it")
    assert control.state.head == await control.store.head()


async def test_log_that_went_backwards_is_taken_from_its_sum(running_pod: Pod):
    """A store that was put back to a copy is another history: everything is read anew."""
    control = running_pod.control
    await block(running_pod, "203.0.113.7")
    control.state.head = control.state.head._replace(sequence=900)
    await control.changes.follow()
    assert control.state.head == await control.store.head()
    assert [entry.target for entry in control.state.live()] == ["203.0.113.7/32"]


async def test_same_idempotency_key_is_one_change(running_pod: Pod):
    """A caller whose connection broke asks again without fear."""
    first = await block(running_pod, "203.0.113.7", ttl_seconds=60, idempotency_key="k")
    again = await block(running_pod, "203.0.113.7", ttl_seconds=60, idempotency_key="k")
    assert (first[0], again[0]) == (201, 200)
    assert again[1]["replayed"] is True
    assert again[1]["entry"] == first[1]["entry"]
    assert again[1]["version"] == first[1]["version"]


@pytest.mark.parametrize(
    "other", [{"target": "203.0.113.8"}, {"score": 5.0}, {"ttl_seconds": 61}, {"reason": "x"}]
)
async def test_key_for_another_change_is_refused(running_pod: Pod, other):
    """The second wish would be lost in silence otherwise."""
    wish = {"target": "203.0.113.7", "ttl_seconds": 60, "idempotency_key": "k"}
    await running_pod.call("POST", "/v1/blocks", wish)
    status, answer = await running_pod.call("POST", "/v1/blocks", {**wish, **other})
    assert (status, answer["rule"]) == (409, "idempotency_key")


async def test_expired_entries_leave_the_log_s_sum(running_pod: Pod):
    control = running_pod.control
    await block(running_pod, "203.0.113.7", ttl_seconds=1)
    await block(running_pod, "203.0.113.8", ttl_seconds=600)
    worker = await running_pod.current_worker()
    await until(lambda: control.state.expired(time.time()), "the first entry is expired")
    await control.changes.prune()
    assert stored(running_pod) == ["203.0.113.8/32"]
    await until(lambda: worker.version == control.state.version, "the worker got the shorter overlay")
    assert not worker.blocks("203.0.113.7")
    assert worker.blocks("203.0.113.8")


async def test_pruning_nothing_writes_nothing(running_pod: Pod):
    """A log of seconds would trim away what matters."""
    before = await running_pod.control.store.head()
    await running_pod.control.changes.prune()
    assert await running_pod.control.store.head() == before


async def test_store_that_keeps_moving_ends_in_an_error(running_pod: Pod, monkeypatch):
    """Never an endless loop under somebody else's writes."""
    control = running_pod.control

    async def stubborn() -> None:
        return None

    monkeypatch.setattr(control.changes, "_catch_up", stubborn)
    control.state.head = control.state.head._replace(digest=b"\x01" * 32)
    with pytest.raises(StoreError, match="moved 5 times"):
        await control.changes.note_lists({})
