"""The configured upstream -> a fresh connection, bound to the exchange that waits for it."""

import asyncio
import ipaddress
import socket
from typing import Any, Final

from proxy.edge import log
from proxy.edge.context import Context
from proxy.edge.exchange import Exchange
from proxy.edge.upstream import UpstreamConnection

# A name that moves is found again within this time; the pool's connections live on until they end.
_RESOLVE_AGAIN_SECONDS: Final = 10.0

_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


class Connector:
    """One task per connection attempt, owned by the worker's group; an exchange on a pooled connection needs
    none."""

    __slots__ = ("_addresses", "_context", "_group", "_resolved_at", "_target")

    def __init__(self, context: Context, group: asyncio.TaskGroup) -> None:
        self._context = context
        self._group = group
        self._target: tuple[str, int] | None = None
        self._addresses: list[_Address] = []
        self._resolved_at = 0.0

    def connect(self, exchange: Exchange) -> asyncio.Task[None]:
        return self._group.create_task(self._connect(exchange))

    async def _connect(self, exchange: Exchange) -> None:
        context = self._context
        status = 502
        try:
            async with asyncio.timeout(context.config.upstream_connect_seconds):
                upstream = await self._open()
        except TimeoutError:
            status = 504
        except OSError:
            self._resolved_at = 0.0
        else:
            exchange.connected(upstream)
            return
        context.count("upstream_connect_errors")
        exchange.attempt = None
        exchange.fail(status)

    async def _open(self) -> UpstreamConnection:
        error: OSError | None = None
        for family, address in await self._resolve():
            try:
                return await self._open_to(family, address)
            except OSError as refused:
                error = refused
        raise error or OSError("the upstream's name has no address")

    async def _open_to(self, family: socket.AddressFamily, address: tuple[Any, ...]) -> UpstreamConnection:
        loop = self._context.loop
        endpoint = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if ipaddress.ip_address(address[0]).is_loopback:
                # A gateway on the same machine answers faster than the loop turns: a small window keeps one
                # large answer from holding up the others (mixed p99 7-8 ms instead of 13-20). Before connect,
                # to be in the handshake.
                endpoint.setsockopt(
                    socket.SOL_SOCKET, socket.SO_RCVBUF, self._context.config.receive_buffer_bytes
                )
            await loop.sock_connect(endpoint, address)
            _, upstream = await loop.create_connection(
                lambda: UpstreamConnection(self._context), sock=endpoint
            )
        except BaseException:
            endpoint.close()
            raise
        return upstream

    async def _resolve(self) -> list[_Address]:
        """The last good answer serves on while the resolver fails."""
        context = self._context
        target = (context.config.upstream_host, context.config.upstream_port)
        now = context.loop.time()
        if target == self._target and now - self._resolved_at < _RESOLVE_AGAIN_SECONDS:
            return self._addresses
        try:
            found = await context.loop.getaddrinfo(*target, type=socket.SOCK_STREAM)
        except OSError as error:
            if target != self._target:
                raise
            log.write(log.UPSTREAM_UNRESOLVED, context.slot, host=target[0], error=str(error))
        else:
            self._target = target
            self._addresses = [(family, address) for family, _, _, _, address in found]
        self._resolved_at = now
        return self._addresses
