"""The edge's corpus of broken requests, byte for byte, through the aiohttp engine and through a bare lane."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastmatch._native import Blocklist, Segment
from proxy.edge.config import EdgeConfig
from proxy.edge.listener import Endpoint
from proxy.lane.config import LaneConfig
from proxy.lane.worker import LaneWorker
from tests.lane.peers import lane_running
from tests.support.client import Client, get
from tests.support.corpus import ACCEPTED, REFUSED, Accepted, assert_same_meaning, request
from tests.support.origin import Origin

CASES = [pytest.param(case.sent, case.statuses, id=case.name) for case in REFUSED]
# The shape of a host name and the sizes are rules of the codec alone.
FRAMING = [case for case in CASES if not str(case.id).startswith(("R9 host", "R9 empty", "R15"))]
# aiohttp's parser takes a length among the trailers for one of the head's; the codec drops it.
STRICTER = {"R17 chunks with extensions and trailers"}
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n"


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    await origin.start()
    yield origin
    await origin.close()


@contextlib.asynccontextmanager
async def client_to(port: int) -> AsyncIterator[Client]:
    client = await Client.connect(port)
    try:
        yield client
    finally:
        client.close()


@contextlib.asynccontextmanager
async def engine_running(origin: Origin, directory: Path) -> AsyncIterator[tuple[int, Segment]]:
    """The worker that `engine = "aiohttp"` starts, in this process: (port, counters)."""
    segment = Segment.create(1)
    config = EdgeConfig(upstream_port=origin.port, drain_seconds=1.0, linger_seconds=0.5)
    worker = LaneWorker(segment, 0, directory, config)
    worker.gate.install(Blocklist.from_entries((), epoch=1, sequence=1))
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        async with asyncio.TaskGroup() as group:
            await worker.start(group, [Endpoint("", endpoint)])
            try:
                yield endpoint.getsockname()[1], segment
            finally:
                await worker.drain()


@pytest.mark.parametrize(("sent", "statuses"), CASES)
async def test_the_engine_answers_as_the_edge_does(
    origin: Origin, tmp_path: Path, sent: bytes, statuses: frozenset[int]
):
    """R18: the same status, a closed connection, nothing behind it looked at, nothing at the upstream."""
    async with engine_running(origin, tmp_path) as (port, segment), client_to(port) as client:
        await client.send(sent + SMUGGLED)
        response = await client.read_response()
        assert response.status in statuses
        assert response.head.get("connection") == "close"
        assert b"example.com" not in response.body
        assert await client.read_to_end() == b""
        assert origin.connections == []
        assert segment.counters()["requests"] == 1


@pytest.mark.parametrize(("sent", "statuses"), CASES[:: len(CASES) // 12])
async def test_the_engine_holds_a_rule_when_bytes_come_one_at_a_time(
    origin: Origin, tmp_path: Path, sent: bytes, statuses: frozenset[int]
):
    """R15: a limit that is only looked at once per read is none (CVE-2026-54277)."""
    async with engine_running(origin, tmp_path) as (port, _), client_to(port) as client:
        with contextlib.suppress(ConnectionError):  # refused before the last byte
            await client.send_slowly(sent, 1 if len(sent) < 500 else 700)
        assert (await client.read_response()).status in statuses
        assert origin.requests == []


@pytest.mark.parametrize(("sent", "statuses"), FRAMING)
async def test_a_lane_lets_none_through_by_itself(origin: Origin, sent: bytes, statuses: frozenset[int]):
    """Behind the edge none should come; aiohttp's parser names some faults less exactly than the codec."""
    async with lane_running(LaneConfig(upstream_port=origin.port)) as port, client_to(port) as client:
        await client.send(sent + SMUGGLED)
        response = await client.read_response()
        assert 400 <= response.status < 506
        assert response.head.get("connection") == "close"
        assert await client.read_to_end() == b""
        assert origin.connections == []


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in ACCEPTED if case.name not in STRICTER]
)
async def test_the_engine_lets_through_what_was_meant(origin: Origin, tmp_path: Path, case: Accepted):
    """The edge's corpus of requests that must arrive, with the same expectations."""
    async with engine_running(origin, tmp_path) as (port, _), client_to(port) as client:
        await client.send(case.sent)
        assert (await client.read_response()).status == 200
        (seen,) = origin.requests
        assert_same_meaning(case, seen)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in ACCEPTED if case.name in STRICTER]
)
async def test_where_the_engine_is_stricter_nothing_passes(origin: Origin, tmp_path: Path, case: Accepted):
    """A documented difference, not a half-way."""
    async with engine_running(origin, tmp_path) as (port, _), client_to(port) as client:
        await client.send(case.sent)
        assert (await client.read_response()).status == 400
        assert origin.requests == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
async def test_a_body_of_any_method_is_not_the_next_request(origin: Origin, tmp_path: Path, method: bytes):
    """R19: left in the buffer it would be one."""
    async with engine_running(origin, tmp_path) as (port, _), client_to(port) as client:
        line = method + b" /a HTTP/1.1"
        await client.send(
            request(b"Content-Length: %d" % len(SMUGGLED), line=line, body=SMUGGLED) + get("/next")
        )
        for to_head in (method == b"HEAD", False):
            assert (await client.read_response(to_head=to_head)).status == 200
        seen = [(message.head.start_line.split(" ")[1], message.body) for message in origin.requests]
        assert seen == [("/a", SMUGGLED), ("/next", b"")]
