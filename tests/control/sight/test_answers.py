"""GET /v1/top and GET /v1/analytics: what they say, for whom, and what they refuse."""

import time
from collections import Counter

import pytest

from proxy.control.sight.answers import percentiles
from proxy.control.sight.periods import HOUR_MS, MINUTE_MS
from proxy.control.sight.traffic import Listed, Ranking, RouteTraffic, Traffic
from proxy.store.summaries import Period, Summary
from tests.control.conftest import Pod
from tests.control.test_admin import READER, TOKENS, bearer


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def route(requests: int, **more: int) -> RouteTraffic:
    return RouteTraffic(
        Counter(requests=requests, responses_2xx=requests) + Counter(more), Counter({115: requests})
    )


def requests_of(**clients: int) -> dict[str, Ranking]:
    listed = {name.replace("_", "."): Listed(count, 0) for name, count in clients.items()}
    return {"requests": Ranking(sum(clients.values()), 0, listed)}


async def put(pod: Pod, period: Period, start_ms: int, traffic: Traffic, name: str = "") -> None:
    row = Summary(period, name or pod.control.summaries.pod, start_ms, traffic.to_wire())
    await pod.control.store.add_summaries([row])


async def test_top_clients_of_all_pods_come_heaviest_first(running_pod: Pod):
    await put(running_pod, Period.SECOND, now_ms() - 2000, Traffic(1.0, {}, requests_of(a=3, b=5)))
    await put(running_pod, Period.SECOND, now_ms() - 1000, Traffic(1.0, {}, requests_of(a=4)), "other")
    _, answer = await running_pod.call("GET", "/v1/top?by=client&window=60s")
    shown = [(item["client"], item["requests"]) for item in answer["clients"]]
    assert shown == [("a", {"count": 7, "at_most": 7}), ("b", {"count": 5, "at_most": 5})]
    assert answer["clients"][0]["denied"] == {"count": 0, "at_most": 0}
    assert answer["pods"] == "2/2"
    assert answer["totals"]["requests"] == 12
    assert answer["window"]["seconds"] == 60


async def test_what_is_not_listed_is_told_as_a_bound(running_pod: Pod):
    """Heavy hitters are known within bounds, and the answer says which."""
    rankings = {"requests": Ranking(100, 9, {"a": Listed(50, 4)}), "bytes": Ranking(7, 3, {})}
    await put(running_pod, Period.SECOND, now_ms() - 1000, Traffic(1.0, {}, rankings))
    _, answer = await running_pod.call("GET", "/v1/top")
    (client,) = answer["clients"]
    assert client["requests"] == {"count": 50, "at_most": 54}
    assert client["bytes"] == {"count": 0, "at_most": 3}
    assert answer["unlisted_at_most"]["requests"] == 9


async def test_pod_that_fell_silent_is_told(running_pod: Pod):
    """An answer for one pod of two must not look like one for both."""
    await put(running_pod, Period.MINUTE, now_ms() - 5 * MINUTE_MS, Traffic(60.0), "gone")
    _, answer = await running_pod.call("GET", "/v1/top?window=10m")
    assert answer["pods"] == "1/2"


async def test_top_routes_are_exact_and_ordered_as_asked(running_pod: Pod):
    routes = {"api": route(5, denied=1, bytes=10), "rest": route(2, denied=2, bytes=90), "": route(1)}
    await put(running_pod, Period.SECOND, now_ms() - 1000, Traffic(1.0, routes))
    _, answer = await running_pod.call("GET", "/v1/top?by=route&order=denied&limit=2")
    assert [(item["route"], item["denied"]) for item in answer["routes"]] == [("rest", 2), ("api", 1)]
    assert (answer["totals"]["requests"], answer["totals"]["bytes"]) == (8, 100)
    _, answer = await running_pod.call("GET", "/v1/top?by=route")
    assert answer["routes"][2]["route"] is None


