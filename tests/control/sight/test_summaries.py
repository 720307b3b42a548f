"""From what a segment counts to what the store keeps: nothing is lost, nothing counts twice."""

import os
from collections import Counter

import orjson
import pytest

from proxy.control.sight.periods import HOUR_MS, MINUTE_MS, read
from proxy.control.sight.sample import Drawn, Samples, drawn_of
from proxy.control.sight.summaries import Summaries
from proxy.control.sight.traffic import COUNTS, NO_ROUTE, Traffic, together
from proxy.errors import StoreError
from proxy.store.sqlite import SqliteOptions, open_store
from proxy.store.summaries import Period

START_MS = 500_000 * HOUR_MS


class Counted:
    """A segment whose counters the test sets."""

    def __init__(self) -> None:
        self.by_route: dict[str, Counter[str]] = {}
        self.unrouted_count = 0
        self._file = os.memfd_create("counted")

    def fileno(self) -> int:
        return self._file

    def count(self, route: str, requests: int = 1, **more: int) -> None:
        self.by_route.setdefault(route, Counter()).update(requests=requests, responses_2xx=requests, **more)

    def counters(self) -> dict[str, int]:
        whole = Counter[str](requests=self.unrouted_count)
        for counts in self.by_route.values():
            whole.update(counts)
        return dict(whole)

    def routes(self, names: list[str]) -> list[tuple[dict[str, int], dict[int, int]]]:
        found = []
        for name in names:
            counts = self.by_route.get(name, Counter())
            latency = {115: counts["requests"]} if counts["requests"] else {}
            found.append(({key: counts[key] for key in COUNTS}, latency))
        return found


@pytest.fixture
async def store(tmp_path):
    opened = await open_store(SqliteOptions(tmp_path / "store.sqlite"))
    yield opened
    await opened.close()


@pytest.fixture
def segment():
    return Counted()


def summaries_of(store, segment, pod: str = "a") -> Summaries:
    return Summaries(store, segment, pod, lambda: ("api",))


async def started(store, segment, now_ms: int = START_MS, pod: str = "a") -> Summaries:
    made = summaries_of(store, segment, pod)
    await made.start(now_ms)
    return made


async def whole(store, since_ms: int, now_ms: int) -> Traffic:
    return together(Traffic.from_wire(row.content) for row in await read(store, since_ms, now_ms))


def requests(traffic: Traffic, route: str = "api") -> int:
    found = traffic.routes.get(route)
    return found.counts["requests"] if found is not None else 0


def hitters(**clients: int) -> bytes:
    top = [[name, count] for name, count in clients.items()]
    ranking = {"total": sum(clients.values()), "error": 0, "top": top}
    empty = {"total": 0, "error": 0, "top": []}
    return orjson.dumps({"hitters": {"requests": ranking, "bytes": empty, "denied": empty, "limited": empty}})


async def test_second_holds_what_was_counted_in_it(store, segment):
    summaries = await started(store, segment)
    segment.count("api", 3, denied=1)
    await summaries.write(START_MS + 1000)
    segment.count("api", 2)
    segment.unrouted_count += 4
    await summaries.write(START_MS + 2000)
    rows = await store.summaries(Period.SECOND, START_MS, START_MS + 5000)
    first, second = (Traffic.from_wire(row.content) for row in rows)
    assert [row.start_ms for row in rows] == [START_MS, START_MS + 1000]
    assert (requests(first), first.routes["api"].counts["denied"], first.seconds) == (3, 1, 1.0)
    assert (requests(second), second.routes["api"].latency) == (2, {115: 2})
    assert requests(second, NO_ROUTE) == 4


async def test_quiet_pod_says_so_now_and_then(store, segment):
    """Silence must not look like a pod that is gone."""
    summaries = await started(store, segment)
    for second in range(1, 13):
        await summaries.write(START_MS + second * 1000)
    rows = await store.summaries(Period.SECOND, START_MS, START_MS + 20_000)
    assert [row.start_ms - START_MS for row in rows] == [0, 5000]


