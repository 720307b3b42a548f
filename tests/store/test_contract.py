"""What every store must do. A new implementation is added to `store_maker` and to nothing else."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.errors import StoreError
from proxy.store.protocol import Store
from proxy.store.records import (
    AuditLine,
    Denial,
    Draft,
    EntryKey,
    HeadMovedError,
    LogTrimmedError,
    ManualEntry,
    RecordKind,
    fold,
    is_sound,
    keys_to_wire,
)
from proxy.store.sqlite import SqliteOptions, open_store
from proxy.store.summaries import KEPT_MS, Period, Summary

Maker = Callable[..., Awaitable[Store]]


@pytest.fixture(params=["sqlite"])
async def store_maker(request, tmp_path):
    """Opens the same store again and again, as a restart does; closes what is left open."""
    opened: list[Store] = []

    async def make(**options) -> Store:
        store = await open_store(SqliteOptions(tmp_path / "store.sqlite", **options))
        opened.append(store)
        return store

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
async def store(store_maker):
    return await store_maker()


def entry(target: str = "203.0.113.7/32", **values) -> ManualEntry:
    given = {"kind": "network", "disposition": "block", "origin": "operator", "score": 10.0}
    return ManualEntry(target=target, source="operator:ops", created=1000, **{**given, **values})


def put(of: ManualEntry, key: str | None = None, author: str = "ops") -> Draft:
    return Draft(RecordKind.ENTRY_PUT, of.to_wire(), author, 1_000_000, key)


def removal(*keys: EntryKey) -> Draft:
    return Draft(RecordKind.ENTRY_REMOVED, keys_to_wire(keys), "ops", 1_000_000)


async def append(store: Store, draft: Draft):
    return await store.append(draft, await store.head())


async def test_empty_log_has_a_head_at_zero(store):
    head = await store.head()
    assert (head.sequence, head.digest) == (0, bytes(32))
    assert head.epoch > 0
    assert await store.records(0, 10) == ()


async def test_appended_record_is_the_new_head(store):
    record = await append(store, put(entry()))
    assert record.sequence == 1
    assert await store.head() == record.head


async def test_records_form_a_chain_of_digests(store):
    """A gap or a foreign record shows at its neighbour."""
    for number in range(5):
        await append(store, put(entry(f"198.51.100.{number}/32")))
    records = await store.records(0, 10)
    assert [record.sequence for record in records] == [1, 2, 3, 4, 5]
    assert all(is_sound(record) for record in records)
    assert [record.previous for record in records[1:]] == [record.digest for record in records[:-1]]


async def test_append_at_an_old_head_is_refused_and_changes_nothing(store):
    """Compare-and-append: two writers cannot both be next."""
    old = await store.head()
    await store.append(put(entry()), old)
    with pytest.raises(HeadMovedError, match="/1, not"):
        await store.append(put(entry("198.51.100.1/32")), old)
    assert (await store.head()).sequence == 1
    assert len((await store.snapshot()).entries) == 1


async def test_only_one_of_many_appends_at_the_same_head_wins(store):
    head = await store.head()
    drafts = [put(entry(f"198.51.100.{number}/32")) for number in range(20)]
    results = await asyncio.gather(*(store.append(draft, head) for draft in drafts), return_exceptions=True)
    assert sum(isinstance(result, HeadMovedError) for result in results) == 19
    assert (await store.head()).sequence == 1


async def test_idempotency_key_gives_the_first_record_again(store):
    """A caller that did not hear the answer may ask again."""
    first = await append(store, put(entry(), key="a"))
    again = await append(store, put(entry("198.51.100.1/32"), key="a"))
    assert again == first
    assert (await store.head()).sequence == 1


async def test_idempotency_key_counts_at_an_old_head_too(store):
    head = await store.head()
    first = await store.append(put(entry(), key="a"), head)
    assert await store.append(put(entry(), key="a"), head) == first


async def test_idempotency_keys_belong_to_their_author(store):
    await append(store, put(entry(), key="a"))
    other = await append(store, put(entry("198.51.100.1/32"), key="a", author="else"))
    assert other.sequence == 2


async def test_snapshot_is_the_sum_of_the_log(store):
    """The sum is kept beside the log; both must say the same."""
    first, second, third = entry(), entry("198.51.100.1/32"), entry("a.example", kind="suffix")
    for draft in (
        put(first),
        put(second),
        removal(first.key),
        put(third),
        put(entry(reason="again", score=8.0)),
    ):
        await append(store, draft)
    folded: dict[EntryKey, ManualEntry] = {}
    for record in await store.records(0, 100):
        fold(folded, record)
    snapshot = await store.snapshot()
    assert {item.key: item for item in snapshot.entries} == folded
    assert len(folded) == 3
    assert snapshot.head == await store.head()


async def test_putting_an_entry_again_replaces_it(store):
    await append(store, put(entry(score=3.0)))
    await append(store, put(entry(score=9.0, categories=("scan",), expires=5000)))
    assert (await store.snapshot()).entries == (entry(score=9.0, categories=("scan",), expires=5000),)


async def test_block_and_allow_of_one_target_are_two_entries(store):
    await append(store, put(entry()))
    await append(store, put(entry(disposition="allow")))
    await append(store, removal(entry().key))
    assert [item.disposition for item in (await store.snapshot()).entries] == ["allow"]


async def test_removing_what_is_not_there_is_a_record_like_any_other(store):
    record = await append(store, removal(entry().key))
    assert record.sequence == 1
    assert (await store.snapshot()).entries == ()


async def test_everything_is_there_after_a_restart(store_maker):
    first = await store_maker()
    record = await append(first, put(entry()))
    await first.add_denials([Denial(1, "203.0.113.7", b"{}")])
    await first.add_audit(AuditLine(1, "ops", "block", "203.0.113.7", "applied"))
    await first.close()
    second = await store_maker()
    assert await second.head() == record.head
    assert (await second.snapshot()).entries == (entry(),)
    assert len(await second.denials(10)) == 1
    assert len(await second.audit(10)) == 1


async def test_records_come_in_pages(store):
    for number in range(5):
        await append(store, put(entry(f"198.51.100.{number}/32")))
    assert [record.sequence for record in await store.records(1, 2)] == [2, 3]
    assert await store.records(5, 2) == ()


async def test_trimmed_log_says_so_and_keeps_its_sum(store_maker):
    """A follower that slept too long must not take the rest for all of it."""
    store = await store_maker(log_count=10)
    for number in range(256):
        await append(store, put(entry(f"198.51.100.{number % 250}/32")))
    with pytest.raises(LogTrimmedError, match="after sequence 0 are gone"):
        await store.records(0, 10)
    assert [record.sequence for record in await store.records(246, 3)] == [247, 248, 249]
    assert len((await store.snapshot()).entries) == 250


async def test_denials_are_bounded_and_come_newest_first(store_maker):
    """A flood must not fill the disk."""
    store = await store_maker(denial_count=3)
    await store.add_denials(
        [Denial(number, f"192.0.2.{number}", b'{"n":%d}' % number) for number in range(5)]
    )
    assert [denial.time_ms for denial in await store.denials(10)] == [4, 3, 2]
    assert await store.denials(1) == (Denial(4, "192.0.2.4", b'{"n":4}'),)


async def test_denials_can_be_asked_for_by_client(store):
    await store.add_denials([Denial(1, "192.0.2.1", b"1"), Denial(2, "192.0.2.2", b"2")])
    assert [denial.line for denial in await store.denials(10, "192.0.2.1")] == [b"1"]


async def test_no_denials_are_no_fault(store):
    await store.add_denials([])
    assert await store.denials(10) == ()


async def test_audit_is_bounded_and_comes_newest_first(store_maker):
    store = await store_maker(audit_count=2)
    for number in range(4):
        await store.add_audit(AuditLine(number, "ops", "block", "x", "refused", "too wide"))
    assert [line.time_ms for line in await store.audit(10)] == [3, 2]


def second(start_ms: int, pod: str = "a", content: bytes = b"{}") -> Summary:
    return Summary(Period.SECOND, pod, start_ms, content)


async def test_summaries_of_all_pods_come_oldest_first(store):
    """Answers about traffic speak for every pod of the store."""
    await store.add_summaries([second(3000), second(1000, "b", b"1")])
    await store.add_summaries([second(1000), second(2000)])
    found = [(item.start_ms, item.pod) for item in await store.summaries(Period.SECOND, 1000, 3000)]
    assert found == [(1000, "a"), (1000, "b"), (2000, "a")]
    assert await store.summaries(Period.MINUTE, 0, 9000) == ()


async def test_summary_written_again_replaces_the_first(store):
    """A minute that is rolled up twice counts once."""
    await store.add_summaries([second(1000, content=b"1")])
    await store.add_summaries([second(1000, content=b"2")])
    assert await store.summaries(Period.SECOND, 0, 2000) == (second(1000, content=b"2"),)


@pytest.mark.parametrize("period", list(Period))
async def test_summaries_are_kept_as_long_as_their_period_says(store, period):
    kept = KEPT_MS[period]
    other = Period.HOUR if period is not Period.HOUR else Period.MINUTE
    await store.add_summaries([Summary(period, "a", number, b"") for number in (0, 1, 2)])
    await store.add_summaries([Summary(other, "a", 0, b"")])
    await store.add_summaries([Summary(period, "b", kept + 1, b"")])
    assert [item.start_ms for item in await store.summaries(period, 0, kept + 2)] == [1, 2, kept + 1]
    assert len(await store.summaries(other, 0, 1)) == 1


async def test_summaries_survive_a_restart(store_maker):
    store = await store_maker()
    await store.add_summaries([second(1000)])
    await store.close()
    assert await (await store_maker()).summaries(Period.SECOND, 0, 2000) == (second(1000),)


async def test_no_summaries_are_no_fault(store):
    await store.add_summaries([])
    assert await store.summaries(Period.SECOND, 0, 1) == ()


async def test_closed_store_refuses(store_maker):
    store = await store_maker(timeout_seconds=0.2)
    await store.close()
    with pytest.raises(StoreError):
        await store.head()
    await store.close()
