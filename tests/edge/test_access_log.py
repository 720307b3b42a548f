"""One line for each exchange that ends, with the reason: every row of "Ends" in proxy/edge/DESIGN.md."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fastmatch._native import ENDS, Entry
from proxy.edge.config_routes import RouteConfig
from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import Client, chunked, get, post
from tests.support.origin import Behaviour, Origin, OriginConnection, answer

HANDSHAKE = get(
    "/ws",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

StartLogged = Callable[..., Awaitable[Edge]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def start_logged(start_edge: StartEdge, path: Path) -> StartLogged:
    """An edge that writes its access log to `path`."""

    async def start(*entries: Entry, **settings: Any) -> Edge:
        return await start_edge(*entries, **({"access_log_path": str(path)} | settings))

    return start


async def lines(path: Path, count: int = 1) -> list[dict[str, Any]]:
    """The first so many lines, once they are there."""
    await until(lambda: len(written(path)) >= count)
    return [json.loads(line) for line in written(path)]


def written(path: Path) -> list[bytes]:
    """Whole lines only."""
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1].splitlines()


def move(path: Path, suffix: str) -> Path:
    return path.rename(path.with_suffix(suffix))


async def ask(edge: Edge, request: bytes) -> Client:
    client = await edge.connect()
    await client.send(request)
    return client


async def test_line_says_who_asked_what_and_how_long_it_took(
    start_logged: StartLogged, origin: Origin, path: Path
):
    """All that an operator needs to follow one request: on both sides, byte for byte."""
    edge = await start_logged(
        Entry("127.0.0.9", score=3, sources=["feed"], categories=["scanner"]),
        trusted_proxies=("127.0.0.1/32",),
    )
    body = b"x" * 1000
    request = post(body, "/a/b?secret=1", "X-Forwarded-For: 127.0.0.9", "X-Request-Id: from-outside")
    client = await ask(edge, request)
    response = await client.read_response()
    assert response.body == b"hello"
    (line,) = await lines(path)
    times = {name: line.pop(name) for name in tuple(line) if name.endswith("seconds")}
    assert set(times) == {"seconds", "connect_seconds", "first_byte_seconds"}
    assert 0 <= times["connect_seconds"] + times["first_byte_seconds"] <= times["seconds"] < 5
    assert line.pop("time") > 1_700_000_000
    assert line.pop("sent_bytes") == len(response.head.raw) + 5
    assert line.pop("upstream_received_bytes") == len(answer())
    assert line.pop("upstream_sent_bytes") == len(origin.requests[0].head.raw) + len(body)
    assert line == {
        "event": "exchange_ended",
        "request_id": "from-outside",
        "client": "127.0.0.9",
        "peer": "127.0.0.1",
        "method": "POST",
        "host": "example.com",
        "path": "/a/b",
        "score": 3,
        "subject": "client",
        "sources": ["feed"],
        "categories": ["scanner"],
        "action": "forwarded",
        "status": 200,
        "end": "complete",
        "received_bytes": len(request),
        "scheme": "http",
        "route": "default",
        "upstream": f"127.0.0.1:{origin.port}",
        "attempts": 1,
        "slot": 0,
    }


async def test_bodies_of_any_size_are_counted_to_the_byte(
    start_logged: StartLogged, origin: Origin, path: Path
):
    """In pieces, passed through and re-framed."""
    edge = await start_logged()
    client = await edge.connect()
    head = get("/up", "Transfer-Encoding: chunked", method="POST")
    await client.send(head[:30])
    await until(lambda: len(edge.worker.context.connections) == 1)
    await asyncio.sleep(0.01)
    upload = chunked(b"a" * 70000, b"b" * 70000)
    await client.send(head[30:])
    await client.send(upload)
    large = b"z" * 3_000_000

    async def behave(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(large))
        await connection.see_end()

    origin.behave = behave
    response = await client.read_response()
    assert response.body == large
    (line,) = await lines(path)
    assert line["received_bytes"] == len(head) + len(upload)
    assert line["sent_bytes"] == len(response.head.raw) + len(large)
    assert line["upstream_received_bytes"] == len(answer(large))
    assert line["upstream_sent_bytes"] >= 140000


def sending(data: bytes) -> Behaviour:
    """Takes a request, sends this, and closes."""

    async def behave(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(data)

    return behave


async def silent(connection: OriginConnection) -> None:
    await connection.read_request()
    await connection.see_end()


async def resetting(connection: OriginConnection) -> None:
    await connection.read_request()
    connection.reset()


async def stalling(connection: OriginConnection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await connection.see_end()


async def lying(connection: OriginConnection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    await asyncio.sleep(0.05)  # a packet of its own
    await connection.send(b"zz\r\n")
    await connection.see_end()


@pytest.mark.parametrize(
    ("behave", "status", "end"),
    [
        (resetting, 502, "upstream_reset"),
        (sending(b""), 502, "upstream_closed"),
        (sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), 200, "upstream_closed"),
        (sending(b"rubbish\r\n\r\n"), 502, "upstream_malformed"),
        (sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 502, "upstream_malformed"),
        (lying, 200, "upstream_malformed"),
        (silent, 504, "upstream_head_timeout"),
        (stalling, 200, "upstream_read_timeout"),
    ],
)
async def test_failures_of_the_upstream_have_a_word_each(
    start_logged: StartLogged, origin: Origin, path: Path, behave: Behaviour, status: int, end: str
):
    """The status is what the client has seen, also of an answer that was cut."""
    origin.behave = behave
    edge = await start_logged(upstream_head_seconds=0.2, upstream_read_idle_seconds=0.2)
    client = await ask(edge, get())
    assert await client.see_end() in ("fin", "reset") if status == 200 else (await client.read_response())
    (line,) = await lines(path)
    assert (line["status"], line["end"]) == (status, end)


async def test_upstream_that_cannot_be_reached_is_refused(
    start_logged: StartLogged, origin: Origin, path: Path
):
    """Nobody was asked, so nothing is said of an upstream."""
    await origin.stop_listening()
    edge = await start_logged()
    await (await ask(edge, get())).read_response()
    (line,) = await lines(path)
    assert (line["status"], line["end"]) == (502, "upstream_refused")
    assert "attempts" not in line
    assert line["connect_seconds"] >= 0


async def test_connect_that_never_ends_is_a_connect_timeout(start_logged: StartLogged, path: Path):
    """The time it took stands in the line; a loop's clock may be some milliseconds behind ours."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(2)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        edge = await start_logged(upstream_port=full.getsockname()[1], upstream_connect_seconds=0.2)
        await (await ask(edge, get())).read_response()
        for filler in fillers:
            filler.close()
    (line,) = await lines(path)
    assert (line["status"], line["end"]) == (504, "upstream_connect_timeout")
    assert line["connect_seconds"] >= 0.15


