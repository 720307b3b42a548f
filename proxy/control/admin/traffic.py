"""Calls about traffic: who sends most, and how routes fare. All pods of the store speak."""

import asyncio
import re
import time
from typing import Final

from aiohttp import web

from proxy.control.admin.answers import Json, stamped
from proxy.control.admin.bodies import RequestRefusedError, query_count
from proxy.control.auth import Caller
from proxy.control.context import Control
from proxy.control.sight import answers, periods
from proxy.control.sight.traffic import MEASURES
from proxy.store.summaries import KEPT_MS, Period, Summary

_WINDOW: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS_MS: Final = {
    "s": periods.SECOND_MS,
    "m": periods.MINUTE_MS,
    "h": periods.HOUR_MS,
    "d": periods.DAY_MS,
}
_LONGEST_WINDOW_MS: Final = 30 * periods.DAY_MS
# (window, one point of "traffic over time")
_TIME_RANGES: Final = {
    "24h": (periods.DAY_MS, 10 * periods.MINUTE_MS),
    "7d": (7 * periods.DAY_MS, periods.HOUR_MS),
    "30d": (30 * periods.DAY_MS, 6 * periods.HOUR_MS),
}
_TOPS: Final = {
    "client": (answers.top_clients, MEASURES),
    "route": (answers.top_routes, (*MEASURES, "errors")),
}
_DEFAULT_COUNT: Final = 20
# A pod that has not written for so long is not heard.
_HEARD_MS: Final = 15 * periods.SECOND_MS


async def top(control: Control, request: web.Request, _caller: Caller) -> tuple[int, Json]:
    by = request.query.get("by", "client")
    if by not in _TOPS:
        raise RequestRefusedError(400, "invalid_query", f"by is {by[:100]!r}; give client or route")
    make, orders = _TOPS[by]
    order = request.query.get("order", "requests")
    if order not in orders:
        allowed = ", ".join(orders)
        raise RequestRefusedError(400, "invalid_query", f"order is {order[:100]!r}; give one of {allowed}")
    window_ms = _window(request)
    count = min(query_count(request, "limit", _DEFAULT_COUNT), 100)
    async with control.report_lock:
        window, rows = await _read(control, window_ms)
        answer = await asyncio.to_thread(make, rows, window, order, count)
    return 200, stamped(control, answer)


async def analytics(control: Control, request: web.Request, _caller: Caller) -> tuple[int, Json]:
    """`api_id` is a route's name."""
    api_id = request.query.get("api_id")
    name = request.query.get("time_range", "24h")
    if name not in _TIME_RANGES:
        allowed = ", ".join(_TIME_RANGES)
        raise RequestRefusedError(400, "invalid_query", f"time_range is {name[:100]!r}; give {allowed}")
    window_ms, step_ms = _TIME_RANGES[name]
    async with control.report_lock:
        window, rows = await _read(control, window_ms)
        if api_id is not None:
            await _check_route(control, rows, api_id)
        answer = await asyncio.to_thread(answers.analytics, rows, window, api_id, step_ms)
    return 200, stamped(control, {"api_id": api_id, "time_range": name, "source": "edge", **answer})


async def _check_route(control: Control, rows: list[Summary], name: str) -> None:
    """Raises RequestRefusedError for a route that is neither configured nor has counted anything."""
    if name in (route.name for route in control.state.config.routes):
        return
    if not name or not await asyncio.to_thread(answers.has_route, rows, name):
        raise RequestRefusedError(404, "not_found", f"no route has the name {name[:100]!r}")


async def _read(control: Control, window_ms: int) -> tuple[answers.Window, list[Summary]]:
    """Everything up to the last second. Raises StoreError."""
    now_ms = time.time_ns() // 1_000_000
    heard_count, known_count = await pods(control, now_ms)
    since_ms = periods.begin_of(window_ms, now_ms)
    rows = await periods.read(control.store, since_ms, now_ms)
    return answers.Window(since_ms, now_ms, heard_count, known_count), rows


async def pods(control: Control, now_ms: int) -> tuple[int, int]:
    """(pods that write at present, pods that wrote in the last minutes). Raises StoreError."""
    minutes = await control.store.summaries(Period.MINUTE, now_ms - KEPT_MS[Period.SECOND], now_ms)
    seconds = await control.store.summaries(Period.SECOND, now_ms - _HEARD_MS, now_ms + 1)
    heard = {control.summaries.pod, *(row.pod for row in seconds)}
    return len(heard), len(heard | {row.pod for row in minutes})


def _window(request: web.Request) -> int:
    """Milliseconds. Raises RequestRefusedError."""
    text = request.query.get("window", "15m")
    match = _WINDOW.fullmatch(text)
    length_ms = int(match[1]) * _UNITS_MS[match[2]] if match else 0
    if not 0 < length_ms <= _LONGEST_WINDOW_MS:
        raise RequestRefusedError(
            400, "invalid_query", f"window is {text[:100]!r}; give 1s to 30d, such as 60s, 15m, 24h, 7d"
        )
    return length_ms
