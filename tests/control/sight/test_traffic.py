"""Rankings and counts put together: what is told stays true however often it is merged."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.control.sight.traffic import (
    Listed,
    Ranking,
    RouteTraffic,
    Traffic,
    merged,
    ranking_of,
    together,
)

CLIENTS = st.integers(0, 30).map(lambda number: f"192.0.2.{number}")
SECONDS = st.lists(st.lists(CLIENTS, max_size=60), min_size=1, max_size=8)


def told(requests: list[str], listed_count: int) -> Ranking:
    """What a worker that counts exactly but lists only a few says."""
    top = [[client, count] for client, count in Counter(requests).most_common(listed_count)]
    return ranking_of({"total": len(requests), "error": 0, "top": top}, listed_count)


@given(seconds=SECONDS, listed_count=st.integers(1, 6), kept_count=st.integers(1, 6))
def test_true_counts_lie_within_what_is_told_after_any_merges(seconds, listed_count, kept_count):
    """Seconds into minutes into hours: every step may cut the list, none may tell a lie."""
    rankings = [told(requests, listed_count) for requests in seconds]
    half = len(rankings) // 2
    whole = merged([merged(rankings[:half], kept_count), merged(rankings[half:], kept_count)], kept_count)
    exact = Counter(client for requests in seconds for client in requests)
    assert whole.total == exact.total()
    assert len(whole.clients) <= kept_count
    for client, count in exact.items():
        listed = whole.clients.get(client)
        if listed is None:
            assert count <= whole.unlisted
        else:
            assert listed.count <= count <= listed.count + listed.error


@given(seconds=SECONDS)
def test_lists_that_are_not_cut_are_exact(seconds):
    whole = merged([told(requests, 100) for requests in seconds])
    exact = Counter(client for requests in seconds for client in requests)
    assert {client: listed.count for client, listed in whole.clients.items()} == exact
    assert all(listed.error == 0 for listed in whole.clients.values())
    assert whole.unlisted == 0


def test_a_day_of_minutes_is_merged_in_batches_and_stays_true():
    """What is held at a time is bounded; so is the error, since little is cut off between."""
    minutes = [
        [f"192.0.2.{number % 3}", *(f"198.51.{number % 256}.{other}" for other in range(99))]
        for number in range(400)
    ]
    parts = (Traffic(60.0, {}, {"requests": told(requests, 100)}) for requests in minutes)
    ranking = together(parts).rankings["requests"]
    exact = Counter(client for requests in minutes for client in requests)
    assert ranking.total == exact.total()
    assert list(ranking.clients)[:3] == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]
    for client, count in exact.items():
        listed = ranking.clients.get(client)
        most = ranking.unlisted if listed is None else listed.count + listed.error
        assert count <= most


def test_only_what_is_asked_for_is_read():
    """A day has 1,440 summaries of up to 256 routes."""
    routes = {name: RouteTraffic(Counter(requests=1)) for name in ("api", "rest")}
    content = Traffic(1.0, routes, {"requests": told(["a"], 100), "bytes": told(["b"], 100)}).to_wire()
    some = Traffic.from_wire(content, "rest", ("bytes",))
    assert (set(some.routes), set(some.rankings)) == ({"rest"}, {"bytes"})
    assert Traffic.from_wire(content, "nobody", ()).routes == {}


def test_error_of_a_worker_bounds_who_is_and_who_is_not_listed():
    ranking = ranking_of({"total": 90, "error": 5, "top": [["a", 50], ["b", 7]]}, 2)
    assert ranking == Ranking(90, 12, {"a": Listed(50, 5), "b": Listed(7, 5)})
    assert ranking_of({"total": 90, "error": 5, "top": [["a", 50]]}, 2).unlisted == 5


def test_traffic_is_the_same_after_it_was_written_down():
    route = RouteTraffic(Counter(requests=3, bytes=9), Counter({115: 2, 132: 1}))
    traffic = Traffic(1.5, {"api": route}, {"requests": told(["a", "a", "b"], 100)})
    assert Traffic.from_wire(traffic.to_wire()) == traffic
    twice = together([traffic, traffic])
    assert (twice.seconds, twice.routes["api"].counts["requests"], twice.routes["api"].latency[115]) == (
        3,
        6,
        4,
    )
    assert twice.rankings["requests"].clients["a"] == Listed(4, 0)


def test_nothing_takes_hardly_any_room():
    traffic = Traffic(1.0, {"api": RouteTraffic()}, {"requests": Ranking()})
    assert not traffic
    assert traffic.to_wire() == b'{"seconds":1.0,"routes":{},"rankings":{}}'
