"""One function per call of the admin API: request -> (status, answer)."""

import time
from typing import Any

import orjson
from aiohttp import web

from fastmatch._native import Explanation, canonical_target
from proxy.control import policy
from proxy.control.admin.answers import (
    Json,
    covering_json,
    entry_json,
    lookup_json,
    stamped,
    status_json,
    version_json,
    would_deny,
)
from proxy.control.admin.bodies import (
    AllowBody,
    BlockBody,
    LookupBody,
    RequestRefusedError,
    body_of,
    query_count,
    query_target,
)
from proxy.control.auth import Caller
from proxy.control.changes import Applied
from proxy.control.context import Control
from proxy.errors import PolicyRefused, StoreError
from proxy.store.records import AuditLine, ManualEntry
from proxy.telemetry import events, logs

Answer = tuple[int, Json]

_DEFAULT_PAGE_COUNT = 100


async def status(control: Control, _request: web.Request, _caller: Caller) -> Answer:
    return 200, stamped(control, status_json(control))


async def lookup(control: Control, request: web.Request, _caller: Caller) -> Answer:
    return 200, stamped(control, _looked_up(control, query_target(request)))


async def lookup_many(control: Control, request: web.Request, _caller: Caller) -> Answer:
    """One bad target does not spoil the others: it carries its own error."""
    body = await body_of(request, LookupBody)
    return 200, stamped(
        control, {"results": [_looked_up_or_error(control, target) for target in body.targets]}
    )


async def blocks(control: Control, request: web.Request, _caller: Caller) -> Answer:
    return _entries(control, request, "block")


async def allows(control: Control, request: web.Request, _caller: Caller) -> Answer:
    return _entries(control, request, "allow")


async def block(control: Control, request: web.Request, caller: Caller) -> Answer:
    body = await body_of(request, BlockBody)
    return await _put(control, body, "block", body.score, caller)


async def allow(control: Control, request: web.Request, caller: Caller) -> Answer:
    body = await body_of(request, AllowBody)
    return await _put(control, body, "allow", 0.0, caller)


async def unblock(control: Control, request: web.Request, caller: Caller) -> Answer:
    """Removes operators' entries; 409 with the names when something else goes on blocking the target."""
    target = query_target(request)
    removed, applied = await _remove(control, target, "block", caller)
    answer: Json = {"target": target, "removed": [entry_json(entry) for entry in removed]}
    if applied is not None:
        answer = _with_applied(answer, applied)
    if still := _still_blocked(control, target):
        return 409, stamped(control, {**answer, **still})
    if not removed:
        raise RequestRefusedError(404, "not_found", f"no operator's block has the target {target!r}")
    return 200, stamped(control, answer)


async def unallow(control: Control, request: web.Request, caller: Caller) -> Answer:
    target = query_target(request)
    removed, applied = await _remove(control, target, "allow", caller)
    if applied is None:
        raise RequestRefusedError(404, "not_found", f"no operator's allow has the target {target!r}")
    answer: Json = {"target": target, "removed": [entry_json(entry) for entry in removed]}
    return 200, stamped(control, _with_applied(answer, applied))


async def denials(control: Control, request: web.Request, _caller: Caller) -> Answer:
    """Newest first."""
    count = query_count(request, "limit", _DEFAULT_PAGE_COUNT)
    await control.denials.flush()
    found = await control.store.denials(count, request.query.get("client"))
    lines: list[Any] = [orjson.loads(denial.line) for denial in found]
    return 200, stamped(
        control, {"denials": lines, "count": len(lines), "dropped": control.denials.dropped_count}
    )


async def audit(control: Control, request: web.Request, _caller: Caller) -> Answer:
    """Newest first."""
    lines = await control.store.audit(query_count(request, "limit", _DEFAULT_PAGE_COUNT))
    rows = [
        {
            "time": line.time_ms / 1000,
            "author": line.author,
            "action": line.action,
            "target": line.target,
            "outcome": line.outcome,
            "detail": line.detail,
        }
        for line in lines
    ]
    return 200, stamped(control, {"audit": rows, "count": len(rows)})


def canonical(text: str) -> tuple[str, str]:
    """(canonical target, `network` or `domain`). Raises RequestRefusedError with the value and the reason."""
    try:
        return canonical_target(text)
    except ValueError as error:
        raise RequestRefusedError(400, "invalid_target", str(error)) from error


def _looked_up_or_error(control: Control, target: str) -> Json:
    try:
        return _looked_up(control, target)
    except RequestRefusedError as error:
        return {"target": target, "error": "invalid_target", "message": str(error)}


def _looked_up(control: Control, target: str) -> Json:
    subject, family = canonical(target)
    kind = "address" if family == "network" else "domain"
    if family == "network":
        host, _, length = subject.partition("/")
        if length and length != ("128" if ":" in host else "32"):
            raise RequestRefusedError(
                400, "invalid_target", f"{target!r} is a network; look up one address of it"
            )
        subject = host
    return lookup_json(control, subject, kind, _explain(control, subject))


