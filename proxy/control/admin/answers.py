"""Values of the control process -> the JSON of the admin API."""

import time
from typing import Any

from fastmatch._native import Covering, Explanation, Verdict
from proxy.control.admin.upstreams import default_upstream_text, upstreams_json
from proxy.control.context import Control
from proxy.control.state import Version
from proxy.store.records import ManualEntry

Json = dict[str, Any]


def version_json(version: Version) -> Json:
    return {"epoch": version[0], "sequence": version[1]}


def stamped(control: Control, answer: Json, version: Version | None = None) -> Json:
    """Every answer says which version it speaks for. `committed`: it stands in the store, not only here."""
    return {**answer, "version": version_json(version or control.state.version), "committed": True}


def entry_json(entry: ManualEntry) -> Json:
    return {
        "target": entry.target,
        "kind": entry.kind,
        "disposition": entry.disposition,
        "origin": entry.origin,
        "score": entry.score,
        "source": entry.source,
        "categories": entry.categories,
        "reason": entry.reason,
        "created": entry.created,
        "expires": entry.expires,
    }


def verdict_json(verdict: Verdict | None) -> Json | None:
    if verdict is None:
        return None
    return {
        "disposition": verdict.disposition,
        "score": round(verdict.score, 1),
        "categories": verdict.categories,
        "sources": verdict.sources,
    }


def covering_json(covering: Covering) -> Json:
    entry = covering.entry
    return {
        "target": entry.target,
        "kind": entry.kind,
        "disposition": entry.disposition,
        "origin": entry.origin,
        "score": round(entry.score, 1),
        "sources": entry.sources,
        "categories": entry.categories,
        "reason": entry.reason,
        "first_seen": entry.first_seen,
        "last_seen": entry.last_seen,
        "expires": entry.expires,
        "live": covering.is_live,
        "vetoed": covering.is_vetoed,
        "decided": covering.decided,
    }


def would_deny(control: Control, verdict: Verdict | None) -> bool:
    config = control.state.config
    if control.state.blocklist is None:
        return config.on_missing == "closed"
    return (
        verdict is not None
        and verdict.disposition == "block"
        and round(verdict.score, 1) >= config.block_score
    )


def lookup_json(control: Control, target: str, kind: str, explanation: Explanation | None) -> Json:
    verdict = explanation.verdict if explanation is not None else None
    config = control.state.config
    denies = would_deny(control, verdict)
    return {
        "target": target,
        "kind": kind,
        "verdict": verdict_json(verdict),
        "action": "deny" if denies and not config.observe else "forward",
        "would_deny": denies,
        "mode": _mode(control),
        "block_score": config.block_score,
        "list": "loaded" if control.state.blocklist is not None else "missing",
        "explain": [covering_json(item) for item in explanation.covering] if explanation is not None else [],
    }


def status_json(control: Control) -> Json:
    # What is in force; the settings may say otherwise after a put-back.
    config, now = control.state.config, time.time()
    counts = control.links.applied(control.state.version)
    return {
        "started": int(control.started),
        "uptime_seconds": int(now - control.started),
        "mode": _mode(control),
        "block_score": config.block_score,
        "upstream": default_upstream_text(config),
        "upstreams": upstreams_json(control),
        "stopping": control.is_draining,
        "restart_needed": control.restart_needed,
        "put_back": {name: note.to_json() for name, note in control.put_backs.items()},
        "workers": {"attached": counts[1], "current": counts[0], "list": control.links.workers()},
        "blocklist": _blocklist_json(control, now),
        "lists": _lists_json(control, now),
        "notes": control.lists.folder_notes,
        "manual": _manual_json(control, now),
        "denials": {"recorded": control.denials.recorded_count, "dropped": control.denials.dropped_count},
        "counters": control.segment.counters(),
    }


def _mode(control: Control) -> str:
    return "observe" if control.state.config.observe else "enforce"


def _blocklist_json(control: Control, now: float) -> Json:
    base, blocklist = control.state.base, control.state.blocklist
    if base is None or blocklist is None:
        return {"state": "missing", "fault": control.lists.fault, "entries": 0}
    return {
        "state": "loaded",
        "fault": control.lists.fault,
        "entries": len(blocklist),
        **blocklist.stats,
        "manual_in_base": len(base.folded.entries),
        "base": version_json((base.files.epoch, base.files.sequence)),
        "created": base.created,
        "age_seconds": max(0, int(now) - base.created),
    }


def _lists_json(control: Control, now: float) -> list[Json]:
    manifest = control.lists.manifest
    return [
        {
            "source": note.source,
            "path": note.path,
            "disposition": note.disposition,
            "state": "missing" if note.digest is None else "loaded" if note.refusal is None else "kept",
            "entries": note.accepted_count,
            "rejected": note.rejected_count,
            "loaded": note.loaded,
            "age_seconds": max(0, int(now) - note.loaded),
            "refusal": note.refusal,
        }
        for note in (manifest.lists if manifest is not None else ())
    ]


def _manual_json(control: Control, now: float) -> Json:
    live = control.state.live(now)
    blocks = sum(entry.disposition == "block" for entry in live)
    return {"blocks": blocks, "allows": len(live) - blocks}
