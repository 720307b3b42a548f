"""One process of a lane: what middlewares see, what the origin gets, what they may do to it."""

import asyncio
import socket
from contextlib import closing
from pathlib import Path

import pytest

from fastmatch import Entry
from proxy.edge.config import EdgeConfig
from tests.edge.process import leave_attach_file
from tests.lane import lanes
from tests.lane.lanes import BOUND_SECONDS, FROM_EDGE, lane_process
from tests.lane.peers import UpstreamConnection, answer_always, get, read_body, upstream_running

SHOWS = """
@web.middleware
async def middleware(request, handler):
    response = await handler(request)
    response.headers["X-Seen"] = f"{request.remote} {request.scheme} {request.path_qs}"
    return response
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Unix socket paths are short; pytest's folders may not be."""
    assert len(str(tmp_path / "lane-app.sock")) < 100
    return tmp_path


async def test_what_the_edge_has_sent_goes_on_unchanged(folder: Path):
    """The edge has judged and named the client; one hop more of ours must not show, nor count as a loop."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_process(folder, upstream.port, SHOWS) as lane,
        lane.client() as client,
    ):
        fields = (*FROM_EDGE, "x-wEIRD: \xff\xc3\x28", "A: 1", "B: 2", "A: 3")
        head, body = await client.ask(get("/a%2Fb//..?x=%41&?", *fields))
        assert (head.status, body) == (200, b"GET /a%2Fb//..?x=%41&? HTTP/1.1")
        seen = upstream.heads[0]
        lines = [f"{name}: {value}" for name, value in seen.fields]
        assert lines == ["Host: a.test", *fields]
        assert head.get("x-seen") == "192.0.2.9 https /a%2Fb//..?x=%41&?"


async def test_a_middleware_may_give_another_answer_when_it_has_seen_the_origins(folder: Path):
    """What it does not pass on is ended: the origin must not go on sending to nobody."""
    closed = asyncio.Event()
    replaces = """
@web.middleware
async def middleware(request, handler):
    response = await handler(request)
    return response if response.status == 200 else web.Response(status=418, text="another")
"""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\nhalf")
        await connection.until_closed()
        closed.set()

    async with (
        upstream_running(script) as upstream,
        lane_process(folder, upstream.port, replaces) as lane,
        lane.client() as client,
    ):
        head, body = await client.ask(get("/"))
        assert (head.status, body) == (418, b"another")
        await asyncio.wait_for(closed.wait(), BOUND_SECONDS)


async def test_a_middleware_may_ask_twice(folder: Path):
    """A retry of its own: the first answer is dropped, the second one sent."""
    asks_twice = """
@web.middleware
async def middleware(request, handler):
    await handler(request)
    return await handler(request)
"""
    async with (
        upstream_running(answer_always) as upstream,
        lane_process(folder, upstream.port, asks_twice) as lane,
        lane.client() as client,
    ):
        for _ in range(2):
            assert (await client.ask(get("/")))[1] == b"GET / HTTP/1.1"
        assert len(upstream.heads) == 4


async def test_an_answer_cut_behind_its_head_is_not_taken_for_whole(folder: Path):
    """P4 on both hops: the edge must see that it is not complete."""

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")

    async with (
        upstream_running(script) as upstream,
        lane_process(folder, upstream.port, SHOWS) as lane,
        lane.client() as client,
    ):
        await client.send(get("/"))
        async with asyncio.timeout(BOUND_SECONDS):
            received = await client.reader.read()
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert not received.endswith(b"0\r\n\r\n")


async def test_fields_of_the_hop_and_what_connection_names_stay_here(folder: Path):
    """A middleware may add such a field; it must not reach the next hop."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_process(folder, upstream.port, SHOWS) as lane,
        lane.client() as client,
    ):
        await client.ask(
            get("/", "Connection: keep-alive, X-Named", "X-Named: 1", "TE: trailers", "Keep-Alive: 5")
        )
        assert [name for name, _ in upstream.heads[0].fields] == ["Host"]


async def test_a_stream_passes_a_lane_piece_by_piece(folder: Path):
    """The first event must not wait for the second, in either direction."""
    going_on = asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert await connection.reader.readexactly(10) == b"5\r\nhello\r\n"
        await going_on.wait()
        await connection.send(b"6\r\nsecond\r\n0\r\n\r\n")

    async with (
        upstream_running(script) as upstream,
        lane_process(folder, upstream.port, SHOWS) as lane,
        lane.client() as client,
    ):
        await client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        await client.send(b"5\r\nhello\r\n")
        async with asyncio.timeout(BOUND_SECONDS):
            await client.reader.readuntil(b"5\r\nfirst\r\n")
            going_on.set()
            await client.send(b"0\r\n\r\n")
            await client.reader.readuntil(b"6\r\nsecond\r\n0\r\n\r\n")


async def test_a_middleware_that_raises_is_a_500_with_the_edges_request_id(folder: Path):
    """Nothing of the exception reaches the client; its trace is in the log."""
    raises = """
@web.middleware
async def middleware(request, handler):
    raise RuntimeError("the secret of the middleware")
"""
    async with lane_process(folder, 1, raises) as lane:
        for _ in range(2):
            async with lane.client() as client:
                head, body = await client.ask(get("/", *FROM_EDGE))
                assert (head.status, head.get("x-request-id")) == (500, "0123456789abcdef")
                assert b"secret" not in body
        assert "the secret of the middleware" in lane.log()


async def test_requests_beyond_the_bound_are_503_at_once(folder: Path):
    """A middleware that never answers fills its lane and no more."""
    sleeps = """
@web.middleware
async def middleware(request, handler):
    if request.path == "/sleep":
        await asyncio.Event().wait()
    return await handler(request)
"""
    async with (
        upstream_running(answer_always) as upstream,
        lane_process(folder, upstream.port, sleeps, "concurrency_count = 2") as lane,
    ):
        async with lane.client() as first, lane.client() as second, lane.client() as third:
            await first.send(get("/sleep"))
            await second.send(get("/sleep"))
            # Both have been taken when a third is refused.
            async with asyncio.timeout(BOUND_SECONDS):
                while (head := (await third.ask(get("/")))[0]).status == 200:
                    pass
            assert (head.status, head.get("retry-after")) == (503, "1")
        # They have gone, and with them what they held.
        async with lane.client() as fourth, asyncio.timeout(BOUND_SECONDS):
            while (await fourth.ask(get("/")))[0].status != 200:
                pass


async def test_a_middleware_that_blocks_the_loop_ends_the_process_with_a_trace(folder: Path):
    """Nothing else would end it: it lives, listens, and answers nobody."""
    blocks = """
@web.middleware
async def middleware(request, handler):
    time.sleep(3600)
"""
    async with lane_process(folder, 1, blocks, "stall_seconds = 1") as lane, lane.client() as client:
        await client.send(get("/"))
        assert await asyncio.wait_for(lane.process.wait(), BOUND_SECONDS) == 1
        assert 'mine.py", line 10 in middleware' in lane.log()


