"""Summaries -> what the admin API says about traffic. Pure; large windows are put together in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from proxy.control.sight.periods import floor
from proxy.control.sight.traffic import (
    COUNTS,
    MEASURES,
    NO_ROUTE,
    Ranking,
    RouteTraffic,
    Traffic,
    together,
)
from proxy.store.summaries import Summary

Json = dict[str, Any]

# A bucket is a quarter of its lower bound wide at most, and its upper bound is what is told.
LATENCY_NOTE: Final = "upper bounds of buckets, at most 25 % above the true value"
_PERCENTILES: Final = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Window:
    """[since, now]; `heard` of `known` pods speak in it."""

    since_ms: int
    now_ms: int
    heard_count: int
    known_count: int

    def to_json(self, covered_seconds: float) -> Json:
        """`covered_seconds`: of the window, by pod on average, in which somebody counted."""
        return {
            "pods": f"{self.heard_count}/{self.known_count}",
            "window": {
                "from": self.since_ms / 1000,
                "until": self.now_ms / 1000,
                "seconds": round((self.now_ms - self.since_ms) / 1000, 3),
                "covered_seconds": round(covered_seconds / max(1, self.heard_count), 3),
            },
        }


def top_clients(rows: Sequence[Summary], window: Window, order: str, count: int) -> Json:
    """Who came to most of `order`, and what is known of their other measures."""
    # Of the routes hardly anything: a day of them takes longer to read than the clients.
    traffic = together(Traffic.from_wire(row.content, NO_ROUTE) for row in rows)
    rankings = {measure: traffic.rankings.get(measure, Ranking()) for measure in MEASURES}
    first = rankings[order].clients
    names = sorted(first, key=lambda client: -first[client].count)[:count]
    return {
        "by": "client",
        "order": order,
        "clients": [{"client": name, **_measured(rankings, name)} for name in names],
        "totals": {measure: ranking.total for measure, ranking in rankings.items()},
        "unlisted_at_most": {measure: ranking.unlisted for measure, ranking in rankings.items()},
        "note": "a client's true count lies between what is told and `at_most`; IPv6 by /64",
        **window.to_json(traffic.seconds),
    }


def _measured(rankings: Mapping[str, Ranking], client: str) -> Json:
    found: Json = {}
    for measure, ranking in rankings.items():
        listed = ranking.clients.get(client)
        count = 0 if listed is None else listed.count
        error = ranking.unlisted if listed is None else listed.error
        found[measure] = {"count": count, "at_most": count + error}
    return found


def top_routes(rows: Sequence[Summary], window: Window, order: str, count: int) -> Json:
    traffic = together(Traffic.from_wire(row.content, measures=()) for row in rows)
    names = sorted(traffic.routes, key=lambda name: (-traffic.routes[name].counts[order], name))
    shown = [name for name in names if traffic.routes[name]][:count]
    return {
        "by": "route",
        "order": order,
        "routes": [{"route": name or None, **route_json(traffic.routes[name])} for name in shown],
        "totals": route_json(_all_routes(traffic)),
        "note": "exact; route null: what no route counted, such as heads that were refused",
        "latency_note": LATENCY_NOTE,
        **window.to_json(traffic.seconds),
    }


def analytics(rows: Sequence[Summary], window: Window, route: str | None, step_ms: int) -> Json:
    """One route, or all of them together and each by itself. `rows`: oldest first."""
    by_step = groupby(rows, lambda row: floor(row.start_ms, step_ms))
    # One summary at a time: all of a day's at once would be too much to hold.
    steps = {
        start: together(Traffic.from_wire(row.content, route, ()) for row in found)
        for start, found in by_step
    }
    whole = together(steps.values())
    answer: Json = {
        "totals": route_json(_chosen(whole, route)),
        "traffic": [
            {"start": start / 1000, **route_json(_chosen(traffic, route))} for start, traffic in steps.items()
        ],
        "step_seconds": step_ms // 1000,
        "latency_note": LATENCY_NOTE,
        **window.to_json(whole.seconds),
    }
    if route is None:
        names = sorted(name for name, found in whole.routes.items() if found)
        answer["routes"] = [{"route": name or None, **route_json(whole.routes[name])} for name in names]
    return answer


def has_route(rows: Iterable[Summary], route: str) -> bool:
    return any(Traffic.from_wire(row.content, route, ()).routes for row in rows)


def route_json(route: RouteTraffic) -> Json:
    counts = {name: route.counts[name] for name in COUNTS}
    requests = counts["requests"]
    return {
        **{
            name: counts[name] for name in ("requests", "denied", "limited", "errors", "client_gone", "bytes")
        },
        "error_rate": round(counts["errors"] / requests, 6) if requests else 0.0,
        "responses": {f"{digit}xx": counts[f"responses_{digit}xx"] for digit in range(1, 6)},
        "latency_ms": percentiles(route.latency),
    }


def percentiles(latency: Mapping[int, int]) -> dict[str, float | None]:
    """Buckets (microseconds -> count) -> milliseconds below which so many per cent lie; None: no answers."""
    total = sum(latency.values())
    found: dict[str, float | None] = {}
    for percent in _PERCENTILES:
        found[f"p{percent}"] = None
        reached = 0
        for bound, count in sorted(latency.items()):
            reached += count
            if reached * 100 >= total * percent:
                found[f"p{percent}"] = bound / 1000
                break
    return found


def _chosen(traffic: Traffic, route: str | None) -> RouteTraffic:
    return _all_routes(traffic) if route is None else traffic.routes.get(route, RouteTraffic())


def _all_routes(traffic: Traffic) -> RouteTraffic:
    made = RouteTraffic()
    for route in traffic.routes.values():
        made.add(route)
    return made


__all__ = ["NO_ROUTE", "Window", "analytics", "has_route", "top_clients", "top_routes"]
