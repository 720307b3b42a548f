"""[[routes]] of the settings -> the routes that workers get."""

from dataclasses import replace

from proxy.control.edge_rate_limits import to_rate_limit_configs
from proxy.edge.config_routes import FixedResponse, HeaderChanges, HeaderMatch, Redirect, RouteConfig
from proxy.settings import RouteSettings, Settings
from proxy.settings.lanes import UPSTREAM_PREFIX
from proxy.settings.routes import HeaderChangeSettings, RedirectSettings, RespondSettings
from proxy.settings.upstreams import DEFAULT_NAME


def to_route_configs(settings: Settings) -> tuple[RouteConfig, ...]:
    """Without any, one for everything."""
    made = tuple(_route(route) for route in settings.routes) or (RouteConfig(),)
    # One of [[upstreams]] may be named as [upstream] is, and takes its place then.
    named = {upstream.name: upstream.hidden_paths for upstream in settings.upstreams}
    hidden = {DEFAULT_NAME: settings.upstream.hidden_paths, **named}
    # What is hidden stays so on the way through a lane.
    hidden |= {UPSTREAM_PREFIX + lane.name: hidden[lane.upstream] for lane in settings.lanes}
    return tuple(replace(route, hidden_paths=hidden.get(route.upstream, ())) for route in made)


def _route(route: RouteSettings) -> RouteConfig:
    return RouteConfig(
        name=route.name,
        hosts=route.hosts,
        path=route.path,
        path_prefix=route.path_prefix,
        methods=route.methods,
        headers=tuple(HeaderMatch(header.name, header.value) for header in route.headers),
        upstream=route.upstream if route.lane is None else UPSTREAM_PREFIX + route.lane,
        block_score=route.block_score,
        observe=None if route.mode is None else route.mode == "observe",
        domains=route.domains,
        body_bytes=route.body_bytes,
        host_header=route.host_header,
        rate_limits=to_rate_limit_configs(route.rate_limits),
        strip_prefix=route.strip_prefix,
        add_prefix=route.add_prefix,
        request_headers=_changes(route.request_headers),
        response_headers=_changes(route.response_headers),
        redirect=_redirect(route.redirect),
        respond=_respond(route.respond),
    )


def _changes(changes: HeaderChangeSettings) -> HeaderChanges:
    return HeaderChanges(
        set=tuple(changes.set.items()), add=tuple(changes.add.items()), remove=changes.remove
    )


def _redirect(redirect: RedirectSettings | None) -> Redirect | None:
    return None if redirect is None else Redirect(redirect.status, redirect.location)


def _respond(respond: RespondSettings | None) -> FixedResponse | None:
    return None if respond is None else FixedResponse(respond.status, respond.content_type, respond.body)
