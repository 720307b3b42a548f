"""A lane's upstream with several targets, unix sockets among them."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from proxy.edge.config_upstreams import HOST_OF_TARGET, TargetConfig
from proxy.lane.config import LaneConfig
from tests.lane.peers import (
    UpstreamConnection,
    answer_always,
    client_to,
    get,
    lane_running,
    read_head,
    upstream_running,
)


async def closed_port() -> int:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


def at(port: int, weight: int = 1) -> TargetConfig:
    return TargetConfig(host="127.0.0.1", port=port, weight=weight)


async def test_targets_take_turns_by_weight():
    """Three to one, over any four requests."""
    async with upstream_running(answer_always) as heavy, upstream_running(answer_always) as light:
        config = LaneConfig(targets=(at(heavy.port, 3), at(light.port)))
        async with lane_running(config) as port, client_to(port) as client:
            for _ in range(8):
                assert (await client.ask(get("/")))[0].status == 200
        assert (len(heavy.heads), len(light.heads)) == (6, 2)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_target_that_cannot_be_reached_is_passed_over(method: str):
    """Nothing was sent to it, so any method may go to another one."""
    gone = await closed_port()
    async with upstream_running(answer_always) as upstream:
        config = LaneConfig(targets=(at(gone), at(upstream.port)))
        async with lane_running(config) as port, client_to(port) as client:
            statuses = Counter([(await client.ask(get("/", method=method)))[0].status for _ in range(6)])
        assert statuses == {200: 6}


async def test_no_target_that_can_be_reached_is_502():
    """Each is tried once."""
    config = LaneConfig(targets=(at(await closed_port()), at(await closed_port())))
    async with lane_running(config) as port, client_to(port) as client:
        assert (await client.ask(get("/")))[0].status == 502


async def test_a_target_may_be_a_unix_socket(tmp_path: Path):
    """And its connections are kept like any other."""
    path = tmp_path / "origin.sock"
    accepted = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        try:
            while True:
                await read_head(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    config = LaneConfig(targets=(TargetConfig(path=str(path)),))
    async with lane_running(config) as port, client_to(port) as client:
        for _ in range(3):
            assert (await client.ask(get("/")))[1] == b"ok"
    server.close()
    assert accepted == 1


async def test_each_target_may_be_asked_by_its_own_name():
    """`host_header = "target"`: virtual hosts behind one name in front."""

    async def script(connection: UpstreamConnection) -> None:
        while True:
            head = await connection.head()
            body = (head.get("host") or "").encode()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with upstream_running(script) as first, upstream_running(script) as second:
        config = LaneConfig(targets=(at(first.port), at(second.port)), upstream_host_header=HOST_OF_TARGET)
        async with lane_running(config) as port, client_to(port) as client:
            seen = {(await client.ask(get("/")))[1].decode() for _ in range(2)}
        assert seen == {f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"}