async def test_control_process_that_died_leaves_no_gap_and_counts_nothing_twice(store, segment):
    summaries = await started(store, segment)
    segment.count("api", 3)
    await summaries.write(START_MS + 1000)
    segment.count("api", 5)  # never written by the first
    again = await started(store, segment, START_MS + 9000)
    segment.count("api", 7)
    await again.write(START_MS + 10_000)
    traffic = await whole(store, START_MS, START_MS + 10_000)
    assert (requests(traffic), traffic.seconds) == (15, 10.0)


async def test_new_segment_counts_from_its_own_beginning(store, segment):
    """After a restart of the whole program: requests of before control's first look count, too."""
    summaries = await started(store, segment)
    segment.count("api", 300)
    await summaries.write(START_MS + 1000)
    other = Counted()
    other.count("api", 2)
    await (await started(store, other, START_MS + 5000)).write(START_MS + 6000)
    assert requests(await whole(store, START_MS, START_MS + 6000)) == 302


async def test_route_that_left_the_configuration_is_counted_to_its_end(store, segment):
    names = ["api"]
    summaries = Summaries(store, segment, "a", lambda: tuple(names))
    await summaries.start(START_MS)
    await summaries.write(START_MS + 5000)
    names[:] = ["other"]
    segment.count("api", 2)
    await summaries.write(START_MS + 6000)
    assert requests(await whole(store, START_MS, START_MS + 6000)) == 2


async def test_store_that_refuses_costs_nothing(store, segment, monkeypatch):
    summaries = await started(store, segment)

    async def refuse(_new):
        raise StoreError("disk full")

    monkeypatch.setattr(store, "add_summaries", refuse)
    for second in range(1, 4):
        segment.count("api")
        summaries.take(0, hitters(x=1))
        await summaries.write(START_MS + second * 1000)
    monkeypatch.undo()
    segment.count("api")
    await summaries.write(START_MS + 4000)
    traffic = await whole(store, START_MS, START_MS + 4000)
    assert (requests(traffic), traffic.rankings["requests"].clients["x"].count) == (4, 3)


async def test_what_is_written_is_not_written_again_when_rolling_up_fails(store, segment, monkeypatch):
    summaries = await started(store, segment)
    summaries.take(0, hitters(x=1))
    segment.count("api")
    await summaries.write(START_MS + 1000)
    asked = store.summaries

    async def refuse(*_wanted):
        raise StoreError("slow disk")

    monkeypatch.setattr(store, "summaries", refuse)
    summaries.take(0, hitters(x=1))
    await summaries.write(START_MS + 61_000)
    await summaries.write(START_MS + 70_000)
    monkeypatch.setattr(store, "summaries", asked)
    summaries.take(0, hitters(x=1))
    await summaries.write(START_MS + 71_000)
    traffic = await whole(store, START_MS, START_MS + 71_000)
    assert (requests(traffic), traffic.rankings["requests"].total) == (1, 3)


async def test_two_hours_with_restarts_add_up_in_every_period(store, segment):
    summaries = await started(store, segment)
    sent_count = 0
    for number in range(1, 2 * 3600 + 120):
        if number % 7 == 0:
            segment.count("api", number % 3)
            sent_count += number % 3
        if number % 1311 == 0:
            summaries = await started(store, segment, START_MS + number * 1000)
        if number % 7 in (0, 5):
            await summaries.write(START_MS + number * 1000)
    now_ms = START_MS + (2 * 3600 + 119) * 1000
    await summaries.write(now_ms)
    assert requests(await whole(store, START_MS, now_ms)) == sent_count
    hours = await store.summaries(Period.HOUR, START_MS, now_ms)
    minutes = await store.summaries(Period.MINUTE, START_MS, START_MS + 2 * HOUR_MS)
    by_hour, by_minute = (
        together(Traffic.from_wire(row.content) for row in rows) for rows in (hours, minutes)
    )
    assert len(hours) == 2
    assert requests(by_hour) == requests(by_minute)
    assert by_hour.routes["api"].latency == by_minute.routes["api"].latency