async def test_analytics_of_one_route_over_a_day(running_pod: Pod):
    now = now_ms()
    before = now - 5 * HOUR_MS
    start = before - before % (10 * MINUTE_MS)
    traffic = Traffic(60.0, {"default": route(8, errors=2, responses_5xx=2), "other": route(1)})
    await put(running_pod, Period.MINUTE, start, traffic)
    await put(running_pod, Period.MINUTE, start + MINUTE_MS, traffic)
    await put(running_pod, Period.SECOND, now - 1000, Traffic(1.0, {"default": route(4)}))
    status, answer = await running_pod.call("GET", "/v1/analytics?api_id=default&time_range=24h")
    assert (status, answer["source"], answer["pods"]) == (200, "edge", "1/1")
    totals = answer["totals"]
    assert (totals["requests"], totals["errors"], totals["error_rate"]) == (20, 4, 0.2)
    assert totals["responses"] == {"1xx": 0, "2xx": 20, "3xx": 0, "4xx": 0, "5xx": 4}
    assert totals["latency_ms"]["p99"] == 0.115
    first = answer["traffic"][0]
    assert (first["start"], first["requests"]) == (start / 1000, 16)
    assert answer["traffic"][-1]["requests"] == 4
    assert 121 <= answer["window"]["covered_seconds"] < 140


async def test_analytics_of_all_routes_names_each(running_pod: Pod):
    hour = now_ms() - now_ms() % HOUR_MS - 30 * HOUR_MS
    await put(running_pod, Period.HOUR, hour, Traffic(3600.0, {"api": route(8), "rest": route(3)}))
    _, answer = await running_pod.call("GET", "/v1/analytics?time_range=7d")
    assert answer["totals"]["requests"] == 11
    assert [(item["route"], item["requests"]) for item in answer["routes"]] == [("api", 8), ("rest", 3)]
    _, month = await running_pod.call("GET", "/v1/analytics?time_range=30d&api_id=api")
    assert (month["totals"]["requests"], month["step_seconds"]) == (8, 21600)


@pytest.mark.parametrize("api_id", ["nobody", "", "x" * 500, "%0A<script>"])
async def test_route_that_never_was_is_not_found(running_pod: Pod, api_id: str):
    status, answer = await running_pod.call("GET", f"/v1/analytics?api_id={api_id}")
    assert (status, answer["error"]) == (404, "not_found")


async def test_configured_route_without_traffic_has_zeros(running_pod: Pod):
    status, answer = await running_pod.call("GET", "/v1/analytics?api_id=default")
    assert (status, answer["totals"]["requests"]) == (200, 0)
    assert answer["totals"]["latency_ms"] == {"p50": None, "p90": None, "p95": None, "p99": None}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/top?by=x",
        "/v1/top?order=latency",
        "/v1/top?window=0s",
        "/v1/top?window=31d",
        "/v1/top?window=15",
        "/v1/top?window=1s1s",
        "/v1/top?window=\u0661s",
        "/v1/top?limit=0",
        "/v1/analytics?time_range=1h",
    ],
)
async def test_query_that_cannot_be_read_is_refused(running_pod: Pod, path: str):
    status, answer = await running_pod.call("GET", path)
    assert (status, answer["error"]) == (400, "invalid_query")


@pytest.mark.parametrize("path", ["/v1/top", "/v1/analytics", "/v1/events"])
async def test_sight_needs_the_scope_read(pod: Pod, path: str):
    writer = '[[control.tokens]]\nname = "w"\nscopes = ["write"]\nsecret = "only-writes-nothing-else"\n'
    pod.configure(control="")
    pod.config_path.write_text(pod.config_path.read_text() + TOKENS + writer)
    await pod.start()
    assert (await pod.call("GET", path))[0] == 401
    assert (await pod.call("GET", path, headers=bearer("only-writes-nothing-else")))[0] == 403
    assert (await pod.call("GET", path, headers=bearer(READER)))[0] == 200


@pytest.mark.parametrize(
    ("latency", "expected"),
    [
        ({}, [None] * 4),
        ({1000: 1}, [1.0] * 4),
        ({1000: 50, 2000: 40, 9000: 9, 99000: 1}, [1.0, 2.0, 9.0, 9.0]),
        ({1000: 1, 2000: 1}, [1.0, 2.0, 2.0, 2.0]),
    ],
)
def test_percentile_is_the_bound_that_so_many_stay_below(latency, expected):
    assert list(percentiles(latency).values()) == expected
