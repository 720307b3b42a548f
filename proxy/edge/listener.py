"""Inherited listening sockets -> client connections, each through the entrance of its listener."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.edge.connection import ClientConnection
from proxy.edge.context import Context
from proxy.edge.entrance import Entrance, listener_config
from proxy.edge.proxy_header import ProxyHeader
from proxy.edge.tls import TlsConnection


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A socket as the supervisor named it; the name is empty for the one of `[edge] listen`."""

    name: str
    socket: socket.socket


def first_layer(context: Context, entrance: Entrance) -> asyncio.Protocol:
    """What a connection meets first."""
    if entrance.config.proxy_protocol == "required":
        return ProxyHeader(context, entrance, next_layer)
    return next_layer(context, entrance, None)


def next_layer(context: Context, entrance: Entrance, peer: str | None) -> asyncio.Protocol:
    """What comes behind a PROXY header, or first. `peer`: the address that was found and judged."""
    if entrance.config.tls is None:
        return ClientConnection(context, entrance, peer)
    return TlsConnection(context, entrance, peer)


class Listeners:
    """Sockets belong to the supervisor, which keeps a copy of each: closing ours loses no queued
    connection."""

    __slots__ = ("_context", "_servers", "_waiting")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._servers: list[asyncio.Server] = []
        self._waiting: list[Endpoint] = []

    async def start(self, endpoints: Sequence[Endpoint]) -> None:
        self._waiting = list(endpoints)
        await self.open()

    async def open(self) -> None:
        """Accept on every socket whose listener the configuration knows.

        The others wait, with what the kernel queues: served by guess, a listener that is to speak TLS would
        be open in clear text until control attaches.
        """
        waiting, self._waiting = self._waiting, []
        for endpoint in waiting:
            config = listener_config(endpoint.name, self._context.config)
            keyring = self._context.keyrings.get(endpoint.name)
            if config is None or (config.tls is not None and keyring is None):
                self._waiting.append(endpoint)
                continue
            is_local = endpoint.socket.family == socket.AF_UNIX
            entrance = Entrance(self._context, config, keyring, is_local=is_local)
            self._context.entrances[endpoint.name] = entrance
            self._servers.append(await self._open(endpoint.socket, entrance))

    async def _open(self, endpoint: socket.socket, entrance: Entrance) -> asyncio.Server:
        context = self._context
        create = context.loop.create_unix_server if entrance.is_local else context.loop.create_server
        return await create(
            lambda: first_layer(context, entrance),
            sock=endpoint,
            # `create_server` calls listen() again, and its default of 100 would shrink the queue.
            backlog=context.config.backlog_count,
        )

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for endpoint in self._waiting:
            endpoint.socket.close()
        self._servers = []
        self._waiting = []
