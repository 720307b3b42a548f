"""WebSocket through the edge: messages, fragments, pings and close codes arrive as they were sent."""

import asyncio
import os
import resource
from hashlib import sha256

import aiohttp
import pytest
from aiohttp import web

from tests.edge.conftest import Edge, StartEdge, until
from tests.edge.test_tunnel import HANDSHAKE, SWITCH
from tests.support import websocket
from tests.support.client import Client
from tests.support.origin import Origin, OriginConnection

MEBIBYTE = 1024 * 1024
CONNECTION_COUNT = 1000


async def echo_messages(connection: OriginConnection) -> None:
    """A server's part: unmasks, sends each message back unmasked, answers a close with the same close."""
    await connection.read_request()
    await connection.send(SWITCH)
    while True:
        frame = await websocket.read_frame(connection)
        await connection.send(websocket.encode(frame.opcode, frame.payload, is_final=frame.is_final))
        if frame.opcode == websocket.CLOSE:
            return


async def open_websocket(edge: Edge) -> Client:
    client = await edge.connect()
    await client.send(HANDSHAKE)
    assert (await client.read_head()).status == 101
    return client


@pytest.mark.parametrize("size", [1, 125, 126, 65535, 65536, MEBIBYTE, 16 * MEBIBYTE])
async def test_message_of_any_size_comes_back_whole(edge: Edge, origin: Origin, size: int):
    """The sizes at which a frame's head changes, and those that fill every buffer on the way."""
    origin.behave = echo_messages
    client = await open_websocket(edge)
    payload = os.urandom(size)
    sender = asyncio.get_running_loop().create_task(
        client.send(websocket.encode(websocket.BINARY, payload, mask=os.urandom(4)))
    )
    frame = await websocket.read_frame(client)
    await sender
    assert frame.opcode == websocket.BINARY
    assert sha256(frame.payload).digest() == sha256(payload).digest()


MASK = b"\x12\x34\x56\x78"
CONVERSATION = [
    pytest.param(
        [
            websocket.encode(websocket.TEXT, b"one ", is_final=False, mask=MASK),
            websocket.encode(websocket.PING, b"between", mask=MASK),
            websocket.encode(websocket.CONTINUATION, b"two ", is_final=False, mask=b"\0\0\0\0"),
            websocket.encode(websocket.CONTINUATION, b"", is_final=False, mask=MASK),
            websocket.encode(websocket.CONTINUATION, b"three", mask=MASK),
        ],
        id="fragments with a ping between",
    ),
    pytest.param(
        [
            websocket.encode(websocket.PING, b"", mask=MASK),
            websocket.encode(websocket.PONG, b"unasked", mask=MASK),
            websocket.encode(websocket.PING, b"p" * 125, mask=MASK),
        ],
        id="pings and pongs",
    ),
    pytest.param(
        [
            websocket.encode(websocket.TEXT, b"\xf2\x48\xcd", mask=MASK, reserved=4),
            websocket.encode(11, b"unknown", mask=MASK, reserved=3),
        ],
        id="bits of extensions",
    ),
    pytest.param(
        [websocket.encode(websocket.TEXT, b"unmasked"), bytes.fromhex("81fe0001") + MASK + b"x"],
        id="what no client may send",
    ),
]


