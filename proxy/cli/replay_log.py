"""`sentra-proxy replay`: an access log -> what the lists would have denied of it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.cli import printing
from proxy.cli.opening import unusable
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from fastmatch._native import Blocklist

_DEFAULT_SCORE = 7.0
_SHOWN_LINE = 120


def add(verbs: Any) -> None:  # noqa: ANN401 argparse does not name what add_subparsers gives
    verb = verbs.add_parser(
        "replay",
        help="what the lists would have denied of an access log",
        description="Judges the requests of an access log (nginx, Apache, HAProxy httplog, Envoy, JSON lines;"
        " gzip too) by the lists as they are now.",
    )
    verb.add_argument("log", metavar="ACCESSLOG", help="a file, or - for standard input")
    verb.add_argument(
        "--decision", type=Path, metavar="FILE", help="judge by this file; default: what the workers run"
    )
    verb.add_argument(
        "--config", type=Path, metavar="FILE", help="default: $SENTRA_CONFIG, else ./sentra.toml if there"
    )
    verb.add_argument("--format", choices=("auto", "combined", "haproxy", "envoy", "json"), default="auto")
    verb.add_argument("--score", type=float, help="deny from here; default: edge.block_score")
    verb.add_argument(
        "--trusted",
        action="append",
        metavar="NETWORK",
        help="proxies whose X-Forwarded-For counts; default: edge.trusted_proxies with the running lists",
    )
    verb.add_argument("--top", type=int, default=10, metavar="N", help="so many addresses and hosts")
    verb.add_argument("--json", action="store_true", help="the report as JSON")
    verb.set_defaults(command=replay)


def replay(parsed: argparse.Namespace) -> int:
    """Exit 1 when the log ends in the middle or no line could be read; the report is printed all the same."""
    from proxy.replay.formats import READERS, AnyFormat  # start of `sentra-proxy --help` must not load it
    from proxy.replay.lines import LogError, lines, opened  # as above
    from proxy.replay.report import Replay  # as above
    from proxy.replay.subjects import Clients  # as above

    if parsed.top < 0:
        raise ConfigError(f"--top {parsed.top}: at least 0")
    blocklist, name, score, trusted = _lists(parsed)
    blocklist.advance(int(time.time()))
    reader = AnyFormat() if parsed.format == "auto" else READERS[parsed.format]
    run = Replay(blocklist, reader, Clients(trusted), score)
    fault = None
    try:
        with opened(parsed.log) as file:
            run.run(lines(file))
    except LogError as error:
        fault = str(error)
    report = run.report.to_json(parsed.top)
    answer = {"log": parsed.log, "lists": name, "version": list(blocklist.version), **report, "fault": fault}
    if fault is None and not report["requests"] and report["unreadable"]["count"]:
        formats = "any known format; --format says which" if parsed.format == "auto" else parsed.format
        fault = f"{parsed.log}: no line could be read as {formats}"
    if parsed.json:
        printing.json_document({**answer, "fault": fault})
    elif report["requests"] or fault is None:
        printing.line("\n".join(_text(answer)))
    elif shown := _unreadable(report["unreadable"]):
        printing.line("\n".join(shown[1:]))
    if fault is not None:
        sys.stderr.write(f"{printing.escaped(fault, 1000)}\n")
    return 0 if fault is None else 1


def _lists(parsed: argparse.Namespace) -> tuple[Blocklist, str, float, tuple[str, ...]]:
    """(lists, what they are, score from which to deny, trusted proxies)."""
    from fastmatch._native import Blocklist  # start of `sentra-proxy --help` must not load the extension

    if parsed.score is not None and not 0 <= parsed.score <= 10:
        raise ConfigError(f"--score {parsed.score:g}: a score is 0 to 10")
    trusted = tuple(parsed.trusted or ())
    if parsed.decision is not None:
        try:
            blocklist = Blocklist.open(str(parsed.decision), prefault=False)
        except (OSError, ValueError) as error:
            raise unusable(error, parsed.decision) from error
        return blocklist, str(parsed.decision), _or_default(parsed.score, _DEFAULT_SCORE), trusted
    from proxy.cli.commands import config_path  # only now they are needed
    from proxy.replay.running import running_lists  # as above
    from proxy.settings import load_settings  # as above

    running = running_lists(load_settings(config_path(parsed)).state.run)
    score = _or_default(parsed.score, running.config.block_score)
    trusted = running.config.trusted_proxies if parsed.trusted is None else trusted
    return running.blocklist, f"the running lists ({running.decision})", score, trusted


def _or_default(value: float | None, default: float) -> float:
    return default if value is None else value


def _text(answer: dict[str, Any]) -> list[str]:
    requests, denied = answer["requests"], answer["would_deny"]
    lines = [
        f"{printing.escaped(answer['log'])}: {printing.counted(requests, 'request')}{_span(answer)}",
        f"judged by {answer['lists']}, denied from score {answer['block_score']:g}",
        "",
        f"would deny {denied:,} ({printing.share(denied, requests)}){_subjects(answer['by_subject'])}",
    ]
    if answer["known_below"]:
        lines.append(f"known, but allowed or below that score: {answer['known_below']:,}")
    if answer["without_client"]:
        lines.append(f"without a client address, judged by host only: {answer['without_client']:,}")
    for title, name in (("source", "by_source"), ("category", "by_category"), ("score", "by_score")):
        lines += _breakdown(title, answer[name], denied)
    lines += _top("addresses", answer["top_addresses"]) + _top("hosts", answer["top_hosts"])
    return lines + _unreadable(answer["unreadable"])


def _span(answer: dict[str, Any]) -> str:
    if answer["first"] is None:
        return ""
    return f", {printing.moment(answer['first'])} to {printing.moment(answer['last'])}"


def _subjects(counts: dict[str, int]) -> str:
    return "".join(f", {count:,} by {name}" for name, count in counts.items())


def _breakdown(title: str, counts: dict[str, int], total: int) -> list[str]:
    if not counts:
        return []
    rows = [
        (f"{count:,}", printing.share(count, total), printing.escaped(name, 64))
        for name, count in counts.items()
    ]
    return ["", f"by {title}:", *printing.table(rows, "rrl")]


def _top(title: str, counts: dict[str, Any]) -> list[str]:
    if not counts["top"]:
        return []
    differ = f"of {counts['differ']:,}" if counts["exact"] else "of too many: counts are lower bounds"
    rows = [(f"{item['requests']:,}", printing.escaped(item["name"], 80)) for item in counts["top"]]
    return ["", f"top {title} ({differ}):", *printing.table(rows, "rl")]


def _unreadable(unreadable: dict[str, Any]) -> list[str]:
    if not unreadable["count"]:
        return []
    return [
        "",
        f"{printing.counted(unreadable['count'], 'line')} could not be read, the first:",
        *(
            f"  line {item['line']}: {item['reason']}: '{printing.escaped(item['text'], _SHOWN_LINE)}'"
            for item in unreadable["first"]
        ),
    ]
