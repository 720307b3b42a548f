"""`python -m proxy.lane.process`: one process of a lane, on a socket of the supervisor's.

It stands behind edge workers and before an upstream, and runs the user's middlewares in between. What those
do to it (raise, hang, exit) is seen by the routes of its lane only.
"""

import argparse
import asyncio
import faulthandler
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from aiohttp import web

from proxy.errors import ConfigError
from proxy.lane.application import build_application
from proxy.lane.lists import BLOCKLIST, ListInForce
from proxy.lane.server import LaneRunner
from proxy.lane.settings import lane_config, lane_named, middlewares_of
from proxy.settings import load_settings
from proxy.telemetry import events, logs

_ALIVE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class LaneOptions:
    name: str
    number: int
    config_path: Path | None
    listen_descriptor: int
    runtime_directory: Path


def parse_options(arguments: Sequence[str]) -> LaneOptions:
    parser = argparse.ArgumentParser(prog="python -m proxy.lane.process", description=__doc__)
    parser.add_argument("--lane", required=True)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--runtime-dir", type=Path, required=True)
    found = parser.parse_args(arguments)
    return LaneOptions(found.lane, found.number, found.config, found.listen_fd, found.runtime_dir)


async def serve(options: LaneOptions) -> None:
    """Until SIGTERM or SIGINT, and the drain that follows. Raises ConfigError when it cannot start."""
    settings = load_settings(options.config_path)
    logs.configure(settings.log.level, settings.log.format)
    _, lane = lane_named(settings, options.name)
    middlewares = middlewares_of(settings, options.name, options.config_path)
    config = lane_config(settings, lane)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    lists = ListInForce(options.runtime_directory)
    application = build_application(config, middlewares)
    application[BLOCKLIST] = lists.current
    runner = LaneRunner(application, config)
    await runner.setup()
    # The first request meets the list that is there.
    await lists.look()
    async with asyncio.TaskGroup() as group:
        own = (_show_life(lane.stall_seconds), lists.follow())
        tasks = [group.create_task(routine) for routine in own]
        endpoint = socket.socket(fileno=options.listen_descriptor)
        await web.SockSite(runner, endpoint, backlog=settings.edge.limits.backlog_count).start()
        _say_ready(options)
        await stop.wait()
        await runner.cleanup()
        for task in tasks:
            task.cancel()
    faulthandler.cancel_dump_traceback_later()
    logs.logger().info(events.LANE_STOPPED, lane=options.name, number=options.number)


def _say_ready(options: LaneOptions) -> None:
    sys.stdout.write(f"ready lane={options.name} number={options.number}\n")
    sys.stdout.flush()
    logs.logger().info(events.LANE_STARTED, lane=options.name, number=options.number, process_id=os.getpid())


async def _show_life(stall_seconds: float) -> None:
    """A middleware that blocks the loop ends the process, with every thread's stack in the log.

    The supervisor starts it anew. Nothing else would: the process lives, its connections are open, and each
    request to it waits for its deadline.
    """
    while True:
        faulthandler.dump_traceback_later(stall_seconds, exit=True)
        await asyncio.sleep(_ALIVE_SECONDS)


def main() -> int:
    options = parse_options(sys.argv[1:])
    try:
        uvloop.run(serve(options))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