async def test_sigterm_ends_what_is_under_way_and_tells_the_edge_to_leave(folder: Path):
    """An idle connection is left to the edge: closing it here could cross the next request."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(connection: UpstreamConnection) -> None:
        while True:
            head = await connection.head()
            if "/held" in head.start:
                arrived.set()
                await go.wait()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        upstream_running(script) as upstream,
        lane_process(folder, upstream.port, SHOWS) as lane,
        lane.client() as held,
        lane.client() as idle,
    ):
        await idle.ask(get("/"))
        await held.send(get("/held"))
        await asyncio.wait_for(arrived.wait(), BOUND_SECONDS)
        lane.process.terminate()
        # A kept connection still takes a request: it was on its way.
        async with asyncio.timeout(BOUND_SECONDS):
            while (head := (await idle.ask(get("/")))[0]).get("connection") is None:
                pass
        assert (head.status, head.get("connection")) == (200, "close")
        go.set()
        head, body = await held.answer()
        assert (head.get("connection"), body) == ("close", b"ok")
        assert await asyncio.wait_for(lane.process.wait(), BOUND_SECONDS) == 0


@pytest.mark.parametrize(
    ("name", "source", "told"),
    [
        ("absent:middleware", "", "there is no module 'absent'"),
        ("mine:absent", "", "mine has no 'absent'"),
        (
            "mine:middleware",
            "middleware = 5",
            "is no middleware: it must be `async def name(request, handler)`",
        ),
        (
            "mine:middleware",
            "def middleware(request, handler): ...",
            "is no middleware: it must be `async def",
        ),
        ("mine:middleware", "async def middleware(request): ...", "must take (request, handler)"),
        ("mine:middleware", "import absent_too", "ModuleNotFoundError: No module named 'absent_too'"),
        ("mine:middleware", "1 / 0", "ZeroDivisionError: division by zero"),
        ("mine:middleware", "def (", "invalid syntax"),
        ("mine:middleware", "raise SystemExit(0)", "SystemExit: 0"),
    ],
)
async def test_a_middleware_that_cannot_be_used_stops_the_start(
    folder: Path, name: str, source: str, told: str
):
    """File, line and key, and what is wrong with it; status 2 tells the supervisor not to try again."""
    (folder / "mine.py").write_text(source + "\n")
    config = lanes.write_settings(folder, 1, f'middlewares = ["{name}"]')
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(folder / "lane-app.sock"))
        listener.listen(1)
        lane = await lanes.start(folder, config, listener)
        assert await asyncio.wait_for(lane.process.wait(), BOUND_SECONDS) == 2
    log = lane.log()
    assert log.startswith(f"{config}:10: lanes.0.middlewares.0: "), log
    assert told in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "source",
    [
        """
async def middleware(request, handler):
    return await handler(request)
""",
        """
class Guard:
    async def __call__(self, request, handler):
        return await handler(request)

middleware = Guard()
""",
        """
class Guard:
    async def look(self, request, handler):
        return await handler(request)

middleware = Guard().look
""",
    ],
    ids=["without the decorator", "an object", "a method"],
)
async def test_a_middleware_may_be_any_coroutine_function(folder: Path, source: str):
    """aiohttp takes one without its mark for an old-style factory."""
    async with (
        upstream_running(answer_always) as upstream,
        lane_process(folder, upstream.port, source) as lane,
        lane.client() as client,
    ):
        assert (await client.ask(get("/")))[0].status == 200


async def test_a_middleware_can_ask_the_list_that_the_edge_has_in_force(folder: Path):
    """`request.app[BLOCKLIST]()`: the file that control keeps for starting workers, looked at each second."""
    asks = """
from proxy.lane.lists import BLOCKLIST

@web.middleware
async def middleware(request, handler):
    found = request.app[BLOCKLIST]()
    return web.Response(text=str(found is not None and request.query["of"] in found))
"""
    leave_attach_file(folder, EdgeConfig(), [Entry("203.0.113.7", score=9, sources=("feed",))])
    async with lane_process(folder, 1, asks) as lane, lane.client() as client:
        assert (await client.ask(get("/?of=203.0.113.7")))[1] == b"True"
        assert (await client.ask(get("/?of=198.51.100.7")))[1] == b"False"
        leave_attach_file(folder, EdgeConfig(), [Entry("198.51.100.7", score=9, sources=("feed",))])
        async with asyncio.timeout(BOUND_SECONDS):
            while (await client.ask(get("/?of=198.51.100.7")))[1] != b"True":
                pass


async def test_a_body_above_what_a_middleware_may_read_is_413(folder: Path):
    """`read_bytes` bounds what one request can make a lane hold."""
    reads = """
@web.middleware
async def middleware(request, handler):
    await request.read()
    return await handler(request)
"""

    async def script(connection: UpstreamConnection) -> None:
        head = await connection.head()
        body = await read_body(connection.reader, head)
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with (
        upstream_running(script) as upstream,
        lane_process(folder, upstream.port, reads, "read_bytes = 10") as lane,
    ):
        for size, status in ((10, 200), (11, 413)):
            async with lane.client() as client:
                head, _ = await client.ask(get("/", f"Content-Length: {size}", method="POST") + b"x" * size)
                assert head.status == status