@pytest.mark.parametrize("frames", CONVERSATION)
async def test_frames_of_both_sides_arrive_byte_for_byte(edge: Edge, origin: Origin, frames: list[bytes]):
    """Nothing is joined, split, answered or corrected on the way; each is here before the next is sent."""
    received: list[bytes] = []

    async def repeat(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(SWITCH)
        for frame in frames:
            received.append(await connection.read_exactly(len(frame)))
            await connection.send(received[-1])
        await connection.see_end()

    origin.behave = repeat
    client = await open_websocket(edge)
    for number, frame in enumerate(frames):
        await client.send(frame)
        assert await client.read_exactly(len(frame)) == frame
        assert received[number] == frame


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1009, 1011, 1012, 3000, 4000, 4999])
async def test_close_code_and_reason_arrive(edge: Edge, origin: Origin, code: int):
    """From the client up and from the origin down; then both connections end."""
    received: list[bytes] = []

    async def close(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(SWITCH)
        received.append((await websocket.read_frame(connection)).payload)
        reason = websocket.close_payload(code, "zurück".encode())
        await connection.send(websocket.encode(websocket.CLOSE, reason))

    origin.behave = close
    client = await open_websocket(edge)
    sent = websocket.close_payload(code, b"going")
    await client.send(websocket.encode(websocket.CLOSE, sent, mask=MASK))
    frame = await websocket.read_frame(client)
    assert received == [sent]
    assert (frame.opcode, frame.payload) == (
        websocket.CLOSE,
        websocket.close_payload(code, "zurück".encode()),
    )
    assert await client.see_end() == "fin"
    client.close()
    await until(lambda: edge.counter("tunnels_open") == 0)


async def test_end_without_a_close_frame_stays_one(edge: Edge, origin: Origin):
    """Code 1006 is what an endpoint says of it; the edge must not invent a close."""

    async def vanish(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(SWITCH + websocket.encode(websocket.TEXT, b"last"))

    origin.behave = vanish
    client = await open_websocket(edge)
    assert (await websocket.read_frame(client)).payload == b"last"
    assert await client.read_to_end() == b""


@pytest.mark.timeout(120)
async def test_thousand_websockets_at_a_time_keep_their_messages_apart(edge: Edge, origin: Origin):
    """Each talks to its own origin connection, in an order of its own, while all the others are open."""
    allow_descriptors(4 * CONNECTION_COUNT + 1000)
    origin.behave = echo_messages
    clients = [await open_websocket(edge) for _ in range(CONNECTION_COUNT)]
    assert edge.counter("tunnels_open") == CONNECTION_COUNT

    async def talk(number: int, client: Client) -> None:
        for turn in range(3):
            payload = b"%d:%d:" % (number, turn) + bytes(((number + turn) % 251,)) * (number * 7)
            await client.send(websocket.encode(websocket.BINARY, payload, mask=MASK))
            assert (await websocket.read_frame(client)).payload == payload

    await asyncio.gather(*(talk(number, client) for number, client in enumerate(clients)))
    for client in clients:
        await client.send(websocket.encode(websocket.CLOSE, websocket.close_payload(1001), mask=MASK))
    for client in clients:
        assert (await websocket.read_frame(client)).payload == websocket.close_payload(1001)
        client.close()
    await until(lambda: edge.counter("tunnels_open") == 0)
    assert not edge.worker.context.connections
    assert edge.counter("upstream_open") == 0


def allow_descriptors(count: int) -> None:
    """Clients, edge and origin share this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= count, f"this needs {count} open files and the limit is {hard}: raise `ulimit -Hn`"
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


@pytest.mark.parametrize("compress", [0, 15])
async def test_ordinary_client_and_server_agree_through_the_edge(start_edge: StartEdge, compress: int):
    """Both from a library that we did not write; with `permessage-deflate` and a subprotocol, which they
    negotiate with each other."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        server = web.WebSocketResponse(protocols=("chat.v2",), max_msg_size=0, compress=compress != 0)
        await server.prepare(request)
        async for message in server:
            await server.send_bytes(message.data)
            if message.data == b"enough":
                await server.close(code=4001, message=b"as you wish")
        return server

    application = web.Application()
    application.router.add_get("/ws", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        edge = await start_edge(upstream_port=runner.addresses[0][1])
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                f"http://127.0.0.1:{edge.port}/ws", protocols=("chat.v2",), compress=compress, max_msg_size=0
            ) as client,
        ):
            assert (client.protocol, client.compress) == ("chat.v2", compress)
            for payload in (b"a", b"ab" * 40_000, os.urandom(MEBIBYTE), b"enough"):
                await client.send_bytes(payload)
                assert await client.receive_bytes() == payload
            ended = await client.receive()
            assert (ended.type, ended.data, ended.extra) == (aiohttp.WSMsgType.CLOSE, 4001, "as you wish")
    finally:
        await runner.cleanup()
