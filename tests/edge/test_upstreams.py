"""Several upstreams and targets: who gets which request, and what a change of them does to open ones."""

import asyncio
import socket
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from proxy.edge.config_routes import RouteConfig
from proxy.edge.config_upstreams import TargetConfig, UpstreamConfig
from proxy.edge.target import Address
from tests.edge.conftest import Edge, StartEdge, until
from tests.edge.origins import answer_with, bodies, running_origins, upstream
from tests.support.client import get, post
from tests.support.origin import Origin, OriginConnection, answer


def held(gate: asyncio.Event, body: bytes = b"held"):
    """Answers only when the gate opens."""

    async def behave(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await gate.wait()
            await connection.send(answer(body))

    return behave


async def test_requests_take_turns_between_targets_by_weight(start_edge: StartEdge):
    """Over any whole round the shares are exact; connections are kept for each target."""
    async with running_origins(2) as origins:
        edge = await start_edge(upstreams=(upstream(*origins, weights=(3, 1)),))
        assert Counter(await bodies(edge, 12)) == {"0": 9, "1": 3}
        assert [len(origin.connections) for origin in origins] == [1, 1]


async def test_each_route_goes_to_its_upstream(start_edge: StartEdge, origin: Origin):
    """[upstream] stays the one of routes that name none."""
    async with running_origins(2) as origins:
        edge = await start_edge(
            routes=(
                RouteConfig(name="a", path_prefix="/a", upstream="a"),
                RouteConfig(name="b", path_prefix="/b", upstream="b"),
                RouteConfig(name="rest"),
            ),
            upstreams=(upstream(origins[0], name="a"), upstream(origins[1], name="b")),
        )
        client = await edge.connect()
        seen = [(await client.fetch(get(path))).body for path in ("/a", "/b", "/c", "/b", "/a")]
        assert seen == [b"0", b"1", b"hello", b"1", b"0"]
        uploads = [(await client.fetch(post(b"x" * 40_000, path))).body for path in ("/b", "/a", "/")]
        assert uploads == [b"1", b"0", b"hello"]


async def test_route_to_an_upstream_that_does_not_exist_changes_nothing(start_edge: StartEdge):
    """All or nothing: half a configuration serves nobody."""
    edge = await start_edge()
    with pytest.raises(ValueError, match=r"routes\.0\.upstream: there is no upstream 'gone'"):
        edge.configure(routes=(RouteConfig(upstream="gone"),), block_score=1.0)
    assert edge.worker.context.config.block_score == 7.0
    assert (await bodies(edge, 1)) == ["hello"]


async def test_unix_socket_is_a_target(start_edge: StartEdge, tmp_path: Path):
    """An application on the same machine needs no port."""
    origin = Origin()
    await origin.start(path=str(tmp_path / "app.sock"))
    edge = await start_edge(
        upstreams=(UpstreamConfig("default", (TargetConfig(path=str(tmp_path / "app.sock")),)),)
    )
    assert await bodies(edge, 3) == ["hello"] * 3
    assert len(origin.connections) == 1
    client = await edge.connect()
    assert (await client.fetch(post(b"y" * 300_000))).body == b"hello"
    assert origin.requests[-1].body == b"y" * 300_000
    assert origin.requests[0].head.get("host") == "example.com"
    await origin.close()


def has_asked(busy: Origin, edge: Edge, count: int) -> bool:
    """Each of so many requests hangs at the busy one or has been answered."""
    return len(busy.requests) + edge.counter("requests") == count


@pytest.mark.parametrize("balance", ["least_connections", "power_of_two"])
async def test_target_that_is_busy_gets_less(start_edge: StartEdge, balance: str):
    """One of two hangs with the first request that it gets; the other serves all the rest."""
    gate = asyncio.Event()
    async with running_origins(2) as origins:
        origins[0].behave = held(gate)
        edge = await start_edge(upstreams=(upstream(*origins, balance=balance),))
        clients = [await edge.connect() for _ in range(40)]
        for count, client in enumerate(clients, start=1):
            await client.send(get())
            await until(partial(has_asked, origins[0], edge, count))
        assert len(origins[0].requests) == 1
        gate.set()
        await until(lambda: edge.counter("requests") == 40)
        (cluster,) = edge.worker.context.upstreams
        assert [target.in_flight for target in cluster.targets] == [0, 0]


async def test_a_client_stays_with_its_target(start_edge: StartEdge):
    """By address, over connections; and the clients are spread."""
    async with running_origins(4) as origins:
        edge = await start_edge(upstreams=(upstream(*origins, balance="client_hash"),))
        homes: dict[str, str] = {}
        for _ in range(2):
            for number in range(1, 25):
                source = f"127.0.1.{number}"
                (home,) = set(await bodies(edge, 2, source=source))
                assert homes.setdefault(source, home) == home
        assert set(homes.values()) == {"0", "1", "2", "3"}


async def test_each_target_is_asked_by_its_own_name_when_told_so(start_edge: StartEdge):
    """What the client said stands in X-Forwarded-Host; the rest of the head is as for any other target."""
    async with running_origins(2) as origins:
        edge = await start_edge(upstreams=(upstream(*origins, host_header="target"),))
        client = await edge.connect()
        for _ in range(4):
            assert (await client.fetch(get("/", "X-One: 1"))).status == 200
        assert (await client.fetch(post(b"z" * 40_000))).status == 200
        assert (await client.fetch(post(b"z" * 40_000))).status == 200
        for origin in origins:
            assert [message.head.all("host") for message in origin.requests] == [
                [f"127.0.0.1:{origin.port}"]
            ] * 3
            assert [message.head.get("x-forwarded-host") for message in origin.requests] == [
                "example.com"
            ] * 3
            assert origin.requests[0].head.start_line == "GET / HTTP/1.1"
            assert origin.requests[0].head.get("x-one") == "1"
            assert origin.requests[-1].body == b"z" * 40_000


async def test_fixed_host_is_the_upstreams_own(start_edge: StartEdge, origin: Origin):
    """Of [upstream] it must not reach the targets of another."""
    async with running_origins(1) as origins:
        edge = await start_edge(
            upstream_host_header="default.example",
            routes=(
                RouteConfig(name="a", path_prefix="/a", upstream="a"),
                RouteConfig(name="b", path_prefix="/b", upstream="b"),
                RouteConfig(name="rest"),
            ),
            upstreams=(upstream(*origins, name="a"), upstream(*origins, name="b", host_header="b.example")),
        )
        client = await edge.connect()
        for path in ("/a", "/b", "/"):
            assert (await client.fetch(get(path))).status == 200
        assert [message.head.get("host") for message in origins[0].requests] == ["example.com", "b.example"]
        assert [message.head.get("host") for message in origin.requests] == ["default.example"]


async def test_removed_target_finishes_what_it_has_and_gets_nothing_new(start_edge: StartEdge):
    """A reload drops no request; an idle connection to what is gone is closed."""
    gate = asyncio.Event()
    async with running_origins(2) as origins:
        edge = await start_edge(upstreams=(upstream(*origins),))
        assert sorted(await bodies(edge, 2)) == ["0", "1"]
        origins[0].behave = held(gate)
        clients = [await edge.connect() for _ in range(4)]
        gate.clear()
        for client in clients:
            await client.send(get())
        await until(lambda: edge.counter("requests") >= 4)
        edge.configure(upstreams=(upstream(origins[1]),))
        assert await bodies(edge, 4) == ["1"] * 4
        gate.set()
        assert {(await client.read_response()).status for client in clients} == {200}
        await until(lambda: all(connection.is_closed for connection in origins[0].connections))
        assert len(origins[1].connections) >= 1
        assert edge.counter("responses_5xx") == 0


async def test_target_that_stays_keeps_its_connections(start_edge: StartEdge):
    """Reloading each second must not cost a handshake each second."""
    async with running_origins(3) as origins:
        edge = await start_edge(upstreams=(upstream(*origins[:2]),))
        await bodies(edge, 4)
        edge.configure(upstreams=(upstream(*origins, weights=(5, 1, 1)),))
        await bodies(edge, 14)
        assert [len(origin.connections) for origin in origins] == [1, 1, 1]


async def test_every_address_of_a_name_is_a_target_and_is_looked_up_again(start_edge: StartEdge):
    """A headless service: pods come and go, and no connection has to fail for it."""
    async with running_origins(1) as origins:
        port = origins[0].port
        addresses = ["127.0.0.1"]

        async def look_up(host: str, at: int) -> list[Address]:
            assert (host, at) == ("pods.example", port)
            return [Address(socket.AF_INET, (address, port)) for address in addresses]

        other = Origin()
        await other.start("127.0.0.2", port)
        other.behave = answer_with(b"other")
        edge = await start_edge()
        edge.worker.context.resolver.look_up = look_up
        named = UpstreamConfig("default", (TargetConfig("pods.example", port),), resolve_seconds=0.01)
        edge.configure(upstreams=(named,))
        assert await bodies(edge, 2) == ["0", "0"]
        addresses.append("127.0.0.2")
        (cluster,) = edge.worker.context.upstreams
        await until(lambda: len(cluster.targets) == 2)
        assert sorted(await bodies(edge, 4)) == ["0", "0", "other", "other"]
        addresses.pop(0)
        await until(lambda: len(cluster.targets) == 1)
        assert await bodies(edge, 2) == ["other", "other"]
        await until(lambda: origins[0].connections[0].is_closed)
        await other.close()


async def test_last_good_addresses_serve_on_while_the_resolver_fails(start_edge: StartEdge):
    """A resolver that is down for a minute must not take the gateway with it."""
    async with running_origins(1) as origins:
        port = origins[0].port
        asked = 0

        async def look_up(host: str, at: int) -> list[Address]:
            nonlocal asked
            asked += 1
            if asked > 1:
                raise OSError("resolver is down")
            return [Address(socket.AF_INET, ("127.0.0.1", at))]

        edge = await start_edge()
        edge.worker.context.resolver.look_up = look_up
        edge.configure(
            upstreams=(UpstreamConfig("default", (TargetConfig("a.example", port),), resolve_seconds=0.01),)
        )
        await bodies(edge, 1)
        await until(lambda: asked >= 3)
        assert await bodies(edge, 2) == ["0", "0"]


async def test_lookup_that_never_ends_is_504_and_the_next_one_may_succeed(start_edge: StartEdge):
    """A resolver that drops packets must not hold a client; connect_seconds has the lookup in it."""
    async with running_origins(1) as origins:
        port, answers = origins[0].port, asyncio.Event()

        async def look_up(_host: str, at: int) -> list[Address]:
            await answers.wait()
            return [Address(socket.AF_INET, ("127.0.0.1", at))]

        edge = await start_edge()
        edge.worker.context.resolver.look_up = look_up
        named = UpstreamConfig("default", (TargetConfig("slow.example", port),), connect_seconds=0.2)
        edge.configure(upstreams=(named,))
        client = await edge.connect()
        assert (await client.fetch(get())).status == 504
        answers.set()
        assert (await client.fetch(get())).body == b"0"


async def test_lookup_is_given_up_when_the_next_one_is_due(start_edge: StartEdge):
    """Otherwise one lost answer would be the last question."""
    asked = 0

    async def look_up(_host: str, _port: int) -> list[Address]:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    edge = await start_edge()
    edge.worker.context.resolver.look_up = look_up
    edge.configure(
        upstreams=(UpstreamConfig("default", (TargetConfig("lost.example", 80),), resolve_seconds=0.1),)
    )
    await until(lambda: asked >= 3)


async def test_each_upstream_has_its_own_limits_in_time(start_edge: StartEdge):
    """One that streams for hours beside one that must answer at once."""

    async def silent(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.see_end()

    async def stalling(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(b"x" * 100)[:-50])
        await connection.see_end()

    async with running_origins(2) as origins:
        edge = await start_edge(
            routes=(
                RouteConfig(name="quick", path_prefix="/quick", upstream="quick"),
                RouteConfig(name="steady", path_prefix="/steady", upstream="steady"),
            ),
            upstreams=(
                upstream(origins[0], name="quick", head_seconds=0.1, idle_seconds=0.1),
                upstream(origins[1], name="steady", read_idle_seconds=0.1),
            ),
        )
        origins[1].behave = stalling
        client = await edge.connect()
        assert (await client.fetch(get("/quick"))).status == 200
        await until(lambda: origins[0].connections[0].is_closed)
        origins[0].behave = silent
        assert (await client.fetch(get("/quick"))).status == 504
        await client.send(get("/steady"))
        assert await client.see_end() == "reset"
        assert edge.counter("upstream_timeouts") == 2


async def test_worker_ends_without_waiting_for_a_lookup(start_edge: StartEdge):
    """A resolver that is down must not hold up a stop; the fixture ends the worker and awaits its tasks."""
    asked = asyncio.Event()

    async def look_up(_host: str, _port: int) -> list[Address]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    edge = await start_edge()
    edge.worker.context.resolver.look_up = look_up
    edge.configure(
        upstreams=(UpstreamConfig("default", (TargetConfig("lost.example", 80),), resolve_seconds=3600.0),)
    )
    await asked.wait()
