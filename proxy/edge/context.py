"""What all connections of one worker share."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastmatch._native import Gate, GateConfig, Route, Segment
from proxy.edge import rate_limits
from proxy.edge.access_log import AccessLog
from proxy.edge.certificates import Keyring, load_keyrings
from proxy.edge.config import EdgeConfig
from proxy.edge.config_routes import HeaderChanges, RouteConfig
from proxy.edge.config_upstreams import HOST_OF_TARGET
from proxy.edge.entrance import Entrance, listener_config
from proxy.edge.pace import Pace
from proxy.edge.timers import Deadlines, Wheel
from proxy.edge.upstream_tls import ClientContext, load_client_contexts
from proxy.edge.upstreams import Upstreams

if TYPE_CHECKING:  # connection.py imports this module
    from proxy.edge.connection import ClientConnection
    from proxy.edge.connector import Connector
    from proxy.edge.listener import Listeners
    from proxy.edge.proxy_header import ProxyHeader
    from proxy.edge.resolver import Resolver
    from proxy.edge.tls import TlsConnection


def gate_config(config: EdgeConfig) -> GateConfig:
    """The part that Rust decides by. Raises ValueError naming the key."""
    hosts = {
        upstream.name: upstream.host_header
        for upstream in config.every_upstream()
        if upstream.host_header != HOST_OF_TARGET
    }
    return GateConfig(
        trusted_proxies=config.trusted_proxies,
        block_score=config.block_score,
        drop_score=config.drop_score,
        observe=config.observe,
        domains=config.domains,
        on_missing=config.on_missing,
        rate_limits=rate_limits.gate_rate_limits(config.rate_limits),
        limit_fields=config.limit_fields,
        limit_when_full=config.limit_when_full,
        via=config.via,
        head_bytes=config.head_bytes,
        target_bytes=config.target_bytes,
        header_count=config.header_count,
        body_bytes=config.body_bytes,
        response_head_bytes=config.response_head_bytes,
        routes=[gate_route(route, hosts.get(route.upstream)) for route in config.routes],
    )


def gate_route(route: RouteConfig, upstream_host: str | None) -> Route:
    """The part of a route that Rust decides by; checked when a `GateConfig` takes it.

    `upstream_host`: the Host that the route's upstream wants, None: the client's.
    """
    return Route(
        route.name,
        hosts=route.hosts,
        path=route.path,
        path_prefix=route.path_prefix,
        methods=route.methods,
        headers=[(header.name, header.value) for header in route.headers],
        block_score=route.block_score,
        observe=route.observe,
        domains=route.domains,
        rate_limits=rate_limits.gate_rate_limits(route.rate_limits),
        body_bytes=route.body_bytes,
        host_header=route.host_header or upstream_host,
        strip_prefix=route.strip_prefix,
        add_prefix=route.add_prefix,
        request_headers=_changes(route.request_headers),
        response_headers=_changes(route.response_headers),
        redirect=None if route.redirect is None else (route.redirect.status, route.redirect.location),
        respond=None
        if route.respond is None
        else (route.respond.status, route.respond.content_type, route.respond.body),
        hidden_paths=route.hidden_paths,
    )


def _changes(
    changes: HeaderChanges,
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...], tuple[str, ...]]:
    return changes.set, changes.add, changes.remove


class Context:
    """Owned by the worker; connections read it, `configure` swaps what depends on the configuration."""

    __slots__ = (
        "access_log",
        "arriving",
        "config",
        "connections",
        "connector",
        "deadlines",
        "draining",
        "emptied",
        "entrances",
        "gate",
        "held",
        "idle_shown",
        "keyrings",
        "listeners",
        "loop",
        "pace",
        "resolver",
        "segment",
        "slot",
        "upstreams",
        "wheel",
    )

    # Set by the worker, whose task group owns what they start.
    connector: "Connector"
    listeners: "Listeners"
    resolver: "Resolver"

    def __init__(
        self, loop: asyncio.AbstractEventLoop, segment: Segment, slot: int, config: EdgeConfig
    ) -> None:
        self.loop = loop
        self.segment = segment
        self.slot = slot
        self.config = config
        self.gate = Gate(gate_config(config), segment, slot)
        self.access_log = AccessLog(self.gate, segment, slot)
        self.access_log.configure(config)
        self.wheel = Wheel(loop)
        self.deadlines = Deadlines.of(config)
        self.upstreams = Upstreams(self)
        self.upstreams.configure(config)
        self.connections: set[ClientConnection] = set()
        self.pace = Pace(self)
        # Connections whose socket is not read at present: neither FIN nor RST reaches us, so they are polled.
        self.held: set[ClientConnection] = set()
        # What is not yet a client's connection: it counts and is drained like one.
        self.arriving: set[ProxyHeader | TlsConnection] = set()
        # By the listener's name: those that accept, and what those with TLS prove themselves with.
        self.entrances: dict[str, Entrance] = {}
        self.keyrings: dict[str, Keyring] = {}
        self.draining = False
        self.emptied = asyncio.Event()
        self.idle_shown = 0

    async def configure(self, config: EdgeConfig) -> None:
        """All or nothing: raises ValueError naming the key, and everything stays as it was."""
        keyrings = await asyncio.to_thread(load_keyrings, config.listeners, self.keyrings)
        contexts = await asyncio.to_thread(
            load_client_contexts, config.every_upstream(), self.upstreams.contexts
        )
        self.apply(config, keyrings, contexts)
        await self.listeners.open()

    def apply(
        self,
        config: EdgeConfig,
        keyrings: dict[str, Keyring] | None = None,
        contexts: dict[str, ClientContext] | None = None,
    ) -> None:
        """As `configure`, for the listeners that are open; without `keyrings` and `contexts` those that are
        loaded stay."""
        deadlines = Deadlines.of(config)
        tables = gate_config(config)
        self.upstreams.configure(config, contexts)
        self.gate.configure(tables)
        self.config = config
        self.access_log.configure(config)
        self.deadlines = deadlines
        if keyrings is not None:
            self.keyrings = keyrings
        for name, entrance in self.entrances.items():
            listener = listener_config(name, config)
            # One that has left the file is open until the restart that takes its socket away.
            if listener is not None:
                entrance.configure(listener, self.keyrings.get(name))

    def take_health(self, health: Mapping[str, Mapping[str, bool]]) -> None:
        """What the control process found, by upstream and target."""
        self.upstreams.take_health(health)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter that Python owns."""
        self.segment.add(self.slot, name, amount)

    def welcome(self, connection: "ClientConnection") -> None:
        """A client's connection is open."""
        self.connections.add(connection)
        connection.entrance.enter()
        self.count("connections")
        self.count("connections_open")

    def forget(self, connection: "ClientConnection") -> None:
        """A client's connection is closed."""
        if connection in self.connections:
            self.connections.remove(connection)
            connection.entrance.leave(connection.counted_address)
            self.pace.forget(connection)
            self.count("connections_open", -1)
        self.held.discard(connection)
        self._see_whether_empty()

    def arrive(self, connection: "ProxyHeader | TlsConnection") -> bool:
        """A connection that is not a client's yet; False when there are too many of both."""
        is_full = len(self.connections) + len(self.arriving) >= self.config.connection_count
        if is_full or connection.entrance.is_full:
            self.count("connections_shed")
            return False
        self.wait_for(connection)
        return True

    def wait_for(self, connection: "ProxyHeader | TlsConnection") -> None:
        """As `arrive`, for one that has been counted before under another layer."""
        self.arriving.add(connection)
        connection.entrance.enter()

    def depart(self, connection: "ProxyHeader | TlsConnection") -> None:
        """It is closed, or a client's by now."""
        if connection in self.arriving:
            self.arriving.remove(connection)
            connection.entrance.leave(connection.counted_address)
        self._see_whether_empty()

    @property
    def is_empty(self) -> bool:
        return not self.connections and not self.arriving

    def _see_whether_empty(self) -> None:
        if self.draining and self.is_empty:
            self.emptied.set()

    def show_gauges(self) -> None:
        """Called each second: what changes with every request is only shown now and then."""
        idle_count = self.upstreams.idle_count
        self.count("upstream_idle", idle_count - self.idle_shown)
        self.idle_shown = idle_count
