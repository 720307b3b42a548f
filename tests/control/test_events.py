"""GET /v1/events: who listens hears everything or how much was missed, and costs a bounded amount."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest

from proxy import frames
from proxy.control.admin import stream
from proxy.control.sight import feed as feeding
from tests.control.conftest import Pod, until
from tests.control.test_admin import READER, TOKENS, bearer

STREAM = {"Accept": "text/event-stream"}


class Stream:
    """An open stream, event by event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> dict[str, Any]:
        """Fields of the next block; `comment` for one without data."""
        fields: dict[str, Any] = {}
        async with asyncio.timeout(5):
            while line := (await self.response.content.readline()).decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name or "comment"] = value
        if "data" in fields:
            fields["data"] = orjson.loads(fields["data"])
        return fields

    async def next_kind(self, kind: str) -> dict[str, Any]:
        while (event := await self.next()).get("event") != kind:
            assert event, "the stream has ended"
        return event


@asynccontextmanager
async def listening(pod: Pod, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    url = f"http://{pod.address('admin')}/v1/events{query}"
    given = STREAM | {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as session, session.get(url, headers=given) as response:
        yield Stream(response)


async def test_block_removal_and_lists_are_told_as_they_happen(running_pod: Pod):
    async with listening(running_pod) as stream_:
        assert await stream_.next() == {"retry": "1000"}
        body = {"target": "203.0.113.9", "reason": 'a "quoted"\nreason'}
        await running_pod.call("POST", "/v1/blocks", body)
        put = (await stream_.next_kind("change"))["data"]
        assert (put["action"], put["author"], put["reason"]) == ("put", "anonymous", body["reason"])
        assert put["entries"] == [{"target": "203.0.113.9/32", "disposition": "block", "score": 10.0}]
        await running_pod.call("DELETE", "/v1/blocks?target=203.0.113.9")
        removed = (await stream_.next_kind("change"))["data"]
        assert (removed["action"], removed["count"]) == ("removed", 1)
        running_pod.write("198.51.100.0/24\n192.0.2.0/24\n")
        await running_pod.control.lists.refresh()
        swapped = (await stream_.next_kind("lists"))["data"]
        base = running_pod.control.state.base
        assert base is not None
        assert swapped["entries"] == len(base.blocklist)


async def test_denials_of_workers_reach_who_asked_for_them(running_pod: Pod):
    worker = await running_pod.current_worker()
    async with listening(running_pod, "?kinds=denial") as stream_:
        await stream_.next()
        running_pod.control.feed.tell("configuration", {})
        worker.send(frames.encode(frames.Kind.EVENTS, b'{"client":"192.0.2.1"}\n{"client":"192.0.2.2"}\n'))
        told = [await stream_.next(), await stream_.next()]
    assert [event["event"] for event in told] == ["denial", "denial"]
    assert [event["data"]["client"] for event in told] == ["192.0.2.1", "192.0.2.2"]


async def test_stream_goes_on_behind_the_last_event_that_was_received(running_pod: Pod):
    feed = running_pod.control.feed
    async with listening(running_pod, "?kinds=configuration") as stream_:
        await stream_.next()
        feed.tell("configuration", {"n": 1})
        last = (await stream_.next())["id"]
    feed.tell("configuration", {"n": 2})
    async with listening(running_pod, "?kinds=configuration", Last_Event_ID=last) as stream_:
        await stream_.next()
        assert (await stream_.next())["data"]["n"] == 2


@pytest.mark.parametrize("last", ["1-5", "x", "", "-", "9" * 40, "1-\u00b2"])
async def test_id_of_another_run_says_that_something_may_be_missing(running_pod: Pod, last: str):
    """After a restart nobody knows what was told meanwhile."""
    async with listening(running_pod, Last_Event_ID=last) as stream_:
        await stream_.next()
        missed = await stream_.next()
        assert (missed["event"], missed["data"]) == ("missed", {"count": None})
        running_pod.control.feed.tell("configuration", {"n": 1})
        assert (await stream_.next())["data"]["n"] == 1


async def test_slow_listener_is_told_how_much_it_missed(running_pod: Pod, monkeypatch):
    """It costs a place in the ring, not a queue."""
    feed = feeding.Feed(1, ring_count=50)
    monkeypatch.setattr(running_pod.control, "feed", feed)
    host, port = running_pod.address("admin").split(":")
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(reader, (host, int(port)))
        request = (
            "GET /v1/events?kinds=denial HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        )
        await loop.sock_sendall(reader, request.encode())
        await until(lambda: feed.count == 1, "the listener is there")
        line = b'{"x":"%s"}\n' % (b"x" * 7000)
        # Far more than the socket's buffers take; each turn lets the stream write what it can.
        told_count = 0
        for _ in range(200):
            feed.tell_denials(line * 5)
            told_count += 5
            await asyncio.sleep(0)
        feed.tell_denials(b'{"last":true}\n')
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        received = b""
        async with asyncio.timeout(10):
            while b'{"last":true}' not in received:
                received += await loop.sock_recv(reader, 1 << 20)
    missed = [
        orjson.loads(block.rpartition(b"data: ")[2])["count"]
        for block in received.split(b"\n\n")
        if b"event: missed" in block
    ]
    assert missed
    assert sum(missed) + received.count(b"event: denial") == told_count + 1


async def test_reader_that_takes_nothing_is_cut_off(running_pod: Pod, monkeypatch):
    monkeypatch.setattr(stream, "_WRITE_SECONDS", 0.05)
    feed = running_pod.control.feed
    host, port = running_pod.address("admin").split(":")
    with socket.create_connection((host, int(port))) as reader:
        request = "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        reader.sendall(request.encode())
        await until(lambda: feed.count == 1, "the listener is there")
        line = b'{"x":"%s"}\n' % (b"x" * 7000)

        def is_gone() -> bool:
            feed.tell_denials(line * 100)
            return feed.count == 0

        await until(is_gone, "the listener has been let go")


async def test_listener_that_leaves_gives_its_place_back(pod: Pod):
    pod.configure("[sight]\nlistener_count = 1")
    await pod.start()
    async with listening(pod) as stream_:
        await stream_.next()
        status, answer = await pod.call("GET", "/v1/events", headers=STREAM)
        assert (status, answer["error"]) == (503, "too_many_listeners")

    def is_free() -> bool:
        pod.control.feed.tell("configuration", {})
        return pod.control.feed.count == 0

    await until(is_free, "the place is free")


async def test_heartbeat_keeps_a_quiet_stream_alive(running_pod: Pod, monkeypatch):
    monkeypatch.setattr(stream, "_HEARTBEAT_SECONDS", 0.01)
    async with listening(running_pod) as stream_:
        await stream_.next()
        assert await stream_.next() == {"comment": "still here"}


async def test_stream_ends_with_the_process_at_once(running_pod: Pod):
    async with listening(running_pod) as stream_:
        await stream_.next()
        await running_pod.stop()
        assert await stream_.next() == {}


async def test_events_need_the_scope_read_for_as_long_as_they_flow(pod: Pod, monkeypatch):
    writer = '[[control.tokens]]\nname = "w"\nscopes = ["write"]\nsecret = "only-writes-nothing-else"\n'
    pod.configure(control="")
    pod.config_path.write_text(pod.config_path.read_text() + TOKENS + writer)
    control = await pod.start()
    status, _ = await pod.call("GET", "/v1/events", headers=STREAM)
    assert status == 401
    status, _ = await pod.call("GET", "/v1/events", headers=STREAM | bearer("only-writes-nothing-else"))
    assert status == 403
    async with listening(pod, **bearer(READER)) as stream_:
        await stream_.next()
        monkeypatch.setattr(control.running.doors.__class__, "caller", lambda *_: None)
        control.feed.tell("configuration", {})
        await stream_.next_kind("configuration")
        assert await stream_.next() == {}


async def test_newest_events_are_json_for_who_wants_no_stream(running_pod: Pod):
    for number in range(3):
        running_pod.control.feed.tell("configuration", {"n": number})
    _, answer = await running_pod.call("GET", "/v1/events?kinds=configuration&limit=2")
    assert [row["data"]["n"] for row in answer["events"]] == [1, 2]
    assert all(row["kind"] == "configuration" and row["id"] for row in answer["events"])


@pytest.mark.parametrize("kinds", ["x", "denial,,change", "denial%0Aevent"])
async def test_kind_that_does_not_exist_is_refused(running_pod: Pod, kinds: str):
    status, answer = await running_pod.call("GET", f"/v1/events?kinds={kinds}")
    assert (status, answer["error"]) == (400, "invalid_query")


def test_event_that_is_too_long_is_told_without_its_text():
    feed = feeding.Feed(1)
    feed.tell_denials(b'{"x":"%s"}\n' % (b"x" * 9000))
    (event,) = feed.newest(feeding.KINDS, 10)
    assert orjson.loads(event.data)["too_long_bytes"] == 9008
