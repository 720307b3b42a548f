"""The calls of the admin API, once: the router and the OpenAPI document are both made from this table."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from proxy.control.admin import handlers, reports, stream, traffic
from proxy.control.admin.bodies import AllowBody, BlockBody, LookupBody, SimulateBody
from proxy.control.auth import Caller
from proxy.control.context import Control
from proxy.control.sight.feed import KINDS

Handler = Callable[[Control, web.Request, Caller], Awaitable[handlers.Answer | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """`query`: (name, is required, what it means)."""

    method: str
    path: str
    scope: str
    handler: Handler
    summary: str
    query: tuple[tuple[str, bool, str], ...] = ()
    body: type[BaseModel] | None = None
    statuses: tuple[int, ...] = (200,)


_TARGET = ("target", True, "An address, a network or a domain.")
_TARGET_FILTER = ("target", False, "Only the entry with this target.")
_LIMIT = ("limit", False, "1 to 1000, default 100.")

ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET", "/v1/status", "read", handlers.status, "What runs, which lists are in force, who is attached"
    ),
    Route(
        "GET", "/v1/lookup", "read", handlers.lookup, "The verdict on one target, and why", query=(_TARGET,)
    ),
    Route("POST", "/v1/lookup", "read", handlers.lookup_many, "Up to 100 targets", body=LookupBody),
    Route("GET", "/v1/blocks", "read", handlers.blocks, "Blocks by hand", query=(_TARGET_FILTER, _LIMIT)),
    Route(
        "POST",
        "/v1/blocks",
        "write",
        handlers.block,
        "Block a target",
        body=BlockBody,
        statuses=(200, 201, 409),
    ),
    Route(
        "DELETE",
        "/v1/blocks",
        "write",
        handlers.unblock,
        "Remove blocks by hand; 409 when a list goes on blocking",
        query=(_TARGET,),
        statuses=(200, 404, 409),
    ),
    Route("GET", "/v1/allows", "read", handlers.allows, "Allows by hand", query=(_TARGET_FILTER, _LIMIT)),
    Route(
        "POST",
        "/v1/allows",
        "write",
        handlers.allow,
        "Let a target through",
        body=AllowBody,
        statuses=(200, 201, 409),
    ),
    Route(
        "DELETE",
        "/v1/allows",
        "write",
        handlers.unallow,
        "Remove an allow",
        query=(_TARGET,),
        statuses=(200, 404),
    ),
    Route(
        "GET",
        "/v1/denials",
        "read",
        handlers.denials,
        "Denied requests, newest first",
        query=(("client", False, "Only this client address."), _LIMIT),
    ),
    Route(
        "GET",
        "/v1/top",
        "read",
        traffic.top,
        "Who sends most, or which route gets most",
        query=(
            ("by", False, "client (default; within bounds that are told) or route (exact)."),
            ("order", False, "requests (default), bytes, denied, limited; for routes errors, too."),
            ("window", False, "1s to 30d up to now, such as 60s or 24h, default 15m."),
            ("limit", False, "1 to 100, default 20."),
        ),
    ),
    Route(
        "GET",
        "/v1/analytics",
        "read",
        traffic.analytics,
        "How a route fares over time: counts, error rate, status classes, latency percentiles",
        query=(
            ("api_id", False, "A route's name; without it all routes, together and each by itself."),
            ("time_range", False, "24h (default), 7d or 30d."),
        ),
        statuses=(200, 404),
    ),
    Route(
        "POST",
        "/v1/simulate",
        "read",
        reports.simulate,
        "What blocks and allows would change, without making them",
        body=SimulateBody,
        statuses=(200, 409),
    ),
    Route(
        "GET",
        "/v1/lists/overlap",
        "read",
        reports.overlap,
        "What each source covers of IPv4, and what two of them share",
        query=(("minimum_score", False, "Only entries of this score or more, 0 to 10, default 0."),),
        statuses=(200, 409),
    ),
    Route(
        "GET",
        "/v1/events",
        "read",
        stream.events,
        "What happens, as server-sent events for who accepts text/event-stream, else the newest as JSON",
        query=(("kinds", False, f"Some of {','.join(KINDS)}, default all of them."), _LIMIT),
    ),
    Route("GET", "/v1/audit", "read", handlers.audit, "Who asked for which change", query=(_LIMIT,)),
)
