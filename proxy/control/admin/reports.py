"""Calls of the admin API that compute for longer: each in a thread, one at a time."""

import asyncio
import time

from aiohttp import web

from proxy.blocklist import coverage
from proxy.control import policy, simulation
from proxy.control.admin.answers import Json, stamped
from proxy.control.admin.bodies import RequestRefusedError, SimulateBody, WishBody, body_of, query_score
from proxy.control.admin.handlers import Answer, canonical
from proxy.control.auth import Caller
from proxy.control.context import Control
from proxy.errors import PolicyRefused
from proxy.store.records import ManualEntry

_DENIAL_COUNT = 10_000
_PARTIAL = (
    "only requests that were denied, or would have been in observe mode, are known here;"
    " what a block would newly hit shows in samples only"
)


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
        scene = _scene(control)
        answer = await asyncio.to_thread(simulation.simulate, scene, wished, subjects, denials)
    return 200, stamped(
        control, {**answer, "refused": refused, "pods": "1/1", "is_complete": False, "note": _PARTIAL}
    )


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
