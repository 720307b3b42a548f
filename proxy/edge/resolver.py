"""Names of targets -> addresses, again and again, off the request path."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

from proxy.edge import log
from proxy.edge.cluster import Cluster, HostPort
from proxy.edge.target import Address

if TYPE_CHECKING:  # the context holds this
    from proxy.edge.context import Context


# Who answers for a name does not decide how much a worker holds.
MOST_ADDRESSES: Final = 256

LookUp = Callable[[str, int], Awaitable[list[Address]]]


class Resolver:
    """One task per upstream with names, and only while it asks. The last good answer serves on while asking
    fails."""

    __slots__ = ("_context", "_due", "_failing", "_group", "_tasks", "look_up")

    def __init__(self, context: "Context", group: asyncio.TaskGroup) -> None:
        self._context = context
        self._group = group
        self._tasks: dict[Cluster, asyncio.Task[None]] = {}
        self._due: dict[Cluster, float] = {}
        self._failing: set[HostPort] = set()
        self.look_up: LookUp = self._look_up

    def refresh_when_due(self, cluster: Cluster) -> None:
        """Called each second."""
        if cluster.names and self._context.loop.time() >= self._due.get(cluster, 0.0):
            self.refresh(cluster)

    def refresh(self, cluster: Cluster) -> asyncio.Task[None]:
        """Ask now, or join who asks already. Done when the cluster knows what there is to know."""
        task = self._tasks.get(cluster)
        if task is None:
            self._due[cluster] = self._context.loop.time() + cluster.config.resolve_seconds
            task = self._tasks[cluster] = self._group.create_task(self._ask(cluster))
            task.add_done_callback(lambda _: self._tasks.pop(cluster, None))
        return task

    def hurry(self, cluster: Cluster) -> None:
        """A target did not answer: within a second it is asked whether the name has moved."""
        self._due.pop(cluster, None)

    def keep_only(self, clusters: Iterable[Cluster]) -> None:
        """The others are upstreams no more."""
        self._due = {cluster: self._due[cluster] for cluster in clusters if cluster in self._due}

    def close(self) -> None:
        """The worker ends: it does not wait for answers."""
        for task in self._tasks.values():
            task.cancel()

    async def _ask(self, cluster: Cluster) -> None:
        for name in cluster.names:
            try:
                # An answer that takes longer than the time to the next question is none.
                async with asyncio.timeout(cluster.config.resolve_seconds):
                    found = await self.look_up(*name)
            except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
                if name not in self._failing:
                    self._failing.add(name)
                    log.write(log.UPSTREAM_UNRESOLVED, self._context.slot, host=name[0], error=repr(error))
            else:
                self._failing.discard(name)
                if name in cluster.names:  # a new configuration may have come meanwhile
                    cluster.resolved(name, found)

    async def _look_up(self, host: str, port: int) -> list[Address]:
        found = await self._context.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [Address(family, place) for family, _, _, _, place in found[:MOST_ADDRESSES]]
