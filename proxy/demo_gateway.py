"""A gateway to try the edge on: every kind of answer that a proxy has to carry, on one small server.

Stands in for the real gateway in `quickstart`. It believes every client; never put it on a network.
"""

import argparse
import asyncio
import hashlib
import signal
import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import WSMsgType, web

_CHUNK_BYTES = 65536
_PATTERN = bytes(range(256)) * (_CHUNK_BYTES // 256)
_MAXIMUM_BYTES = 16 * 1024**3
_MAXIMUM_SECONDS = 60.0
_MAXIMUM_COUNT = 100_000
# Streams have no end of their own at a stop; their readers are test clients.
_SHUTDOWN_SECONDS = 0.2


def pattern(count: int) -> bytes:
    """What `/bytes/{count}` answers, for a client that compares: 0, 1, ... 255, 0, 1, ..."""
    repeats, rest = divmod(count, 256)
    return _PATTERN[:256] * repeats + _PATTERN[:rest]


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello from the demo gateway\n")


async def _ready(_: web.Request) -> web.Response:
    return web.Response(text="ready\n")


async def _echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": body.decode(errors="replace"),
        }
    )


async def _headers(request: web.Request) -> web.Response:
    return web.json_response([[name, value] for name, value in request.headers.items()])


async def _status(request: web.Request) -> web.Response:
    code = _number(request.match_info["code"], 599, "code")
    if code < 200:
        raise web.HTTPBadRequest(text=f"code {code} is below 200\n")
    if code in (204, 304):
        return web.Response(status=code)
    return web.Response(status=code, text=f"status {code}\n")


async def _bytes(request: web.Request) -> web.StreamResponse:
    remaining = _number(request.match_info["count"], _MAXIMUM_BYTES, "count")
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    response.content_length = remaining
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    while remaining > 0:
        # Every chunk starts at a multiple of 256, so the pattern goes on without a seam.
        await response.write(_PATTERN[:remaining] if remaining < _CHUNK_BYTES else _PATTERN)
        remaining -= min(remaining, _CHUNK_BYTES)
    return response


async def _slow(request: web.Request) -> web.Response:
    seconds = _seconds(request, 1.0)
    await asyncio.sleep(seconds)
    return web.Response(text=f"answered after {seconds:g} s\n")


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for number in _ticks(request, seconds=0.1):
        await response.write(f"chunk {number}\n".encode())
    return response


async def _events(request: web.Request) -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    async for number in _ticks(request, seconds=1.0):
        await response.write(f"id: {number}\ndata: event {number}\n\n".encode())
    return response


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def _upload(request: web.Request) -> web.Response:
    digest = hashlib.sha256()
    length = 0
    async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
        digest.update(chunk)
        length += len(chunk)
    return web.json_response({"sha256": digest.hexdigest(), "length": length})


async def _ticks(request: web.Request, *, seconds: float) -> AsyncIterator[int]:
    """`?count=` numbers (10 unless told) with `?seconds=` between them."""
    pause = _seconds(request, seconds)
    count = _number(request.query.get("count", "10"), _MAXIMUM_COUNT, "count")
    for number in range(count):
        if number:
            await asyncio.sleep(pause)
        yield number


def _number(text: str, limit: int, name: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > limit:
        raise web.HTTPBadRequest(text=f"{name} must be a whole number up to {limit}\n")
    return int(text)


def _seconds(request: web.Request, default: float) -> float:
    try:
        seconds = float(request.query.get("seconds", default))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MAXIMUM_SECONDS:
        raise web.HTTPBadRequest(text=f"seconds must be between 0 and {_MAXIMUM_SECONDS:g}\n")
    return seconds


def application() -> web.Application:
    app = web.Application(client_max_size=1024**2)
    app.router.add_get("/", _hello)
    app.router.add_get("/ready", _ready)
    app.router.add_route("*", "/echo", _echo)
    app.router.add_get("/headers", _headers)
    app.router.add_route("*", "/status/{code}", _status)
    app.router.add_get("/bytes/{count}", _bytes)
    app.router.add_route("*", "/slow", _slow)
    app.router.add_get("/stream", _stream)
    app.router.add_get("/events", _events)
    app.router.add_get("/ws", _websocket)
    app.router.add_route("*", "/upload", _upload)
    return app


async def serve(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    runner = web.AppRunner(
        application(), handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        sys.stdout.write("ready gateway\n")
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await runner.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proxy.demo_gateway", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8070)
    arguments = parser.parse_args()
    try:
        uvloop.run(serve(arguments.host, arguments.port))
    except OSError as error:
        sys.stderr.write(f"port {arguments.port} on {arguments.host} cannot be used: {error.strerror}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
