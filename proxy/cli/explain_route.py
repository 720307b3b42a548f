"""`check --explain URL`: a request that nobody sent -> the routes it is held against, and its end.

The tables and the codec are the workers' own: there is no second opinion here that could differ.
"""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from fastmatch._native import DENY, NO_ROUTE, Downstream, Gate, Segment
from proxy.cli import printing
from proxy.control.edge_config import to_edge_config
from proxy.edge.config import EdgeConfig
from proxy.edge.config_routes import RouteConfig
from proxy.edge.context import gate_config
from proxy.settings import Settings, locate

EXIT_TAKEN = 0
EXIT_REFUSED = 1
# Every bit below the flags.
_KIND_MASK = 15
# The client that asks; no list is loaded, so it is nobody in particular.
_CLIENT = "192.0.2.1"

_URL = re.compile(r"^https?://(?P<host>[^/?#]+)(?P<target>[^#]*)", re.IGNORECASE)
_REASONS = {
    None: "fits",
    "host": "host differs",
    "path": "path differs",
    "method": "method differs",
    "header": "a header is missing or differs",
}


def explain(parsed: argparse.Namespace, settings: Settings, path: Path | None) -> int:
    """Exit status 1 when the request reaches neither an upstream nor an answer of a route."""
    match = _URL.match(parsed.explain)
    if match is None:
        sys.stderr.write(f"--explain: {parsed.explain!r} is not a URL such as http://api.example/v1/users\n")
        return EXIT_REFUSED
    head = _head(parsed.method, match["host"], match["target"] or "/", parsed.header)
    # Verdicts are not asked for: without a list everybody may pass.
    config = replace(to_edge_config(settings), on_missing="open", trusted_proxies=())
    tables = gate_config(config)
    outcome = Downstream(Gate(tables, Segment.create(1), 0), _CLIENT).head(head)
    if not isinstance(outcome, tuple):
        status = -outcome if outcome is not None else 400
        printing.line(f"refused with {status}: {_refusal(status)}")
        return EXIT_REFUSED
    action, taken, out, *_ = outcome
    rows = []
    for index, reason in tables.explain(head):
        mark = "->" if index == taken else "  "
        rows.append([mark, config.routes[index].name, _REASONS[reason], _place(settings, path, index)])
    printing.line("\n".join(printing.table(rows, "llll")))
    return _result(config, taken, out, is_answer=action & _KIND_MASK == DENY)


def _head(method: str, host: str, target: str, headers: list[str]) -> bytes:
    fields = [line.partition(":") for line in headers]
    lines = [f"{name.strip()}: {value.strip()}" for name, _, value in fields]
    if not any(name.strip().lower() == "host" for name, _, _ in fields):
        lines.insert(0, f"Host: {host}")
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("utf-8", "surrogateescape")


def _refusal(status: int) -> str:
    if status == 400:
        return "it is not strict HTTP, or its path leads two kinds of servers to two routes"
    return "the rules of HTTP or the limits do not let it in"


def _place(settings: Settings, path: Path | None, index: int) -> str:
    return locate(path, ("routes", index)).rpartition(": ")[0] if settings.routes else "no [[routes]]"


def _result(config: EdgeConfig, taken: int, out: bytes, *, is_answer: bool) -> int:
    start, *fields = out.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    if taken == NO_ROUTE:
        printing.line("no route fits: 404")
        return EXIT_REFUSED
    route = config.routes[taken]
    if not is_answer:
        printing.line(f"route {route.name!r}, upstream {route.upstream!r}: {start}, {fields[0]}")
        return EXIT_TAKEN
    if not _answers(route):
        printing.line(f"route {route.name!r} keeps this path of its upstream from outside: 404")
        return EXIT_REFUSED
    location = [line for line in fields if line.startswith("location: ")]
    printing.line(f"route {route.name!r} answers itself: {', '.join([start, *location])}")
    return EXIT_TAKEN


def _answers(route: RouteConfig) -> bool:
    return route.redirect is not None or route.respond is not None
