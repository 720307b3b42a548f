"""GET /v1/events: what happens, as server-sent events, or the newest of it as JSON."""

import asyncio
from collections.abc import Iterable
from typing import Final

import orjson
from aiohttp import web

from proxy.control.admin.answers import Json, stamped
from proxy.control.admin.bodies import RequestRefusedError, query_count
from proxy.control.auth import Caller
from proxy.control.context import Control
from proxy.control.sight.feed import KINDS, Event, Listener, TooManyListenersError

_HEARTBEAT_SECONDS: Final = 10.0
# A reader whose socket takes nothing for so long is gone, or as good as that.
_WRITE_SECONDS: Final = 10.0
_RETRY_MILLISECONDS: Final = 1000
_DEFAULT_COUNT: Final = 100
_EVENT_STREAM: Final = "text/event-stream"


async def events(
    control: Control, request: web.Request, _caller: Caller
) -> tuple[int, Json] | web.StreamResponse:
    """A stream for who accepts one. Last-Event-ID goes on where a stream broke."""
    kinds = _kinds(request)
    if _EVENT_STREAM not in request.headers.get("Accept", ""):
        return 200, _newest(control, kinds, query_count(request, "limit", _DEFAULT_COUNT))
    try:
        listener = control.feed.listen(kinds, request.headers.get("Last-Event-ID"))
    except TooManyListenersError as error:
        raise RequestRefusedError(
            503, "too_many_listeners", f"sight.listener_count: {error}; try again later"
        ) from error
    response = web.StreamResponse(
        headers={"Content-Type": _EVENT_STREAM, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    try:
        await response.prepare(request)
        await _stream(control, request, response, listener)
    except ConnectionError:
        pass  # the reader is gone
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    finally:
        listener.close()
    return response


async def _stream(
    control: Control, request: web.Request, response: web.StreamResponse, listener: Listener
) -> None:
    """Until the process stops or the token is no longer one. Raises ConnectionError, TimeoutError."""
    await _write(response, b"retry: %d\n\n" % _RETRY_MILLISECONDS)
    while not control.feed.is_closed and _may_read(control, request):
        try:
            async with asyncio.timeout(_HEARTBEAT_SECONDS):
                missed_count, found = await listener.take()
        except TimeoutError:
            # Also how a reader that went without a word is noticed.
            await _write(response, b": still here\n\n")
            continue
        lines = [] if missed_count == 0 else [_missed(missed_count, listener)]
        lines += [_rendered(control.feed.id_of(event.number), event.kind, event.data) for event in found]
        if lines:
            await _write(response, b"".join(lines))


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(_WRITE_SECONDS):
        await response.write(data)


def _may_read(control: Control, request: web.Request) -> bool:
    """A stream may outlive its token."""
    caller = control.running.doors.caller(request.headers.get("Authorization"))
    return caller is not None and "read" in caller.scopes


def _missed(count: int | None, listener: Listener) -> bytes:
    return _rendered(listener.place, "missed", orjson.dumps({"count": count}))


def _rendered(place: str, kind: str, data: bytes) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (place.encode(), kind.encode(), data)


def _newest(control: Control, kinds: tuple[str, ...], count: int) -> Json:
    found = control.feed.newest(kinds, count)
    rows = [_row(control.feed.id_of(event.number), event) for event in found]
    return stamped(control, {"events": rows, "count": len(rows), "kinds": kinds})


def _row(place: str, event: Event) -> Json:
    return {"id": place, "kind": event.kind, "data": orjson.Fragment(event.data)}


def _kinds(request: web.Request) -> tuple[str, ...]:
    """Raises RequestRefusedError."""
    text = request.query.get("kinds", "")
    wanted = tuple(text.split(",")) if text else KINDS
    if strange := _first_strange(wanted):
        raise RequestRefusedError(
            400, "invalid_query", f"kinds has {strange[:100]!r}; there are {', '.join(KINDS)}"
        )
    return wanted


def _first_strange(wanted: Iterable[str]) -> str | None:
    return next((kind or "an empty name" for kind in wanted if kind not in KINDS), None)
