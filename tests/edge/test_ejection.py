"""Targets that fail are left out, come back, and are never all left out; what the checks found counts too."""

import asyncio
import contextlib
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as some

from proxy.edge import ejection
from proxy.edge.cluster import Cluster
from proxy.edge.config_upstreams import EjectionConfig
from tests.edge.conftest import Edge, StartEdge, until
from tests.edge.origins import bodies, running_origins, upstream
from tests.support.client import get
from tests.support.origin import OriginConnection, answer

RULES = EjectionConfig(consecutive_failures=3, seconds=60.0)


@given(some.lists(some.booleans(), max_size=40), some.integers(1, 20), some.floats(0, 100))
def test_never_more_than_the_share_is_left_out(wishes: list[bool], count: int, percent: float):
    """Whatever fails and comes back in whatever order."""
    ejected = 0
    for fails in wishes:
        if fails and ejection.may_eject(ejected, count, percent):
            ejected += 1
        elif not fails and ejected:
            ejected -= 1
        assert ejected * 100 <= percent * count


@pytest.mark.parametrize(("count", "most"), [(1, 0), (2, 1), (3, 1), (10, 5)])
def test_half_of_the_targets_is_rounded_down(count: int, most: int):
    """One of two, none of one: a single target is never worth nothing."""
    assert [ejection.may_eject(ejected, count, 50.0) for ejected in range(count)] == [
        ejected < most for ejected in range(count)
    ]


@given(some.lists(some.booleans(), min_size=1, max_size=12))
def test_there_is_always_somebody_to_ask(are_well: list[bool]):
    """When nobody is well the checks are probably wrong, and an outage is certain if nobody is asked."""
    allowed = ejection.usable(are_well)
    assert any(allowed)
    assert allowed == are_well or not any(are_well)


@given(some.lists(some.floats(0, 10)), some.integers(1, 5), some.floats(0.1, 30))
def test_streak_is_full_when_the_last_failures_lie_within_the_window(
    pauses: list[float], count: int, window: float
):
    """Held against all times of failure."""
    streak, now, times = ejection.Streak(), 0.0, []
    for pause in pauses:
        now += pause
        times.append(now)
        recent = times[-count:]
        assert streak.add(now, count, window) == (len(recent) == count and recent[0] >= now - window)


def test_good_answer_ends_a_streak():
    """Consecutive means that nothing went well between."""
    streak = ejection.Streak()
    assert streak.add(0.0, 2, 1.0) is False
    streak.clear()
    assert streak.add(0.0, 2, 1.0) is False


def test_each_ejection_in_a_row_is_longer_up_to_ten_times():
    """A target that is broken for hours is not tried each half minute by every worker."""
    assert [ejection.ejection_seconds(30, repeats) for repeats in (1, 2, 10, 99)] == [30, 60, 300, 300]


def cluster_of(edge: Edge) -> Cluster:
    (cluster,) = edge.worker.context.upstreams
    return cluster


def wells(edge: Edge) -> list[bool]:
    return [target.is_well for target in cluster_of(edge).targets]


def has_counted(edge: Edge, name: str, value: int) -> bool:
    return edge.counter(name) == value


async def say(connection: OriginConnection, status: str) -> None:
    while True:
        await connection.read_request()
        await connection.send(answer(b"", status=status))


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"])
async def test_target_that_answers_with_gateway_errors_is_left_out(start_edge: StartEdge, status: str):
    """After three in a row; its answers were passed on, since who answers has been asked."""
    async with running_origins(2) as origins:
        origins[0].behave = lambda connection: say(connection, status)
        edge = await start_edge(upstreams=(upstream(*origins, ejection=RULES),))
        client = await edge.connect()
        statuses = [(await client.fetch(get())).status for _ in range(12)]
        assert statuses.count(int(status[:3])) == 3
        assert len(origins[0].requests) == 3
        assert wells(edge) == [False, True]
        assert edge.counter("upstream_ejections") == 1


async def test_other_server_errors_say_nothing_of_the_target(start_edge: StartEdge):
    """A 500 is an answer of the application to this request."""
    async with running_origins(2) as origins:
        origins[0].behave = lambda connection: say(connection, "500 Internal Server Error")
        edge = await start_edge(upstreams=(upstream(*origins, ejection=RULES),))
        await bodies(edge, 12)
        assert len(origins[0].requests) == 6
        assert wells(edge) == [True, True]


