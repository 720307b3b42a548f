"""The demo gateway answers as the printed examples and the whole-program tests expect."""

import asyncio
import hashlib
import io
import os
import signal
import sys

import aiohttp
import pytest
from aiohttp import test_utils

from proxy.demo_gateway import application, pattern


@pytest.fixture
async def client():
    async with test_utils.TestClient(test_utils.TestServer(application())) as opened:
        yield opened


async def test_echo_gives_method_headers_and_body_back(client):
    """What the edge added or removed on the way is seen here."""
    async with client.post("/echo?a=b%20c", data=b"hello", headers={"X-One": "1"}) as response:
        answer = await response.json()
    assert (answer["method"], answer["path"], answer["body"]) == ("POST", "/echo?a=b%20c", "hello")
    assert ["X-One", "1"] in answer["headers"]


async def test_headers_keep_order_and_repetition(client):
    """A dict would hide a doubled field."""
    async with client.get("/headers", headers=[("X-Two", "a"), ("X-Two", "b")]) as response:
        answer = await response.json()
    assert [value for name, value in answer if name == "X-Two"] == ["a", "b"]


@pytest.mark.parametrize("code", [200, 204, 304, 404, 503])
async def test_status_is_answered_as_asked(client, code):
    """Statuses without a body have none."""
    async with client.get(f"/status/{code}") as response:
        assert response.status == code
        assert (await response.read() == b"") is (code in (204, 304))


@pytest.mark.parametrize("count", [0, 1, 255, 65536, 65537, 1_000_003])
async def test_sized_body_is_the_pattern_and_states_its_length(client, count):
    """A client can check any part of it without having the rest."""
    async with client.get(f"/bytes/{count}") as response:
        assert response.headers["Content-Length"] == str(count)
        assert await response.read() == pattern(count)


@pytest.mark.parametrize(
    "path",
    ["/bytes/-1", "/bytes/1e3", "/bytes/" + "9" * 30, "/status/99", "/slow?seconds=nan", "/slow?seconds=1e9"],
)
async def test_number_out_of_range_is_a_bad_request(client, path):
    """Even a demo must not be told to sleep for a year."""
    async with client.get(path) as response:
        assert response.status == 400


async def test_stream_is_chunked_and_events_are_events(client):
    """The two kinds of open-ended answers."""
    async with client.get("/stream?count=3&seconds=0") as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert await response.read() == b"chunk 0\nchunk 1\nchunk 2\n"
    async with client.get("/events?count=2&seconds=0") as response:
        assert response.content_type == "text/event-stream"
        assert await response.read() == b"id: 0\ndata: event 0\n\nid: 1\ndata: event 1\n\n"


async def test_websocket_echoes_text_and_bytes(client):
    """Both kinds of frames."""
    async with client.ws_connect("/ws") as socket:
        await socket.send_str("text")
        await socket.send_bytes(b"\x00\xff")
        assert (await socket.receive_str(), await socket.receive_bytes()) == ("text", b"\x00\xff")


async def test_upload_is_measured_not_kept(client):
    """The digest proves the bytes."""
    body = pattern(3_000_000)
    async with client.post("/upload", data=io.BytesIO(body)) as response:
        assert await response.json() == {"sha256": hashlib.sha256(body).hexdigest(), "length": len(body)}


async def test_process_says_ready_and_stops_at_once_with_a_stream_open(unused_tcp_port):
    """Ctrl-C on the quickstart has two seconds for everything."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.demo_gateway",
        "--port",
        str(unused_tcp_port),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready gateway\n"
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{unused_tcp_port}/events") as events,
    ):
        assert await events.content.readline() == b"id: 0\n"
        os.kill(process.pid, signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_taken_port_is_one_line_and_status_two(unused_tcp_port):
    """No traceback for what the user can mend."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", unused_tcp_port)
    async with server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy.demo_gateway",
            "--port",
            str(unused_tcp_port),
            stderr=asyncio.subprocess.PIPE,
        )
        _, written = await process.communicate()
    assert process.returncode == 2
    assert written.count(b"\n") == 1
    assert str(unused_tcp_port).encode() in written