async def test_upstream_that_stops_reading_is_a_write_timeout(
    start_logged: StartLogged, origin: Origin, path: Path
):
    """Not a slow answer: it has not been asked yet."""

    async def stuck(connection: OriginConnection) -> None:
        await connection.read_head()
        await asyncio.Event().wait()

    origin.behave = stuck
    edge = await start_logged(upstream_write_idle_seconds=0.3, write_buffer_bytes=65536)
    client = await edge.connect()
    await client.send(get("/", "Content-Length: 100000000", method="POST"))

    async def flood() -> None:
        while True:
            await client.send(b"x" * 65536)

    flooding = asyncio.create_task(flood())
    (line,) = await lines(path)
    flooding.cancel()
    assert (line["status"], line["end"]) == (504, "upstream_write_timeout")


async def test_retry_shows_as_a_second_attempt(start_logged: StartLogged, origin: Origin, path: Path):
    """A kept connection that had ended is no failure, and should be seen."""

    async def once(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer())
        await connection.read_request()

    origin.behave = once
    edge = await start_logged()
    client = await edge.connect()
    await client.fetch(get())
    origin.behave = sending(answer())
    assert (await client.fetch(get())).status == 200
    first, second = await lines(path, 2)
    assert (first["attempts"], second["attempts"], second["end"]) == (1, 2, "complete")


async def test_timeouts_of_a_client_have_a_word_each(start_logged: StartLogged, origin: Origin, path: Path):
    """408 does not say what was late."""
    origin.behave = silent
    edge = await start_logged(head_seconds=0.2, body_idle_seconds=0.2)
    await (await ask(edge, b"GET / HTTP/1.1\r\nHos")).read_response()
    await (await ask(edge, get("/", "Content-Length: 10", method="POST") + b"half")).read_response()
    head, body = await lines(path, 2)
    assert (head["status"], head["end"]) == (408, "head_timeout")
    assert "path" not in head
    assert (body["status"], body["end"]) == (408, "body_timeout")


