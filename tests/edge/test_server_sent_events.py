"""Server-sent events: what the upstream writes is with the client at once, event by event, for as long as
both stay.
"""

import asyncio
import time

import pytest

from tests.edge.conftest import Edge, until
from tests.support.client import Client, get
from tests.support.origin import Origin, OriginConnection

# A promise: best of several, because the machine may be busy with other work.
FIRST_EVENT_SECONDS = 0.010
ATTEMPT_COUNT = 10

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
FRAMINGS = [
    pytest.param(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n", lambda data: b"%x\r\n%b\r\n" % (len(data), data)
    ),
    pytest.param(HEAD + b"Connection: close\r\n\r\n", lambda data: data),
]


async def open_stream(edge: Edge) -> Client:
    client = await edge.connect()
    await client.send(get("/events", "Accept: text/event-stream"))
    return client


@pytest.mark.parametrize(("head", "frame"), FRAMINGS, ids=["chunked", "to the close"])
@pytest.mark.parametrize("is_with_head", [True, False], ids=["with the head", "after the head"])
async def test_first_event_is_with_the_client_within_ten_milliseconds(
    edge: Edge, origin: Origin, head: bytes, frame, is_with_head: bool
):
    """A proxy that waits for more to come makes a live feed of nothing."""
    written: list[float] = []
    has_head = asyncio.Event()

    async def stream(connection: OriginConnection) -> None:
        await connection.read_request()
        event = frame(b"data: first\n\n")
        if not is_with_head:
            await connection.send(head)
            await has_head.wait()
        written.append(time.perf_counter())
        await connection.send(head + event if is_with_head else event)
        await connection.see_end()

    origin.behave = stream
    taken: list[float] = []
    for _ in range(ATTEMPT_COUNT):
        has_head.clear()
        client = await open_stream(edge)
        if not is_with_head:
            assert (await client.read_head()).get("content-type") == "text/event-stream"
            has_head.set()
        await client.read_until(b"data: first\n\n")
        taken.append(time.perf_counter() - written[-1])
        client.close()
    assert min(taken) < FIRST_EVENT_SECONDS, [f"{seconds * 1000:.1f} ms" for seconds in taken]


@pytest.mark.parametrize(("head", "frame"), FRAMINGS, ids=["chunked", "to the close"])
async def test_each_event_comes_before_the_next_is_written(edge: Edge, origin: Origin, head: bytes, frame):
    """The origin writes on only when the client has what was written before: a buffer anywhere would hang."""
    has_come = asyncio.Event()

    async def stream(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(head)
        for number in range(100):
            await connection.send(frame(b"id: %d\ndata: %b\n\n" % (number, b"x" * (number * 50))))
            await has_come.wait()
            has_come.clear()

    origin.behave = stream
    client = await open_stream(edge)
    await client.read_head()
    for number in range(100):
        await client.read_until(b"id: %d\ndata: %b\n\n" % (number, b"x" * (number * 50)))
        has_come.set()


async def test_client_that_leaves_a_silent_stream_ends_it_upstream(edge: Edge, origin: Origin):
    """Otherwise each reader who goes would leave a stream behind that nobody reads."""
    ends: list[str] = []

    async def stream(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n: \n\r\n")
        ends.append(await connection.see_end())

    origin.behave = stream
    client = await open_stream(edge)
    await client.read_until(b": \n")
    client.close()
    await until(lambda: len(ends) == 1)
