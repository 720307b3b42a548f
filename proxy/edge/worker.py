"""Inherited sockets, shared memory and a runtime directory -> one edge worker, from ready to drained."""

import asyncio
import gc
import resource
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fastmatch._native import Segment
from proxy.edge import log, patrol
from proxy.edge.config import EdgeConfig
from proxy.edge.connector import Connector
from proxy.edge.context import Context
from proxy.edge.link import Link
from proxy.edge.listener import Endpoint, Listeners
from proxy.edge.lists import Lists
from proxy.edge.memory import Trimmer
from proxy.edge.resolver import Resolver
from proxy.edge.timers import TURN_SECONDS

_DRAIN_ROUND_SECONDS: Final = 0.02
# How long a connection must have been idle to be closed by a drain; half of the drain when that is shorter.
_QUIET_SECONDS: Final = 1.0
_TRIM_SECONDS: Final = 5


class Worker:
    """`start`, then `drain`; both within the task group that owns the worker's tasks."""

    __slots__ = ("_link", "_link_task", "_rejudgement", "_seconds", "_trimmer", "context", "lists")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        segment: Segment,
        slot: int,
        runtime_directory: Path,
        config: EdgeConfig,
    ) -> None:
        self.context = Context(loop, segment, slot, config)
        self._rejudgement = patrol.Rejudgement(self.context)
        self.lists = Lists(self.context, self._rejudgement.start)
        self._link = Link(self.context, self.lists, runtime_directory)
        self.context.listeners = Listeners(self.context)
        self._link_task: asyncio.Task[None] | None = None
        self._seconds = 0
        self._trimmer = Trimmer()

    async def start(self, group: asyncio.TaskGroup, endpoints: Sequence[Endpoint]) -> None:
        """Configuration and list first, listening last: the first request is judged like any other."""
        context = self.context
        context.loop.set_exception_handler(self._report)
        context.connector = Connector(context, group)
        context.resolver = Resolver(context, group)
        self._every_second()
        await self._link.restore()
        context.wheel.every_second(self._every_second)
        context.wheel.start()
        await context.listeners.start(endpoints)
        self._link_task = group.create_task(self._link.run())
        log.write(log.WORKER_STARTED, context.slot, version=str(context.gate.version))

    async def drain(self) -> None:
        """Stop accepting, finish what is under way, and abort what is not finished at the deadline."""
        context = self.context
        log.write(log.WORKER_DRAINING, context.slot, connections=len(context.connections))
        context.draining = True
        context.gate.drain()
        # One turn: what the kernel has queued for this worker is accepted before its socket closes.
        await asyncio.sleep(0)
        context.listeners.close()
        await asyncio.sleep(0)
        await self._finish_exchanges()
        left_count = len(context.connections) + len(context.arriving)
        for arriving in tuple(context.arriving):
            arriving.abort()
        for connection in tuple(context.connections):
            connection.abort("drain_deadline")
        if not context.is_empty:
            await context.emptied.wait()
        context.upstreams.close()
        context.resolver.close()
        self._link.send_events()
        if self._link_task is not None:
            self._link_task.cancel()
        context.wheel.stop()
        await asyncio.to_thread(context.access_log.close)
        log.write(log.WORKER_STOPPED, context.slot, aborted=left_count)

    async def _finish_exchanges(self) -> None:
        """Returns when no connection is left, or at the deadline."""
        context = self.context
        started = context.loop.time()
        elapsed = 0.0
        quiet_turns = int(min(_QUIET_SECONDS, context.config.drain_seconds / 2) / TURN_SECONDS)
        while not context.is_empty and elapsed < context.config.drain_seconds:
            # A client that has connected and not yet sent anything gets a moment, not its head deadline.
            with_fresh = elapsed > context.config.linger_seconds
            patrol.close_idle(context, quiet_turns=quiet_turns, with_fresh=with_fresh)
            await asyncio.sleep(_DRAIN_ROUND_SECONDS)
            elapsed = context.loop.time() - started

    def _report(self, _loop: asyncio.AbstractEventLoop, facts: dict[str, Any]) -> None:
        """A fault of ours in a callback: the transport it happened on is closed, the others go on."""
        error = facts.get("exception")
        lines = traceback.format_exception(error) if error is not None else []
        log.write(log.CALLBACK_FAILED, self.context.slot, message=facts["message"], error="".join(lines))

    def _every_second(self) -> None:
        context = self.context
        context.gate.tick(int(time.time()))
        context.upstreams.tick()
        context.show_gauges()
        context.pace.look()
        patrol.find_gone(context)
        self._link.send_events()
        self._link.send_targets(context.upstreams.report)
        self._seconds += 1
        if self._seconds % _TRIM_SECONDS == 0 and self._trimmer.look():
            log.write(log.MEMORY_RETURNED, context.slot)


def raise_descriptor_limit() -> None:
    """Two sockets per exchange: take what the system allows us."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle_memory() -> None:
    """What has been made so far lives as long as the process: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