async def test_client_that_does_not_read_is_a_send_timeout(
    start_logged: StartLogged, origin: Origin, path: Path
):
    """The upstream is not to blame."""

    async def flood(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await connection.send(b"x" * 65536)

    async def behave(connection: OriginConnection) -> None:
        try:
            await flood(connection)
        except ConnectionError:
            return

    origin.behave = behave
    edge = await start_logged(send_idle_seconds=0.3)
    client = await edge.connect(receive_buffer_bytes=4096)
    await client.send(get())
    (line,) = await lines(path)
    assert (line["status"], line["end"]) == (200, "send_timeout")


async def test_client_closed_for_the_budget_of_buffers_says_so(
    start_logged: StartLogged, origin: Origin, path: Path
):
    """It was cut for the sake of the others."""

    async def large(connection: OriginConnection) -> None:
        await connection.read_request()
        try:
            await connection.send(answer(b"x" * 20_000_000))
        except ConnectionError:
            return

    origin.behave = large
    edge = await start_logged(buffer_bytes=70000, write_buffer_bytes=65536)
    client = await edge.connect(receive_buffer_bytes=4096)
    await client.send(get())
    (line,) = await lines(path)
    assert (line["status"], line["end"]) == (200, "buffer_budget")


@pytest.mark.parametrize("has_begun", [False, True])
async def test_client_that_leaves_is_named_as_the_one_who_left(
    start_logged: StartLogged, origin: Origin, path: Path, has_begun: bool
):
    """499 when it has seen nothing."""
    origin.behave = stalling if has_begun else silent
    edge = await start_logged()
    client = await ask(edge, get())
    if has_begun:
        await client.read_head()
    await until(lambda: len(origin.requests) == 1)
    client.close()
    (line,) = await lines(path)
    assert (line["status"], line["end"]) == (200 if has_begun else 499, "client_closed")


async def test_denials_and_refusals_are_written(start_logged: StartLogged, origin: Origin, path: Path):
    """They are what an edge is asked about."""
    edge = await start_logged(Entry("127.0.0.66", score=9, sources=["feed"]))
    denied = await edge.connect(source="127.0.0.66")
    await denied.fetch(get("/wanted"))
    await (await ask(edge, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")).read_response()
    upload = get("/", "Transfer-Encoding: chunked", method="POST")
    await (await ask(edge, upload + b"not a size\r\n")).read_response()
    await (await ask(edge, get("*", "Max-Forwards: 0", method="OPTIONS"))).read_response()
    found = await lines(path, 4)
    assert [(line["status"], line["end"], line["action"]) for line in found] == [
        (403, "denied", "denied"),
        (400, "refused", "refused"),
        (400, "refused", "refused"),
        (204, "answered", "answered"),
    ]
    assert (found[0]["path"], found[0]["score"], found[0]["sources"]) == ("/wanted", 9, ["feed"])
    assert all("upstream" not in line for line in found)


async def test_observed_request_is_forwarded_and_says_so(
    start_logged: StartLogged, origin: Origin, path: Path
):
    """What would have happened is why one observes."""
    edge = await start_logged(Entry("127.0.0.1", score=9), observe=True)
    await (await ask(edge, get())).read_response()
    (line,) = await lines(path)
    assert (line["status"], line["end"], line["action"]) == (200, "complete", "observed")


async def test_block_drain_and_tunnel_have_a_word_each(start_logged: StartLogged, origin: Origin, path: Path):
    """The ends that an operator causes himself."""
    edge = await start_logged()
    origin.behave = silent
    blocked = await edge.connect(source="127.0.0.7")
    await blocked.send(get())
    await until(lambda: len(origin.requests) == 1)
    await edge.block(Entry("127.0.0.7", score=9))
    await blocked.read_response()
    origin.behave = sending(SWITCH)
    await (await ask(edge, HANDSHAKE)).read_head()
    await lines(path, 2)
    origin.behave = silent
    await ask(edge, get())
    await until(lambda: len(origin.requests) == 3)
    await edge.worker.drain()
    found = await lines(path, 3)
    assert [(line["status"], line["end"]) for line in found] == [
        (403, "blocked"),
        (101, "tunnel"),
        (499, "drain_deadline"),
    ]


async def test_request_without_a_route_a_list_or_an_end_has_a_word(
    start_logged: StartLogged, origin: Origin, path: Path
):
    """404, 503 and 508 of ours are not the upstream's."""
    edge = await start_logged(routes=(RouteConfig(name="api", path_prefix="/api"),))
    await (await ask(edge, get("/other"))).read_response()
    await (await ask(edge, get("/api", "Via: 1.1 sentra"))).read_response()
    edge.worker.context.gate.install(None)
    await (await ask(edge, get("/api"))).read_response()
    found = await lines(path, 3)
    assert [(line["status"], line["end"]) for line in found] == [
        (404, "unrouted"),
        (508, "loop"),
        (503, "no_list"),
    ]


def test_every_word_is_explained():
    """A word that nobody can look up is a riddle."""
    text = (Path(__file__).resolve().parents[2] / "proxy/edge/DESIGN.md").read_text()
    assert [word for word in ENDS if f"`{word}`" not in text] == []


async def test_what_a_client_writes_stays_within_its_string(
    start_logged: StartLogged, origin: Origin, path: Path
):
    """Lines are read by programs and by people; none of them may be led astray."""
    edge = await start_logged()
    long = "/" + "p" * 5000
    await (await ask(edge, get('/"}{"end":"complete","x":"'))).read_response()
    await (await ask(edge, get(long))).read_response()
    quoted, cut = await lines(path, 2)
    assert quoted["path"] == '/"}{"end":"complete","x":"'
    assert cut["path"] == long[:1024]
    assert cut["status"] == 200


async def test_query_is_written_only_when_asked_for(start_logged: StartLogged, path: Path):
    """Tokens live there."""
    edge = await start_logged(access_log_query=True)
    await (await ask(edge, get("/a?b=c"))).read_response()
    edge.configure(access_log_query=False)
    await (await ask(edge, get("/a?b=c"))).read_response()
    first, second = await lines(path, 2)
    assert (first["path"], second["path"]) == ("/a?b=c", "/a")


async def test_share_is_of_ordinary_ends_only(start_logged: StartLogged, path: Path):
    """A sample must not hide a denial."""
    edge = await start_logged(Entry("127.0.0.66", score=9), access_log_share=0.1)
    client = await edge.connect()
    for _ in range(100):
        await client.fetch(get())
    denied = await edge.connect(source="127.0.0.66")
    await denied.fetch(get())
    found = await lines(path, 11)
    assert [line["end"] for line in found] == ["complete"] * 10 + ["denied"]


async def test_off_writes_nothing_and_can_be_switched_on(start_edge: StartEdge, origin: Origin, path: Path):
    """By a reload, without a restart."""
    edge = await start_edge()
    client = await edge.connect()
    await client.fetch(get())
    assert edge.worker.context.gate.drain_access_log() == b""
    edge.configure(access_log_path=str(path))
    await client.fetch(get("/second"))
    (line,) = await lines(path)
    assert line["path"] == "/second"
    edge.configure(access_log_path="")
    await client.fetch(get())
    assert edge.worker.context.gate.drain_access_log() == b""


async def test_file_that_was_moved_away_is_opened_anew(start_logged: StartLogged, path: Path):
    """logrotate, with or without a signal behind it; no line is lost on the way."""
    edge = await start_logged()
    client = await edge.connect()
    await client.fetch(get("/first"))
    await lines(path)
    moved = move(path, ".1")
    edge.configure()
    await client.fetch(get("/second"))
    (second,) = await lines(path)
    assert second["path"] == "/second"
    move(path, ".2")
    await client.fetch(get("/third"))
    await until(lambda: total(path) == 3)
    assert len(await lines(moved)) == 1


def total(path: Path) -> int:
    return sum(part.read_bytes().count(b"\n") for part in path.parent.glob("access.*"))


async def test_log_that_takes_nothing_costs_lines_and_no_request(
    start_logged: StartLogged, path: Path, capfd: pytest.CaptureFixture[str]
):
    """A full disk or a missing folder: counted, said once, and good again by itself."""
    folder = path.parent / "not-there"
    edge = await start_logged(access_log_path=str(folder / "access.log"))
    client = await edge.connect()
    for _ in range(3):
        assert (await client.fetch(get())).status == 200
        await until(lambda: edge.worker.context.gate.drain_access_log() == b"")
    await client.fetch(get())
    await until(lambda: edge.counter("access_log_dropped") >= 1)
    folder.mkdir()
    edge.configure()
    await client.fetch(get("/again"))
    await until(lambda: any(b"/again" in line for line in written(folder / "access.log")))
    said = capfd.readouterr().err
    assert said.count("access_log_failed") == 1
    assert said.count("access_log_resumed") == 1


async def test_lines_beyond_the_buffer_are_counted(start_logged: StartLogged, path: Path):
    """What waits is bounded, whatever the disk does."""
    edge = await start_logged(access_log_buffer_bytes=0)
    client = await edge.connect()
    assert (await client.fetch(get())).status == 200
    assert edge.counter("access_log_dropped") == 1


async def test_last_lines_are_written_before_the_worker_ends(start_logged: StartLogged, path: Path):
    """The ones that say how it ended."""
    edge = await start_logged()
    client = await edge.connect()
    await client.fetch(get())
    await edge.worker.drain()
    assert len(written(path)) == 1