@pytest.mark.parametrize("fault", ["refuse", "reset", "silent", "malformed", "cut"])
async def test_target_that_fails_in_any_way_is_left_out(start_edge: StartEdge, fault: str):
    """Each of them is the target's fault, whether the client could be served elsewhere or not."""

    async def fail(connection: OriginConnection) -> None:
        await connection.read_request()
        if fault == "reset":
            connection.reset()
        elif fault == "malformed":
            await connection.send(b"HTTP/1.1 what\r\n\r\n")
        elif fault == "cut":
            await connection.send(answer(b"x" * 100)[:-50])
        else:
            await connection.see_end()

    async with running_origins(2) as origins:
        origins[0].behave = fail
        if fault == "refuse":
            await origins[0].stop_listening()
        edge = await start_edge(upstreams=(upstream(*origins, ejection=RULES, head_seconds=0.1),))
        for _ in range(8):
            client = await edge.connect()
            await client.send(get())
            # A cut answer is a reset; in all other cases there is a whole one.
            with contextlib.suppress(ConnectionResetError):
                await client.read_response()
        await until(lambda: wells(edge) == [False, True])
        assert cluster_of(edge).targets[0].failure_count == 3
        assert await bodies(edge, 6) == ["1"] * 6


async def test_client_that_leaves_is_no_fault_of_the_target(start_edge: StartEdge):
    """Impatient clients must not take targets away from the others."""
    gate = asyncio.Event()
    async with running_origins(2) as origins:

        async def held(connection: OriginConnection) -> None:
            await connection.read_request()
            await gate.wait()

        for origin in origins:
            origin.behave = held
        edge = await start_edge(upstreams=(upstream(*origins, ejection=RULES),))
        for count in range(1, 13):
            client = await edge.connect()
            await client.send(get())
            await until(lambda: edge.counter("requests_in_flight") == 1)
            client.close()
            await until(partial(has_counted, edge, "client_gone", count))
        assert wells(edge) == [True, True]
        gate.set()


async def test_target_comes_back_after_its_time_and_is_left_out_longer_when_it_fails_again(
    start_edge: StartEdge,
):
    """Recovery needs no operator; a relapse needs no three clients each half minute."""
    async with running_origins(2) as origins:
        status = "503 Service Unavailable"

        async def recover(connection: OriginConnection) -> None:
            while True:
                await connection.read_request()
                await connection.send(answer(b"0", status=status))

        origins[0].behave = recover
        rules = EjectionConfig(consecutive_failures=1, seconds=0.1)
        edge = await start_edge(upstreams=(upstream(*origins, ejection=rules),))
        target = cluster_of(edge).targets[0]
        await bodies(edge, 2)
        assert wells(edge) == [False, True]
        await until(lambda: wells(edge) == [True, True])
        await bodies(edge, 2)
        assert target.ejection_repeats == 2
        assert wells(edge) == [False, True]
        status = "200 OK"
        await until(lambda: wells(edge) == [True, True])
        assert sorted(await bodies(edge, 2)) == ["0", "1"]
        assert (target.ejection_repeats, target.ejection_count) == (0, 2)


async def test_when_nobody_is_well_everybody_is_asked(start_edge: StartEdge):
    """The checks may be wrong; not asking certainly is."""
    async with running_origins(2) as origins:
        edge = await start_edge(upstreams=(upstream(*origins, has_checks=True),))
        names = [f"127.0.0.1:{origin.port}" for origin in origins]
        context = edge.worker.context
        context.take_health({"default": {names[0]: False}})
        assert await bodies(edge, 4) == ["1"] * 4
        context.take_health({"default": {names[0]: False, names[1]: False}})
        assert sorted(await bodies(edge, 4)) == ["0", "0", "1", "1"]
        context.take_health({"default": {names[0]: True, names[1]: False}})
        assert await bodies(edge, 4) == ["0"] * 4


async def test_what_the_checks_found_outlives_a_reload_and_ends_with_the_checks(start_edge: StartEdge):
    """Between a reload and the next report a dead target must not get requests."""
    async with running_origins(2) as origins:
        edge = await start_edge(upstreams=(upstream(*origins, has_checks=True),))
        context = edge.worker.context
        context.take_health({"default": {f"127.0.0.1:{origins[0].port}": False}})
        edge.configure(upstreams=(upstream(*origins, has_checks=True, idle_count=7),))
        assert await bodies(edge, 4) == ["1"] * 4
        edge.configure(upstreams=(upstream(*origins),))
        assert sorted(await bodies(edge, 4)) == ["0", "0", "1", "1"]


async def test_client_goes_home_when_its_target_is_well_again(start_edge: StartEdge):
    """Consistent: only the clients of the one that was left out move, and they come back."""
    async with running_origins(3) as origins:
        edge = await start_edge(upstreams=(upstream(*origins, balance="client_hash", has_checks=True),))
        sources = [f"127.0.1.{number}" for number in range(1, 20)]

        async def homes() -> list[str]:
            return [(await bodies(edge, 1, source=source))[0] for source in sources]

        before = await homes()
        edge.worker.context.take_health({"default": {f"127.0.0.1:{origins[0].port}": False}})
        meanwhile = await homes()
        assert "0" not in meanwhile
        assert all(now == then for now, then in zip(meanwhile, before, strict=True) if then != "0")
        edge.worker.context.take_health({"default": {}})
        assert await homes() == before
