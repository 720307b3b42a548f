"""Rate limits over real sockets: what a client above its limit sees, and what its upstream never does."""

import asyncio
import re

from fastmatch._native import Entry, Segment
from proxy.edge.config import EdgeConfig
from proxy.edge.config_rate_limits import RateLimitConfig
from proxy.edge.config_routes import RouteConfig
from tests.edge.conftest import StartEdge, until
from tests.edge.process import leave_attach_file, running_worker
from tests.support.client import Client, get, post
from tests.support.origin import Origin


def per_client(requests: int, per_seconds: int = 3600, burst: int | None = None) -> RateLimitConfig:
    return RateLimitConfig("per-client", "client", requests, per_seconds, burst)


async def test_client_above_its_limit_gets_429_and_origin_sees_nothing(start_edge: StartEdge, origin: Origin):
    """The connection stays: a new one would cost both sides more than the answer did."""
    edge = await start_edge(rate_limits=(per_client(2),))
    client = await edge.connect()
    assert [(await client.fetch(get())).status for _ in range(2)] == [200, 200]
    response = await client.fetch(get())
    assert response.status == 429
    assert response.head.get("retry-after") == "1800"
    assert response.head.get("ratelimit-policy") == '"per-client";q=2;w=3600'
    assert response.head.get("ratelimit") == '"per-client";r=0;t=1800'
    assert response.head.get("content-type") == "application/problem+json"
    assert b'"violated-policies":["per-client"]' in response.body
    assert (await client.fetch(get())).status == 429
    assert len(origin.requests) == 2
    assert (edge.counter("limited"), edge.counter("requests"), edge.counter("denied")) == (2, 4, 0)
    other = await edge.connect(source="127.0.0.2")
    assert (await other.fetch(get())).status == 200


async def test_client_that_waits_as_long_as_it_was_told_passes_again(start_edge: StartEdge, origin: Origin):
    """Retry-After is a promise."""
    edge = await start_edge(rate_limits=(per_client(20, 1, burst=1),))
    client = await edge.connect()
    assert (await client.fetch(get())).status == 200
    response = await client.fetch(get())
    while response.status == 200:  # a slow machine: the twentieth of a second was over
        response = await client.fetch(get())
    assert response.head.get("retry-after") == "1"
    await asyncio.sleep(int(response.head.get("retry-after") or 0))
    assert (await client.fetch(get())).status == 200


async def test_limited_upload_that_has_not_arrived_ends_the_connection(start_edge: StartEdge, origin: Origin):
    """What is left of the body must never be read as a request."""
    edge = await start_edge(rate_limits=(per_client(1),))
    client = await edge.connect()
    assert (await client.fetch(get())).status == 200
    assert (await client.fetch(post(b"whole"))).status == 429
    await client.send(post(b"x" * 100_000)[:50_000])
    response = await client.read_response()
    assert response.status == 429
    assert response.head.get("connection") == "close"
    assert len(origin.requests) == 1


async def test_observation_counts_and_lets_pass(start_edge: StartEdge, origin: Origin):
    """A limit is tried out on real traffic before it refuses anybody."""
    edge = await start_edge(rate_limits=(per_client(1),), observe=True)
    client = await edge.connect()
    assert [(await client.fetch(get())).status for _ in range(3)] == [200, 200, 200]
    assert (edge.counter("limited"), edge.counter("limit_observed")) == (0, 2)
    assert edge.worker.context.gate.drain_events().count(b'"action":"limit_observed"') == 2


async def test_operators_allow_does_not_lift_a_limit(start_edge: StartEdge, origin: Origin):
    """An allow speaks of lists; who is not on one may still be too fast."""
    edge = await start_edge(Entry("127.0.0.1", disposition="allow"), rate_limits=(per_client(1),))
    client = await edge.connect()
    assert [(await client.fetch(get())).status for _ in range(2)] == [200, 429]


async def test_answers_carry_what_is_left_when_asked_to(start_edge: StartEdge, origin: Origin):
    """By default nothing tells a stranger how far he may go."""
    edge = await start_edge(rate_limits=(per_client(5),))
    client = await edge.connect()
    assert (await client.fetch(get())).head.get("ratelimit") is None
    edge.configure(limit_fields="always")
    response = await client.fetch(get())
    assert response.status == 200
    assert re.fullmatch(r'"per-client";r=3;t=7\d\d', response.head.get("ratelimit") or "")


async def test_route_has_limits_of_its_own_beside_the_edges(start_edge: StartEdge, origin: Origin):
    """Logins are counted more strictly than the rest, and count in the rest as well."""
    logins = RateLimitConfig("logins", "client", 1, 3600)
    edge = await start_edge(
        rate_limits=(per_client(3),),
        routes=(
            RouteConfig("login", path="/login", rate_limits=(logins,)),
            RouteConfig("rest"),
        ),
    )
    client = await edge.connect()
    seen = [(await client.fetch(get(path))).status for path in ("/login", "/login", "/", "/", "/")]
    assert seen == [200, 429, 200, 200, 429]


async def test_limit_counts_over_all_workers_of_a_pod(origin: Origin, tmp_path):
    """With a limit per worker a client would get as many shares as there are cores."""
    leave_attach_file(tmp_path, EdgeConfig(upstream_port=origin.port, rate_limits=(per_client(10),)))
    segment = Segment.create(2)
    async with (
        running_worker(tmp_path, segment=segment) as first,
        running_worker(tmp_path, segment=segment, slot=1) as second,
    ):
        clients = [await Client.connect(worker.port) for worker in (first, second) for _ in range(4)]
        answers = await asyncio.gather(*(fetch_all(client, 10) for client in clients))
        for client in clients:
            client.close()
    statuses = [status for seen in answers for status in seen]
    assert (statuses.count(200), statuses.count(429)) == (10, 70)
    assert segment.counters()["limited"] == 70


async def fetch_all(client: Client, count: int) -> list[int]:
    return [(await client.fetch(get())).status for _ in range(count)]


async def test_worker_that_is_replaced_goes_on_counting_where_the_dead_one_was(origin: Origin, tmp_path):
    """A client that can crash a worker must not get a new allowance for it."""
    leave_attach_file(tmp_path, EdgeConfig(upstream_port=origin.port, rate_limits=(per_client(3),)))
    segment = Segment.create(1)
    for expected in ([200, 200], [200, 429]):
        async with running_worker(tmp_path, segment=segment) as worker:
            client = await Client.connect(worker.port)
            assert await fetch_all(client, 2) == expected
            worker.process.kill()
            await until(lambda: worker.process.returncode is not None)
            client.close()
        segment.clear_gauges(0)
