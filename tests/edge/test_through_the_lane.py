"""Client -> edge -> lane -> origin: two proxies in a row change no more than one does."""

from collections.abc import AsyncIterator

import pytest

from proxy.lane.config import LaneConfig
from tests.edge.conftest import Edge, StartEdge
from tests.lane.peers import lane_running
from tests.support.client import get, post
from tests.support.corpus import ACCEPTED, REFUSED, Accepted, Refused, assert_same_meaning
from tests.support.origin import Origin


@pytest.fixture
async def edge(start_edge: StartEdge, origin: Origin) -> AsyncIterator[Edge]:
    """An edge whose upstream is a lane before the origin. The lane believes the edge, and has a name of its
    own."""
    config = LaneConfig(upstream_port=origin.port, via="sentra-lane", trusted_proxies=("127.0.0.1/32",))
    async with lane_running(config) as port:
        yield await start_edge(upstream_port=port)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in ACCEPTED])
async def test_request_reaches_the_origin_as_it_was_meant(edge: Edge, origin: Origin, case: Accepted):
    """The corpus of the edge, with the same expectations."""
    client = await edge.connect()
    await client.send(case.sent)
    assert (await client.read_response()).status == 200
    (seen,) = origin.requests
    assert_same_meaning(case, seen)
    assert seen.head.all("x-real-ip") == ["127.0.0.1"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in REFUSED])
async def test_what_the_edge_refuses_reaches_no_lane(edge: Edge, origin: Origin, case: Refused):
    """The strict door stands before every route."""
    client = await edge.connect()
    await client.send(case.sent + get("/smuggled"))
    assert (await client.read_response()).status in case.statuses
    assert await client.read_to_end() == b""
    assert origin.connections == []
    assert edge.counter("upstream_connections") == 0


async def test_kept_connections_carry_one_request_after_the_other(edge: Edge, origin: Origin):
    """No answer is shifted to another request on any of the three connections."""

    async def echo(connection) -> None:
        while True:
            request = await connection.read_request()
            path = request.head.start_line.split(" ")[1].encode()
            body = path + request.body
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    origin.behave = echo
    client = await edge.connect()
    for number in range(20):
        body = b"x" * (number * 1000)
        response = await client.fetch(post(body, f"/{number}"))
        assert response.body == b"/%d" % number + body
    assert len(origin.connections) == 1