def _explain(control: Control, subject: str) -> Explanation | None:
    blocklist = control.state.blocklist
    if blocklist is None:
        return None
    blocklist.advance(int(time.time()))
    return blocklist.explain(subject)


def _entries(control: Control, request: web.Request, disposition: str) -> Answer:
    wanted = request.query.get("target")
    targets = _targets(control, wanted) if wanted is not None else None
    found = [
        entry_json(entry)
        for entry in sorted(control.state.live(), key=lambda item: item.created, reverse=True)
        if entry.disposition == disposition and (targets is None or entry.target in targets)
    ]
    count = query_count(request, "limit", _DEFAULT_PAGE_COUNT)
    name = "blocks" if disposition == "block" else "allows"
    return 200, stamped(control, {name: found[:count], "count": len(found)})


async def _put(control: Control, body: AllowBody, disposition: str, score: float, caller: Caller) -> Answer:
    change = policy.Change(
        target=body.target,
        disposition=disposition,
        author=caller.name,
        score=score,
        reason=body.reason,
        ttl_seconds=body.ttl_seconds,
        categories=body.categories,
        kind=body.kind,
    )
    canonical(body.target)
    live_count = len(control.state.entries)
    wait_seconds = control.running.settings.control.apply_seconds
    try:
        entry = policy.plan(change, control.running.rules, now=int(time.time()), live_count=live_count)
        applied = await control.changes.put(entry, caller.name, body.idempotency_key, wait_seconds)
    except (PolicyRefused, StoreError) as error:
        await note(control, caller, disposition, body.target, "refused", str(error))
        raise
    await note(control, caller, disposition, entry.target, "applied", body.reason)
    stored = ManualEntry.from_wire(applied.record.payload)
    answer = _with_applied({"entry": entry_json(stored), "replayed": applied.is_replay}, applied)
    return (200 if applied.is_replay else 201), stamped(
        control, answer, (applied.record.epoch, applied.record.sequence)
    )


async def _remove(
    control: Control, target: str, disposition: str, caller: Caller
) -> tuple[list[ManualEntry], Applied | None]:
    targets = _targets(control, target)
    found = [
        entry
        for entry in control.state.entries.values()
        if entry.disposition == disposition and entry.origin == "operator" and entry.target in targets
    ]
    if not found:
        return [], None
    wait_seconds = control.running.settings.control.apply_seconds
    action = f"un{disposition}"
    try:
        applied = await control.changes.remove([entry.key for entry in found], caller.name, wait_seconds)
    except StoreError as error:
        await note(control, caller, action, target, "refused", str(error))
        raise
    await note(control, caller, action, target, "applied")
    return found, applied


def _targets(control: Control, text: str) -> set[str]:
    """What an entry for `text` may be called: as given, and widened as a block by hand is."""
    exact, _ = canonical(text)
    widened, _ = policy.subject(text, control.running.rules)
    as_network, _ = policy.subject(exact, control.running.rules)
    return {exact, widened, as_network}


def _still_blocked(control: Control, target: str) -> Json | None:
    """What goes on denying the target, if anything, and the way out."""
    name, family = canonical(target)
    subject = name.partition("/")[0] if family == "network" else name
    explanation = _explain(control, subject)
    if explanation is None or not would_deny(control, explanation.verdict):
        return None
    rows = [
        item
        for item in explanation.covering
        if item.is_live and not item.is_vetoed and item.entry.disposition == "block"
    ]
    names = sorted({source for item in rows for source in item.entry.sources})
    wider = [item.entry.target for item in rows if item.entry.origin == "operator"]
    hint = f"sentra-proxy allow {target} --ttl 3600"
    message = f"{target} is still blocked by {', '.join(names)}"
    if wider:
        hint = f"sentra-proxy unblock {wider[0]}"
        message += f" ({', '.join(wider)})"
    return {
        "error": "still_blocked",
        "message": f"{message}; {hint}",
        "sources": names,
        "hint": hint,
        "explain": [covering_json(item) for item in rows],
    }


def _with_applied(answer: Json, applied: Applied) -> Json:
    return {
        **answer,
        "applied": {"workers": applied.worker_count, "of": applied.worker_total},
        "sequence": version_json((applied.record.epoch, applied.record.sequence))["sequence"],
    }


async def note(
    control: Control, caller: Caller, action: str, target: str, outcome: str, detail: str = ""
) -> None:
    """One audit line and one log line. What has happened stands even when the audit fails."""
    name = events.CHANGE_APPLIED if outcome == "applied" else events.CHANGE_REFUSED
    shown = logs.shortened(target)
    logs.logger().info(name, author=caller.name, action=action, target=shown, detail=logs.shortened(detail))
    line = AuditLine(time.time_ns() // 1_000_000, caller.name, action, target, outcome, detail[:500])
    try:
        await control.store.add_audit(line)
    except StoreError as error:
        logs.logger().error(events.AUDIT_FAILED, reason=str(error))
