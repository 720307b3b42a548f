"""Answers of the admin API -> text for a person."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_CLIENT_COLUMNS = ("requests", "bytes", "denied", "limited")
_ROUTE_COLUMNS = ("requests", "denied", "limited", "errors", "bytes")

Show = Callable[[dict[str, Any]], str]


def line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def escaped(text: str, limit: int = 120) -> str:
    """What strangers wrote, for a terminal: bounded, and nothing in it moves the cursor or turns the line."""
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(one if one.isprintable() else _escape(one) for one in shown)
    return shown if len(text) <= limit else f"{shown}..."


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def share(part: int, whole: int) -> str:
    """What is there is not shown as none."""
    if not part:
        return "0 %"
    percent = 100 * part / whole
    return "< 0.1 %" if percent < 0.05 else f"{percent:.1f} %"


def size(count: int) -> str:
    """Bytes for a person: 812 B, 24.1 MB."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def table(rows: Sequence[Sequence[str]], alignment: str) -> list[str]:
    """`alignment`: a letter per column, l or r."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(alignment))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, alignment, strict=True)
        ).rstrip()
        for row in rows
    ]


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def duration(seconds: int) -> str:
    """The largest unit of which there are two: 95 s, 3 min, 26 h, 9 days."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def json_document(values: dict[str, Any]) -> None:
    # Escapes are JSON too, and what others wrote may turn a terminal upside down.
    line(json.dumps(values, indent=2))


def lookup(answer: dict[str, Any]) -> str:
    return "\n".join(_lookup_lines(answer))


def entry(done: str, answer: dict[str, Any]) -> str:
    """`done`: blocked or allowed."""
    stored, applied = answer["entry"], answer["applied"]
    until = "until removed" if stored["expires"] is None else f"until {moment(stored['expires'])}"
    again = " (this was already so)" if answer["replayed"] else ""
    return f"{done} {stored['target']} {until}{again}; in force in {_workers(applied)}"


def removed(answer: dict[str, Any]) -> str:
    names = ", ".join(item["target"] for item in answer["removed"])
    return f"removed {names}; in force in {_workers(answer['applied'])}"


def toml(values: dict[str, Any]) -> str:
    """Settings as they would stand in a file; what is unset is a comment."""
    return "\n".join(_toml_lines(values, ())).strip()


def _lookup_lines(answer: dict[str, Any]) -> Iterator[str]:
    verdict, limit = answer["verdict"], answer["block_score"]
    if answer["list"] == "missing":
        yield f"{answer['target']}: no list is in force; requests are {_acted(answer)}"
        return
    if verdict is None:
        yield f"{answer['target']}: {_acted(answer)}, no list knows it"
    elif verdict["disposition"] == "allow":
        yield f"{answer['target']}: {_acted(answer)}, allowed by {', '.join(verdict['sources'])}"
    else:
        sources = ", ".join(verdict["sources"])
        yield f"{answer['target']}: {_acted(answer)}, score {verdict['score']:g} of {limit:g} from {sources}"
    for row in answer["explain"]:
        yield _row(row)


def _acted(answer: dict[str, Any]) -> str:
    if answer["action"] == "deny":
        return "denied"
    return "would be denied (only observed)" if answer["would_deny"] else "forwarded"


def _row(row: dict[str, Any]) -> str:
    mark = "*" if row["decided"] else " "
    what = f"{row['disposition']} {row['score']:g}" if row["disposition"] == "block" else row["disposition"]
    remarks = [] if row["live"] else ["expired"]
    remarks += ["vetoed by a known-good list"] if row["vetoed"] else []
    remarks += [f"until {moment(row['expires'])}"] if row["expires"] is not None and row["live"] else []
    remarks += [escaped(", ".join(row["categories"]))] if row["categories"] else []
    remarks += [escaped(row["reason"], 300)] if row["reason"] else []
    sources = escaped(", ".join(row["sources"]))
    tail = f"  ({'; '.join(remarks)})" if remarks else ""
    return f"  {mark} {row['target']}  {what}  {row['origin']} {sources}{tail}"


def _workers(applied: dict[str, int]) -> str:
    return f"{applied['workers']} of {applied['of']} workers"


def top(answer: dict[str, Any]) -> str:
    """One line for each client or route, then what the numbers are worth."""
    rows = _clients(answer["clients"]) if answer["by"] == "client" else _routes(answer["routes"])
    lines = table(rows, "l" + "r" * (len(rows[0]) - 1)) if len(rows) > 1 else ["  nothing"]
    window = answer["window"]
    lines.append(f"{window['seconds']:g} s up to {moment(window['until'])}, pods {answer['pods']}")
    if answer["by"] == "client":
        most = answer["unlisted_at_most"][answer["order"]]
        lines.append(f"{answer['order']} of a client that is not listed: at most {most:,}")
    return "\n".join(lines)


def _clients(found: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows = [(item["client"], *(_bounded(item[name]) for name in _CLIENT_COLUMNS)) for item in found]
    return [("client", *_CLIENT_COLUMNS), *rows]


def _routes(found: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows = [
        (
            escaped(item["route"] or "(none)"),
            *(f"{item[name]:,}" for name in _ROUTE_COLUMNS),
            *(_milliseconds(item["latency_ms"][name]) for name in ("p50", "p99")),
        )
        for item in found
    ]
    return [("route", *_ROUTE_COLUMNS, "p50", "p99"), *rows]


def _bounded(measure: dict[str, int]) -> str:
    count, most = measure["count"], measure["at_most"]
    return f"{count:,}" if count == most else f"{count:,}-{most:,}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:g} ms"


def _toml_lines(values: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in values.items() if not _is_table(value)}
    if path and plain:
        yield ""
        yield f"[{'.'.join(path)}]"
    for key, value in plain.items():
        yield f"# {key} is not set" if value is None else f"{key} = {_toml_value(value)}"
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _toml_lines(value, (*path, key))
        elif _is_table(value):
            for item in value:
                yield ""
                yield f"[[{'.'.join((*path, key))}]]"
                yield from (
                    f"{name} = {_toml_value(held)}" for name, held in item.items() if held is not None
                )


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _toml_value(value: object) -> str:
    # JSON's strings, numbers, booleans and arrays of them are TOML's.
    return json.dumps(value, ensure_ascii=False)
