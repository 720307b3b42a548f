"""What is sent a second time, where to, and what never is."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from proxy.edge.config_upstreams import EjectionConfig, TargetConfig, UpstreamConfig
from tests.edge.conftest import StartEdge
from tests.edge.origins import bodies, running_origins, upstream
from tests.support.client import get, post
from tests.support.origin import OriginConnection, answer

NEVER = EjectionConfig(consecutive_failures=0)


async def test_target_that_refuses_costs_no_request(start_edge: StartEdge):
    """Nothing was sent, so even a POST may go to another target."""
    async with running_origins(2) as origins:
        edge = await start_edge(upstreams=(upstream(*origins, retry_minimum_per_second=100.0),))
        await origins[0].stop_listening()
        assert await bodies(edge, 6) == ["1"] * 6
        assert await bodies(edge, 4, request=post(b"x" * 50_000)) == ["1"] * 4
        assert [message.body for message in origins[1].requests[6:]] == [b"x" * 50_000] * 4
        assert edge.counter("upstream_retries") >= 3
        assert edge.counter("upstream_retries") == edge.counter("upstream_connect_errors")
        assert edge.counter("responses_5xx") == 0


async def test_target_that_does_not_connect_in_time_costs_no_request(start_edge: StartEdge):
    """Each attempt has its own connect_seconds."""
    with full_listener() as port:
        async with running_origins(1) as origins:
            targets = (TargetConfig("127.0.0.1", port), TargetConfig("127.0.0.1", origins[0].port))
            edge = await start_edge(
                upstreams=(
                    UpstreamConfig("default", targets, connect_seconds=0.1, retry_minimum_per_second=9.0),
                )
            )
            assert await bodies(edge, 4) == ["0"] * 4


async def test_retry_on_another_target_asks_it_by_its_own_name(start_edge: StartEdge):
    """The head was made for the other one."""
    async with running_origins(2) as origins:
        edge = await start_edge(upstreams=(upstream(*origins, host_header="target"),))
        await origins[0].stop_listening()
        assert await bodies(edge, 2) == ["1"] * 2
        assert {message.head.get("host") for message in origins[1].requests} == {
            f"127.0.0.1:{origins[1].port}"
        }


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_idempotent_request_whose_answer_did_not_begin_goes_to_another_target(
    start_edge: StartEdge, method: str
):
    """RFC 9110 section 9.2.2: being carried out twice is as good as once."""
    async with running_origins(2) as origins:
        origins[0].behave = reset_after_request
        edge = await start_edge(upstreams=(upstream(*origins),))
        assert await bodies(edge, 4, request=get(method=method)) == ["1"] * 4
        assert len(origins[0].requests) == 2


async def test_post_that_was_sent_is_never_sent_again(start_edge: StartEdge):
    """It may have been carried out."""
    async with running_origins(2) as origins:
        origins[0].behave = origins[1].behave = reset_after_request
        edge = await start_edge(upstreams=(upstream(*origins),))
        client = await edge.connect()
        assert (await client.fetch(post(b"order"))).status == 502
        assert len(origins[0].requests) + len(origins[1].requests) == 1
        assert edge.counter("upstream_retries") == 0


async def test_request_is_not_sent_again_once_its_answer_has_begun(start_edge: StartEdge):
    """The client has a part of it: only a visible cut is left."""
    async with running_origins(2) as origins:
        for origin in origins:
            origin.behave = cut_answer
        edge = await start_edge(upstreams=(upstream(*origins),))
        client = await edge.connect()
        await client.send(get())
        assert await client.see_end() == "reset"
        assert len(origins[0].requests) + len(origins[1].requests) == 1


async def test_retries_stop_at_their_count(start_edge: StartEdge):
    """All targets are down: the client learns it after one more try, not after all."""
    async with running_origins(4) as origins:
        edge = await start_edge(upstreams=(upstream(*origins, retry_count=2),))
        for origin in origins:
            await origin.stop_listening()
        client = await edge.connect()
        assert (await client.fetch(get())).status == 502
        assert edge.counter("upstream_connect_errors") == 3


async def test_retries_stop_when_the_budget_is_spent(start_edge: StartEdge):
    """An upstream that is failing must not get every request twice."""
    async with running_origins(2) as origins:
        for origin in origins:
            await origin.stop_listening()
        edge = await start_edge(
            upstreams=(
                upstream(*origins, retry_budget_percent=10.0, retry_minimum_per_second=0.0, ejection=NEVER),
            )
        )
        client = await edge.connect()
        for _ in range(40):
            assert (await client.fetch(get())).status == 502
        assert edge.counter("upstream_retries") == 4


async def test_reused_connection_that_was_closed_is_retried_on_the_same_target(start_edge: StartEdge):
    """It was closed as idle, which says nothing of the target: a client that is tied to it stays with it."""
    async with running_origins(3) as origins:
        edge = await start_edge(
            upstreams=(upstream(*origins, balance="client_hash", retry_budget_percent=0.0),)
        )
        for index, origin in enumerate(origins):
            origin.behave = stale_once(str(index).encode())
        (home, *rest) = await bodies(edge, 5)
        assert rest == [home] * 4
        assert edge.counter("upstream_retries") == 1
        assert len(origins[int(home)].connections) == 2


async def test_target_that_dies_with_all_its_connections_costs_no_request(start_edge: StartEdge):
    """Killed: its idle connections end, then those that waited to be accepted; only another target helps."""
    async with running_origins(2) as origins:

        async def dying(connection: OriginConnection) -> None:
            if connection is origins[0].connections[0]:
                await connection.read_request()
                await connection.send(answer(b"0"))
            await reset_after_request(connection)

        origins[0].behave = dying
        edge = await start_edge(upstreams=(upstream(*origins),))
        assert sorted(await bodies(edge, 2)) == ["0", "1"]
        assert await bodies(edge, 2) == ["1", "1"]
        assert len(origins[0].requests) == 3
        assert edge.counter("upstream_retries") == 2


async def reset_after_request(connection: OriginConnection) -> None:
    await connection.read_request()
    connection.reset()


async def cut_answer(connection: OriginConnection) -> None:
    await connection.read_request()
    await connection.send(answer(b"x" * 100)[:-50])


def stale_once(body: bytes):
    """The first connection is closed when its second request comes."""
    count = 0

    async def behave(connection: OriginConnection) -> None:
        nonlocal count
        while True:
            await connection.read_request()
            count += 1
            if count == 2:
                return
            await connection.send(answer(body))

    return behave


@contextlib.contextmanager
def full_listener() -> Iterator[int]:
    """The port of a listener whose accept queue is full: the kernel ignores further SYNs."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()[1]
