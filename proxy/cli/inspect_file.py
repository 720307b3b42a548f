"""`sentra-proxy inspect`: what is in a decision file, how large each part is, and whether it is whole."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.cli import printing
from proxy.cli.opening import Opened, opened

if TYPE_CHECKING:
    from fastmatch._native import Blocklist, Entry, Verdict

_FAMILIES = ("ipv4", "ipv6", "domains")
_SHOWN_VERDICTS = 40
_SHOWN_PAIRS = 20
_Said = tuple[str, float, tuple[str, ...], tuple[str, ...]]


def add(verbs: Any) -> None:  # noqa: ANN401 argparse does not name what add_subparsers gives
    verb = verbs.add_parser("inspect", help="what is in a decision file; exit 1 when it is damaged")
    verb.add_argument("file", type=Path, metavar="FILE", help="the decision file")
    verb.add_argument("--evidence", type=Path, metavar="FILE", help="default: what lies beside it")
    verb.add_argument("--overlap", action="store_true", help="what its sources cover of IPv4, and share")
    verb.add_argument("--json", action="store_true", help="as JSON, every verdict")
    verb.set_defaults(command=inspect)


def inspect(parsed: argparse.Namespace) -> int:
    """Every checksum is verified before anything is said."""
    lists = opened(parsed.file, parsed.evidence, verify=True)
    answer = _describe(lists)
    if parsed.overlap:
        answer["overlap"] = _overlap(lists)
    if parsed.json:
        printing.json_document(answer)
    else:
        printing.line("\n".join(_text(answer)))
    return 0


def _describe(lists: Opened) -> dict[str, Any]:
    blocklist = lists.blocklist
    epoch, sequence = blocklist.version
    return {
        "decision": str(lists.decision),
        "evidence": None if lists.evidence is None else str(lists.evidence),
        "verified": True,
        "version": {"epoch": epoch, "sequence": sequence},
        "created": blocklist.created,
        "age_seconds": max(0, int(time.time()) - blocklist.created),
        "entries": {name: blocklist.stats[name] for name in _FAMILIES},
        "sections": [
            {"file": file, "section": name, "bytes": count} for file, name, count in blocklist.sections
        ],
        "verdicts": _verdicts(blocklist, lists.evidence is not None),
    }


def _verdicts(blocklist: Blocklist, has_evidence: bool) -> list[dict[str, Any]]:
    """With evidence, how many entries say so, and those that never are a verdict: known_good ones."""
    numbers: Counter[_Said] = Counter()
    if has_evidence:
        numbers.update(_said(entry) for entry in blocklist.entries())
    rows = list(dict.fromkeys([*map(_said, blocklist.verdicts), *numbers]))
    rows.sort(key=lambda said: (-numbers[said], said[0], -said[1], said[3]))
    return [
        {
            "disposition": disposition,
            "score": score,
            "categories": categories,
            "sources": sources,
            "entries": numbers[disposition, score, categories, sources] if has_evidence else None,
        }
        for disposition, score, categories, sources in rows
    ]


def _said(item: Entry | Verdict) -> _Said:
    return item.disposition, round(item.score, 1), item.categories, item.sources


def _overlap(lists: Opened) -> dict[str, Any]:
    from proxy.blocklist import coverage  # start of `sentra-proxy --help` must not load it
    from proxy.errors import ListError  # as above

    try:
        return coverage.overlap(lists.blocklist).to_json()
    except LookupError as error:
        raise ListError(f"{lists.decision}: overlap needs the evidence: {error}") from error


def _text(answer: dict[str, Any]) -> list[str]:
    version, entries = answer["version"], answer["entries"]
    named = (
        f"epoch {version['epoch']}, sequence {version['sequence']}" if version["epoch"] else "not from a log"
    )
    age = printing.duration(answer["age_seconds"])
    families = f"{entries['ipv4']:,} IPv4, {entries['ipv6']:,} IPv6, {entries['domains']:,} domains"
    lines = [
        f"{answer['decision']}: {named}, compiled {printing.moment(answer['created'])}, {age} ago",
        "every checksum is right",
        f"{sum(entries.values()):,} entries: {families}",
    ]
    if answer["evidence"] is None:
        lines.append("no evidence beside it: reasons, and how many entries say what, are not known")
    lines += ["", "sections:", *_sections(answer["sections"])]
    lines += ["", *_verdict_lines(answer["verdicts"])]
    return lines + (_overlap_lines(answer["overlap"]) if "overlap" in answer else [])


def _sections(sections: list[dict[str, Any]]) -> list[str]:
    total = sum(item["bytes"] for item in sections)
    rows = [(item["file"], item["section"], f"{item['bytes']:,}") for item in sections if item["bytes"]]
    return printing.table([("file", "section", "bytes"), *rows, ("", "all", f"{total:,}")], "llr")


def _verdict_lines(verdicts: list[dict[str, Any]]) -> list[str]:
    rows = [("entries", "verdict", "sources", "categories")]
    for item in verdicts[:_SHOWN_VERDICTS]:
        what = f"block {item['score']:g}" if item["disposition"] == "block" else item["disposition"]
        count = "?" if item["entries"] is None else f"{item['entries']:,}"
        rows.append((count, what, _names(item["sources"]), _names(item["categories"])))
    more = len(verdicts) - _SHOWN_VERDICTS
    lines = [f"verdicts ({len(verdicts):,}):", *printing.table(rows, "rlll")]
    return lines if more <= 0 else [*lines, f"  and {more:,} more; --json shows all"]


def _overlap_lines(overlap: dict[str, Any]) -> list[str]:
    total = overlap["total"]
    lines = ["", f"IPv4 addresses listed: {total['addresses']:,} in {total['networks24']:,} /24s"]
    rows: list[tuple[str, ...]] = [("addresses", "/24s", "alone", "source")]
    for item in overlap["sources"]:
        counts = (f"{item[name]:,}" for name in ("addresses", "networks24", "alone"))
        rows.append((*counts, printing.escaped(item["source"], 64)))
    lines += printing.table(rows, "rrrl") if len(rows) > 1 else []
    sizes = {item["source"]: item["addresses"] for item in overlap["sources"]}
    pairs = [("shared", "/24s", "which is")]
    for item in overlap["pairs"][:_SHOWN_PAIRS]:
        shares = (
            f"{printing.share(item['addresses'], sizes[name])} of {printing.escaped(name, 64)}"
            for name in (item["first"], item["second"])
        )
        pairs.append((f"{item['addresses']:,}", f"{item['networks24']:,}", " and ".join(shares)))
    return [*lines, "", *printing.table(pairs, "rrl")] if len(pairs) > 1 else lines


def _names(names: tuple[str, ...]) -> str:
    return printing.escaped(", ".join(names), 80) or "-"