async def test_minute_that_was_over_while_nobody_was_there_is_rolled_up_later(store, segment):
    """The seconds are on disk; a new control process makes the minute before they are dropped."""
    summaries = await started(store, segment)
    segment.count("api", 4)
    await summaries.write(START_MS + 30_000)
    later_ms = START_MS + 3 * HOUR_MS
    again = await started(store, Counted(), later_ms)
    await again.write(later_ms + 5000)
    (minute,) = await store.summaries(Period.MINUTE, START_MS, START_MS + MINUTE_MS)
    assert requests(Traffic.from_wire(minute.content)) == 4
    assert requests(await whole(store, START_MS, later_ms + 5000)) == 4


async def test_each_pod_rolls_up_its_own(store, segment):
    first = await started(store, segment)
    second = await started(store, Counted(), pod="b")
    segment.count("api", 2)
    await second.write(START_MS + 5000)
    for seconds in (5, 61):
        await first.write(START_MS + seconds * 1000 + 5000)
    rows = await store.summaries(Period.MINUTE, START_MS, START_MS + MINUTE_MS)
    assert [row.pod for row in rows] == ["a"]


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{}", b'{"hitters":{"requests":1}}', b'{"hitters":null}', b"\xff", b"x" * (1 << 21)],
)
async def test_frame_that_says_nothing_we_know_is_counted_and_left(store, segment, payload):
    summaries = await started(store, segment)
    summaries.take(0, payload)
    summaries.take(1, hitters(x=2))
    await summaries.write(START_MS + 1000)
    assert summaries.dropped_count == 1
    traffic = await whole(store, START_MS, START_MS + 1000)
    assert traffic.rankings["requests"].total == 2


async def test_a_million_clients_are_a_bounded_summary(store, segment):
    """A flood from everywhere is when memory and disk are short."""
    summaries = await started(store, segment)
    empty = {"total": 0, "error": 0, "top": []}
    for frame in range(2_000):
        # 500 clients each time, of which a worker tells 100.
        ranking = {"total": 500, "error": 0, "top": [[f"c{frame}-{number}", 1] for number in range(100)]}
        said = {"requests": ranking, "bytes": empty, "denied": empty, "limited": empty}
        summaries.take(frame % 2, orjson.dumps({"hitters": said}))
        if frame % 100 == 99:
            await summaries.write(START_MS + frame * 1000)
    rows = await store.summaries(Period.SECOND, START_MS, START_MS + 3_000_000)
    assert max(len(row.content) for row in rows) < 5_000
    now_ms = START_MS + 1999 * 1000
    ranking_of_all = (await whole(store, START_MS - START_MS % HOUR_MS, now_ms)).rankings["requests"]
    assert (ranking_of_all.total, len(ranking_of_all.clients)) == (1_000_000, 100)


async def test_samples_are_kept_by_minute_and_slot(store, segment):
    """A worker tells its quarter of an hour again and again; each minute of it counts once."""
    summaries = await started(store, segment)
    minute = START_MS // 1000
    for slot, count in ((0, 5), (1, 6), (0, 7)):
        sample = {"minutes": [{"start": minute, "requests": count, "clients": [f"192.0.2.{slot}"]}]}
        said = orjson.loads(hitters(x=1)) | {"sample": sample}
        summaries.take(slot, orjson.dumps(said))
        await summaries.write(START_MS + count * 1000)
    rows = await store.summaries(Period.SAMPLE, 0, START_MS + 1)
    assert drawn_of(rows) == [Drawn(7, ("192.0.2.0",)), Drawn(6, ("192.0.2.1",))]
    assert drawn_of(rows)[0].weight == 7


def test_sample_of_very_many_workers_is_bounded():
    samples = Samples()
    for slot in range(100):
        samples.take(slot, [{"start": 60, "requests": 9000, "clients": [f"192.0.2.{slot}"] * 512}])
    (row,) = samples.changed("a")
    drawn = drawn_of([row])
    assert sum(len(item.clients) for item in drawn) <= 4096
    assert sum(item.requests for item in drawn) == 900_000
    for minute in range(2, 100):
        samples.take(0, [{"start": minute * 60, "requests": 1, "clients": ["192.0.2.1"]}])
    assert len(samples.changed("a")) == 20
