"""Checks over more than one section -> the key at fault and what is wrong with it.

A validator of the model can only blame its own section; here a fault gets the line that has to be changed.
"""

from collections.abc import Iterator

from proxy.settings.cross_listeners import listener_faults
from proxy.settings.lanes import UPSTREAM_PREFIX
from proxy.settings.model import Settings
from proxy.settings.toml_lines import KeyPath
from proxy.settings.types import UpstreamUrl
from proxy.settings.upstreams import DEFAULT_NAME, HOST_OF_TARGET, NATIVE_KEYS, UpstreamKeys, UpstreamSettings

Fault = tuple[KeyPath, str]


def cross_faults(settings: Settings) -> Iterator[Fault]:
    yield from listener_faults(settings)
    yield from _upstream_names(settings)
    yield from _upstream_keys(settings)
    yield from _engine(settings)
    yield from _route_names(settings)
    yield from _route_upstreams(settings)
    yield from _lanes(settings)
    yield from _host_headers(settings)
    yield from _drop_score(settings)
    yield from _rate_limit_names(settings)


def _route_names(settings: Settings) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, route in enumerate(settings.routes):
        if route.name in seen:
            rule = "is another route's name too; logs and metrics could not tell them apart"
            yield ("routes", index, "name"), f"{route.name!r} {rule}"
        seen.add(route.name)


def _route_upstreams(settings: Settings) -> Iterator[Fault]:
    known = upstream_names(settings)
    for index, route in enumerate(settings.routes):
        if route.upstream not in known:
            yield (
                ("routes", index, "upstream"),
                f"there is no upstream {route.upstream!r}; there is {', '.join(sorted(known))}",
            )


def _host_headers(settings: Settings) -> Iterator[Fault]:
    """The one is written when the route is known, the other when the target is: the later one would win."""
    of_target = {item.name for item in settings.upstreams if item.host_header == HOST_OF_TARGET}
    if settings.upstream.host_header == HOST_OF_TARGET:
        of_target.add(DEFAULT_NAME)
    for index, route in enumerate(settings.routes):
        if route.host_header is not None and route.upstream in of_target:
            yield (
                ("routes", index, "host_header"),
                f"is of no use: upstream {route.upstream!r} asks each target by its own name",
            )


def _upstream_names(settings: Settings) -> Iterator[Fault]:
    seen: set[str] = {DEFAULT_NAME} if "upstream" in settings.model_fields_set else set()
    for index, upstream in enumerate(settings.upstreams):
        key = ("upstreams", index, "name")
        if upstream.name == DEFAULT_NAME and DEFAULT_NAME in seen:
            yield key, f"{DEFAULT_NAME!r} is the name of [upstream]; leave one of them out"
        elif upstream.name in seen:
            yield key, f"{upstream.name!r} is another upstream's name too; a route could name either"
        seen.add(upstream.name)


def _upstream_keys(settings: Settings) -> Iterator[Fault]:
    """What is of no use, or cannot go together."""
    tables: list[tuple[KeyPath, UpstreamKeys, tuple[UpstreamUrl, ...]]] = [
        (("upstream",), settings.upstream, (settings.upstream.url,))
    ]
    for index, named in enumerate(settings.upstreams):
        tables.append((("upstreams", index), named, tuple(target.url for target in named.targets)))
    for key, keys, urls in tables:
        if keys.tls.model_fields_set and not any(url.scheme == "https" for url in urls):
            yield (*key, "tls"), "belongs to targets that begin with https://, and there is none"
        if keys.health is not None and keys.proxy_protocol != "off":
            yield (*key, "health"), "cannot be used with proxy_protocol: checks do not send its header"


def _engine(settings: Settings) -> Iterator[Fault]:
    if settings.edge.engine == "aiohttp":
        rule = "needs edge.engine 'native'; 'aiohttp' knows [upstream] alone"
        for key, given in (
            ("upstreams", settings.upstreams),
            ("routes", settings.routes),
            ("lanes", settings.lanes),
        ):
            if given:
                yield (key, 0), rule
        if settings.access_log.enabled:
            yield ("access_log", "enabled"), "needs edge.engine 'native'; 'aiohttp' writes none"
        if settings.upstream.url.scheme != "http":
            yield ("upstream", "url"), "must begin with http:// while edge.engine is 'aiohttp'"
        for name in sorted(NATIVE_KEYS):
            # The example has every key at its default, and is copied whole.
            if getattr(settings.upstream, name) != UpstreamSettings.model_fields[name].default:
                yield ("upstream", name), "needs edge.engine 'native'; 'aiohttp' does not know it"


def upstream_names(settings: Settings) -> frozenset[str]:
    return frozenset({DEFAULT_NAME, *(upstream.name for upstream in settings.upstreams)})


def _lanes(settings: Settings) -> Iterator[Fault]:
    seen: set[str] = set()
    known = upstream_names(settings)
    for index, lane in enumerate(settings.lanes):
        if lane.name in seen:
            yield ("lanes", index, "name"), f"{lane.name!r} is another lane's name too; routes could not tell"
        seen.add(lane.name)
        if lane.upstream not in known:
            yield (
                ("lanes", index, "upstream"),
                f"there is no upstream {lane.upstream!r}; there is {', '.join(sorted(known))}",
            )
        elif any(url.scheme == "https" for url in settings.upstream_urls(lane.upstream)):
            yield (
                ("lanes", index, "upstream"),
                f"{lane.upstream!r} is reached over TLS; a lane's upstream is http:// or unix:",
            )
    for index, route in enumerate(settings.routes):
        if route.lane is not None and route.lane not in seen:
            there = f"there is {', '.join(sorted(seen))}" if seen else "write a table [[lanes]]"
            yield ("routes", index, "lane"), f"there is no lane {route.lane!r}; {there}"
    for index, upstream in enumerate(settings.upstreams):
        if upstream.name.startswith(UPSTREAM_PREFIX):
            yield ("upstreams", index, "name"), f"must not begin with {UPSTREAM_PREFIX}: such are the lanes"


def _drop_score(settings: Settings) -> Iterator[Fault]:
    """A dropped connection has no route yet: nothing may be dropped that a route would have let through."""
    drop_score = settings.edge.drop_score
    if drop_score is None:
        return
    for index, route in enumerate(settings.routes):
        if route.mode == "observe":
            yield (
                ("routes", index, "mode"),
                "cannot be 'observe' while edge.drop_score is set: a dropped connection is not observed",
            )
        if route.block_score is not None and drop_score < route.block_score:
            yield (
                ("routes", index, "block_score"),
                f"must not lie above edge.drop_score, which is {drop_score:g}, is {route.block_score:g}",
            )


def _rate_limit_names(settings: Settings) -> Iterator[Fault]:
    """A route has the edge's limits too: what a client is told names each."""
    taken = {limit.name for limit in settings.edge.rate_limits}
    for index, route in enumerate(settings.routes):
        for place, limit in enumerate(route.rate_limits):
            if limit.name in taken:
                yield (
                    ("routes", index, "rate_limits", place, "name"),
                    f"{limit.name!r} is a limit of [edge] too; clients could not tell them apart",
                )
