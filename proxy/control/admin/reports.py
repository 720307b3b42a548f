"""Calls of the admin API that compute for longer: each in a thread, one at a time."""

import asyncio
import time

from aiohttp import web

from proxy.blocklist import coverage
from proxy.control import policy, simulation
from proxy.control.admin.answers import Json, stamped
from proxy.control.admin.bodies import RequestRefusedError, SimulateBody, WishBody, body_of, query_score
from proxy.control.admin.handlers import Answer, canonical
from proxy.control.admin.traffic import pods
from proxy.control.auth import Caller
from proxy.control.context import Control
from proxy.control.sight import periods
from proxy.control.sight.sample import drawn_of
from proxy.errors import PolicyRefused
from proxy.store.records import ManualEntry
from proxy.store.summaries import Period

_DENIAL_COUNT = 10_000
_PARTIAL = (
    "what a block of addresses would newly hit is estimated by samples of clients of the last 15 minutes;"
    " what a block of names would hit shows in `subjects` and in denials of this pod only"
)
_SAMPLE_MS = 15 * periods.MINUTE_MS


async def simulate(control: Control, request: web.Request, caller: Caller) -> Answer:
    """What changes would do, without making them."""
    body = await body_of(request, SimulateBody)
    wished: list[ManualEntry] = []
    refused: list[Json] = []
    for wish in body.entries:
        try:
            wished.append(_planned(control, wish, caller))
        except PolicyRefused as error:
            refused.append({"target": wish.target, "rule": error.rule, "message": str(error)})
    subjects = [_subject(target) for target in body.subjects]
    await control.denials.flush()
    async with control.report_lock:
        # In here, or callers who wait would hold 10,000 denials each.
        denials = await control.store.denials(_DENIAL_COUNT)
        now_ms = time.time_ns() // 1_000_000
        drawn = drawn_of(await control.store.summaries(Period.SAMPLE, now_ms - _SAMPLE_MS, now_ms + 1))
        heard_count, known_count = await pods(control, now_ms)
        scene = _scene(control)
        seen = simulation.Seen(denials, drawn)
        answer = await asyncio.to_thread(simulation.simulate, scene, wished, subjects, seen)
    said = {
        "refused": refused,
        "pods": f"{heard_count}/{known_count}",
        "is_complete": False,
        "note": _PARTIAL,
    }
    return 200, stamped(control, {**answer, **said})


async def overlap(control: Control, request: web.Request, _caller: Caller) -> Answer:
    """What each source covers of IPv4, and what two of them share."""
    minimum_score = query_score(request, "minimum_score", 0.0)
    async with control.report_lock:
        blocklist = _scene(control).blocklist
        found = await asyncio.to_thread(coverage.overlap, blocklist, minimum_score)
    return 200, stamped(control, {**found.to_json(), "minimum_score": minimum_score})


def _scene(control: Control) -> simulation.Scene:
    """Raises RequestRefusedError while no list is in force."""
    state = control.state
    if state.base is None or state.blocklist is None:
        raise RequestRefusedError(409, "no_list", "no list is in force yet")
    now = int(time.time())
    state.blocklist.advance(now)
    return simulation.Scene(state.base, state.blocklist, dict(state.entries), state.config.block_score, now)


def _planned(control: Control, wish: WishBody, caller: Caller) -> ManualEntry:
    """Raises PolicyRefused as a real change would be refused, RequestRefusedError when it cannot be read."""
    canonical(wish.target)
    change = policy.Change(
        target=wish.target,
        disposition=wish.disposition,
        author=caller.name,
        score=wish.score,
        ttl_seconds=wish.ttl_seconds,
        kind=wish.kind,
    )
    live_count = len(control.state.entries)
    return policy.plan(change, control.running.rules, now=int(time.time()), live_count=live_count)


def _subject(text: str) -> str:
    name, family = canonical(text)
    host, _, length = name.partition("/")
    if family == "network" and length not in ("", "128" if ":" in host else "32"):
        raise RequestRefusedError(400, "invalid_target", f"{text!r} is a network; a sample is one address")
    return host if family == "network" else name
