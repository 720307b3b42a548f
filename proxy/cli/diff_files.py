"""`sentra-proxy diff`: two decision files -> what came, went and changed, and what that covers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.cli import printing
from proxy.cli.opening import Opened, opened
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from fastmatch._native import Blocklist, Entry
    from proxy.blocklist.difference import Difference, Side

_FAMILIES = ("ipv4", "ipv6", "domains")
_MAXIMUM_SOURCES = 64
_Row = dict[str, Any]


def add(verbs: Any) -> None:  # noqa: ANN401 argparse does not name what add_subparsers gives
    verb = verbs.add_parser("diff", help="what changed between two decision files")
    verb.add_argument("before", type=Path, metavar="A")
    verb.add_argument("after", type=Path, metavar="B")
    verb.add_argument(
        "--limit", type=int, default=10, metavar="N", help="show so many entries of each kind, default 10"
    )
    verb.add_argument("--json", action="store_true", help="as JSON")
    verb.set_defaults(command=diff)


def diff(parsed: argparse.Namespace) -> int:
    """Exit 0 with or without differences: 1 means that a file could not be used."""
    if parsed.limit < 0:
        raise ConfigError(f"--limit {parsed.limit}: at least 0")
    before, after = opened(parsed.before), opened(parsed.after)
    missing = [str(item.decision) for item in (before, after) if item.evidence is None]
    answer: _Row = {
        "before": _described(before),
        "after": _described(after),
        "without_evidence": missing,
        "entries": None,
        "addresses": None,
        "by_source": None,
        "sources_left_out": None,
    }
    if not missing:
        answer |= _compared(before.blocklist, after.blocklist, parsed.limit)
    if parsed.json:
        printing.json_document(answer)
    else:
        printing.line("\n".join(_text(answer)))
    return 0


def _described(lists: Opened) -> _Row:
    epoch, sequence = lists.blocklist.version
    return {
        "decision": str(lists.decision),
        "version": {"epoch": epoch, "sequence": sequence},
        "created": lists.blocklist.created,
        "entries": {name: lists.blocklist.stats[name] for name in _FAMILIES},
    }


def _compared(before: Blocklist, after: Blocklist, limit: int) -> _Row:
    from proxy.blocklist import coverage  # start of `sentra-proxy --help` must not load it
    from proxy.blocklist.difference import difference  # as above

    found = difference(before, after, limit)
    sources = sorted({*found.sources, *coverage.sources_of(before), *coverage.sources_of(after)})
    # What each covers costs two passes over the lists: of very many, those that changed most.
    sources.sort(key=lambda name: -sum(side.by_source[name] for side in found.sides))
    change = coverage.change(coverage.covered(before), coverage.covered(after))
    return {
        "entries": {
            "added": _side(found.added),
            "removed": _side(found.removed),
            "changed": {
                "count": found.changed.count,
                "first": [
                    {"before": _entry(was), "after": _entry(now)}
                    for was, now in zip(found.changed_before, found.changed.first, strict=False)
                ],
            },
        },
        "addresses": change.to_json(),
        "by_source": [_of_source(name, found, before, after) for name in sorted(sources[:_MAXIMUM_SOURCES])],
        "sources_left_out": sorted(sources[_MAXIMUM_SOURCES:]),
    }


def _of_source(name: str, found: Difference, before: Blocklist, after: Blocklist) -> _Row:
    from proxy.blocklist import coverage  # start of `sentra-proxy --help` must not load it

    change = coverage.change(coverage.covered(before, source=name), coverage.covered(after, source=name))
    return {
        "source": name,
        "added": found.added.by_source[name],
        "removed": found.removed.by_source[name],
        "changed": found.changed.by_source[name],
        "newly_covered": change.added.to_json(),
        "no_longer_covered": change.removed.to_json(),
    }


def _side(side: Side) -> _Row:
    return {"count": side.count, "first": [_entry(entry) for entry in side.first]}


def _entry(entry: Entry) -> _Row:
    return {
        "target": entry.target,
        "kind": entry.kind,
        "disposition": entry.disposition,
        "origin": entry.origin,
        "score": round(entry.score, 1),
        "categories": entry.categories,
        "sources": entry.sources,
        "reason": entry.reason,
        "expires": entry.expires,
    }


def _text(answer: _Row) -> list[str]:
    lines = [_file_line(answer["before"]), _file_line(answer["after"]), ""]
    if answer["without_evidence"]:
        names = ", ".join(answer["without_evidence"])
        return [*lines, f"no evidence beside {names}: entries and coverage cannot be compared, only counts"]
    entries, addresses = answer["entries"], answer["addresses"]
    counts = {name: entries[name]["count"] for name in ("added", "removed", "changed")}
    lines.append("entries: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    lines.append("IPv4 addresses listed:")
    rows = [
        (f"{value['addresses']:,}", "in", f"{value['networks24']:,}", "/24s", name.replace("_", " "))
        for name, value in addresses.items()
    ]
    lines += printing.table(rows, "rlrll")
    lines += _source_lines(answer["by_source"])
    if left_out := answer["sources_left_out"]:
        lines.append(f"  and {printing.counted(len(left_out), 'source')} that changed less")
    for sign, name in (("+", "added"), ("-", "removed")):
        lines += _entry_lines(
            name, counts[name], [f"{sign} {_shown(item)}" for item in entries[name]["first"]]
        )
    changed = [
        line for item in entries["changed"]["first"] for line in _changed(item["before"], item["after"])
    ]
    return lines + _entry_lines("changed", counts["changed"], changed)


def _file_line(described: _Row) -> str:
    entries = described["entries"]
    counts = f"{entries['ipv4']:,} IPv4, {entries['ipv6']:,} IPv6, {entries['domains']:,} domains"
    return f"{described['decision']}: {counts}, compiled {printing.moment(described['created'])}"


def _source_lines(sources: list[_Row]) -> list[str]:
    rows: list[tuple[str, ...]] = [("added", "removed", "changed", "newly covered", "no longer", "source")]
    for item in sources:
        counts = (f"{item[name]:,}" for name in ("added", "removed", "changed"))
        covered = (f"{item[name]['addresses']:,}" for name in ("newly_covered", "no_longer_covered"))
        if any(item[name] for name in ("added", "removed", "changed")):
            rows.append((*counts, *covered, printing.escaped(item["source"], 64)))
    return ["", "by source:", *printing.table(rows, "rrrrrl")] if len(rows) > 1 else []


def _entry_lines(name: str, count: int, shown: list[str]) -> list[str]:
    if not shown:
        return []
    entry_count = len(shown) if name != "changed" else len(shown) // 2
    title = name if count == entry_count else f"{name}, the first {entry_count:,} of {count:,}"
    return ["", f"{title}:", *(f"  {line}" for line in shown)]


def _changed(before: _Row, after: _Row) -> tuple[str, str]:
    return f"~ {_shown(before)}", f"> {_shown(after)}"


def _shown(entry: _Row) -> str:
    what = f"block {entry['score']:g}" if entry["disposition"] == "block" else entry["disposition"]
    kind = "" if entry["kind"] in ("network", "suffix") else f" ({entry['kind']})"
    parts = [f"{entry['target']}{kind}", what, f"{entry['origin']} {', '.join(entry['sources'])}"]
    parts += [", ".join(entry["categories"])] if entry["categories"] else []
    parts += [f"until {printing.moment(entry['expires'])}"] if entry["expires"] is not None else []
    parts += [entry["reason"]] if entry["reason"] else []
    return printing.escaped("  ".join(parts), 300)
