"""Inherited sockets, shared memory and a runtime directory -> the aiohttp engine in the place of an edge
worker.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from fastmatch._native import Downstream, Gate, Segment
from proxy.edge import log
from proxy.edge.config import EdgeConfig
from proxy.edge.context import gate_config
from proxy.edge.link import Link
from proxy.edge.listener import Endpoint
from proxy.edge.lists import Lists
from proxy.lane.application import FORWARDER, build_application
from proxy.lane.config import LaneConfig
from proxy.lane.connection import Hooks
from proxy.lane.middleware import blocklist_middleware
from proxy.lane.response import reset
from proxy.lane.server import LaneRunner

# A turn of the loop is kept short while many open exchanges are judged again.
_REJUDGED_PER_TURN: Final = 500


class OpenExchanges:
    """What a gate has let through and what is not over yet; its bytes are counted when it is."""

    def __init__(self, count: Callable[[str, int], None]) -> None:
        self._count = count
        self._open: dict[Downstream, web.Request] = {}

    def opened(self, downstream: Downstream, request: web.Request) -> None:
        self._open[downstream] = request

    def ended(self, downstream: Downstream, request: web.Request) -> None:
        del self._open[downstream]
        self._count("bytes_sent", request.writer.output_size)
        self._count("bytes_received", request.content.total_bytes)

    async def close_blocked(self) -> int:
        """Reset the connections of clients that are denied by now; how many."""
        count = 0
        for index, (downstream, request) in enumerate(tuple(self._open.items())):
            if index % _REJUDGED_PER_TURN == _REJUDGED_PER_TURN - 1:
                await asyncio.sleep(0)
            if downstream in self._open and downstream.rejudge():
                reset(request.transport)
                count += 1
        return count


class LaneWorker:
    """`start`, then `drain`. Attaches to control as an edge worker does: `slot`, `gate`, `configure`."""

    def __init__(self, segment: Segment, slot: int, runtime_directory: Path, config: EdgeConfig) -> None:
        self.slot = slot
        self.config = config
        self.segment = segment
        self.gate = Gate(gate_config(config), segment, slot)
        self._exchanges = OpenExchanges(self._count)
        self._link = Link(self, Lists(self, self._list_changed), runtime_directory)
        self._runner: LaneRunner | None = None
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def configure(self, config: EdgeConfig) -> None:
        """All or nothing: raises ValueError naming the key, and everything stays as it was."""
        self.gate.configure(gate_config(config))
        self.config = config
        if self._runner is not None:
            lane_config = LaneConfig.of_edge(config)
            self._runner.configure(lane_config)
            self._runner.app[FORWARDER].configure(lane_config)

    def take_health(self, health: Mapping[str, Mapping[str, bool]]) -> None:
        """This engine has one target, and so no choice."""

    async def start(self, group: asyncio.TaskGroup, endpoints: Sequence[Endpoint]) -> None:
        """Configuration and list first, listening last: the first request is judged like any other."""
        self.gate.tick(int(time.time()))
        await self._link.restore()
        judge = blocklist_middleware(self.gate, exchanges=self._exchanges)
        hooks = Hooks(may_enter=self.gate.accept, count=self._count, refusal=self._refusal)
        config = LaneConfig.of_edge(self.config)
        self._runner = LaneRunner(build_application(config, (judge,)), config, hooks)
        await self._runner.setup()
        for endpoint in endpoints:
            await web.SockSite(self._runner, endpoint.socket, backlog=self.config.backlog_count).start()
        own = (self._link.run(), self._tick(), self._close_blocked())
        self._tasks = [group.create_task(routine) for routine in own]
        log.write(log.WORKER_STARTED, self.slot, version=str(self.gate.version))

    async def drain(self) -> None:
        """Stop accepting, finish what is under way within the deadline, then cancel."""
        log.write(log.WORKER_DRAINING, self.slot)
        self.gate.drain()
        if self._runner is not None:
            await self._runner.cleanup()
        self._link.send_events()
        for task in self._tasks:
            task.cancel()
        log.write(log.WORKER_STOPPED, self.slot)

    def _count(self, name: str, amount: int) -> None:
        self.segment.add(self.slot, name, amount)

    def _refusal(self, peer: str, received: bytes) -> bytes:
        """The edge's answer to bytes that are no request, counted as there."""
        downstream = Downstream(self.gate, peer)
        outcome = downstream.head(received)
        if outcome is None:
            # aiohttp refuses some fields before the head's end, which is when the codec names a fault.
            outcome = downstream.head(b"\n\r\n" if received.endswith(b"\r") else b"\r\n\r\n")
        # Where ours takes what aiohttp's parser refuses, the stricter one wins.
        status = -outcome if isinstance(outcome, int) else 400
        return downstream.reply(status, close=True)

    def _list_changed(self) -> None:
        self._changed.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.gate.tick(int(time.time()))
            self._link.send_events()

    async def _close_blocked(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.config.on_block != "close":
                continue
            if count := await self._exchanges.close_blocked():
                self._count("closed_on_block", count)
                log.write(log.CONNECTIONS_BLOCKED, self.slot, count=count)
