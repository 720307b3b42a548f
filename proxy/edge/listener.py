"""Inherited listening sockets -> client connections."""

import asyncio
import socket
from collections.abc import Sequence

from proxy.edge.connection import ClientConnection
from proxy.edge.context import Context


class Listener:
    """Sockets belong to the supervisor, which keeps a copy of each: closing ours loses no queued
    connection."""

    __slots__ = ("_context", "_servers")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._servers: list[asyncio.Server] = []

    async def start(self, endpoints: Sequence[socket.socket]) -> None:
        for endpoint in endpoints:
            server = await self._context.loop.create_server(
                lambda: ClientConnection(self._context),
                sock=endpoint,
                # `create_server` calls listen() again, and its default of 100 would shrink the queue.
                backlog=self._context.config.backlog_count,
            )
            self._servers.append(server)

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []
