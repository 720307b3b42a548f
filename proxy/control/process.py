"""Options -> a running control process: one function shows the order of its start and of its end."""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiohttp import web

from fastmatch._native import Segment
from proxy.blocklist.kept import write_atomically
from proxy.control import putback
from proxy.control.admin import admin_application
from proxy.control.auth import doors_from
from proxy.control.changes import Changes
from proxy.control.checked import checked_upstreams
from proxy.control.configuration import Configuration, kept_configuration
from proxy.control.context import Control, Running
from proxy.control.denials import DenialRecorder
from proxy.control.edge_config import check_edge_config, to_edge_config
from proxy.control.health import HealthChecks
from proxy.control.links import Links
from proxy.control.listener_files import check_listener_files
from proxy.control.lists import Lists
from proxy.control.ops import ops_application
from proxy.control.policy import rules_from
from proxy.control.sight.feed import Feed
from proxy.control.sight.summaries import Summaries
from proxy.control.state import State
from proxy.control.upstream_files import check_upstream_files
from proxy.errors import ConfigError, StoreError
from proxy.settings import Settings, load_settings
from proxy.settings.types import BindAddress
from proxy.store.sqlite import SqliteOptions, open_store
from proxy.telemetry import events, logs

LOCK_NAME = "control.lock"
ADDRESSES_NAME = "control.json"
_SHUTDOWN_SECONDS = 0.5
_HOUSEKEEPING_SECONDS = 1.0
_LOCK_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ControlOptions:
    config_path: Path | None
    segment_descriptor: int
    runtime_directory: Path


def load_running(config_path: Path | None, environ: Mapping[str, str]) -> Running:
    """Raises ConfigError; nothing has been touched then."""
    settings = load_settings(config_path)
    check_listener_files(settings, config_path)
    check_upstream_files(settings, config_path)
    check_edge_config(settings, config_path)
    return Running(settings, rules_from(settings), doors_from(settings, environ, config_path))


async def run(options: ControlOptions) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError, StoreError and OSError when it cannot start."""
    running = load_running(options.config_path, os.environ)
    logs.configure(running.settings.log.level, running.settings.log.format)
    segment = Segment.open(options.segment_descriptor)
    with state_lock(running.settings.state.directory):
        async with started(running, options, segment) as control:
            stop = asyncio.Event()
            _on_signals(control, options, stop)
            sys.stdout.write("ready control\n")
            sys.stdout.flush()
            logs.logger().info(events.CONTROL_STARTED, process_id=os.getpid())
            await _serve(control, stop)
            control.is_stopping = True
    logs.logger().info(events.CONTROL_STOPPED)


@contextlib.asynccontextmanager
async def started(running: Running, options: ControlOptions, segment: Segment) -> AsyncIterator[Control]:
    """store -> state -> last good list -> sockets -> first list; taken down in the opposite order."""
    settings = running.settings
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store(_store_options(settings))
        stack.push_async_callback(store.close)
        denials = DenialRecorder(store)
        stack.push_async_callback(denials.flush)
        config = to_edge_config(settings)
        kept = await asyncio.to_thread(kept_configuration, settings.state.directory, config)
        state = State(config if kept is None else kept.previous)
        state.load(await store.snapshot())
        options.runtime_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        summaries = Summaries(
            store, segment, settings.sight.pod_name, lambda: (route.name for route in state.config.routes)
        )
        await summaries.start()
        stack.push_async_callback(summaries.close)
        feed = Feed(settings.sight.listener_count)

        def on_events(payload: bytes) -> None:
            denials.take(payload)
            feed.tell_denials(payload)

        links = Links(options.runtime_directory, on_events, summaries.take)
        changes = Changes(store, state, links, feed)
        lists = Lists(settings, running.rules, changes)
        stack.callback(lists.close)
        control = Control(
            running=running,
            store=store,
            state=state,
            links=links,
            changes=changes,
            lists=lists,
            configuration=Configuration(settings.state.directory, changes, state.config, kept),
            denials=denials,
            health=HealthChecks(changes.share_health),
            feed=feed,
            summaries=summaries,
            segment=segment,
            runtime_directory=options.runtime_directory,
        )
        control.health.reconfigure(checked_upstreams(settings))
        has_list = await lists.restore()
        if not has_list:
            await changes.publish_all()
        await links.start()
        stack.push_async_callback(links.close)
        ops = await _listen(stack, ops_application(control), settings.control.ops_listen)
        admin = await _listen(stack, admin_application(control), settings.control.admin_listen)
        # Before the port closes: it waits for its handlers, and a stream has no end of its own.
        stack.callback(feed.close)
        _write_addresses(options.runtime_directory, admin, ops)
        if not has_list:
            await lists.refresh()
        yield control


async def _serve(control: Control, stop: asyncio.Event) -> None:
    """Until `stop`. The death of any of these tasks ends the process: the supervisor starts it anew."""
    async with asyncio.TaskGroup() as tasks:
        endless = [
            tasks.create_task(control.lists.watch_forever(), name="lists"),
            tasks.create_task(control.lists.fold_forever(), name="folding"),
            tasks.create_task(control.links.resend_forever(), name="links"),
            tasks.create_task(control.denials.write_forever(), name="denials"),
            tasks.create_task(control.health.run_forever(), name="health"),
            tasks.create_task(control.summaries.write_forever(), name="summaries"),
            tasks.create_task(_keep_house(control), name="housekeeping"),
        ]
        await stop.wait()
        for task in endless:
            task.cancel()


async def _keep_house(control: Control) -> None:
    """Every second: swaps on trial, the clock for expiry, expired entries, appends we did not hear of."""
    while True:
        await asyncio.sleep(_HOUSEKEEPING_SECONDS)
        if control.state.blocklist is not None:
            control.state.blocklist.advance(int(time.time()))
        try:
            # First: the store may take its time, and workers are dying.
            await putback.look((control.configuration, control.lists), control.runtime_directory)
            control.feed.tell_put_backs(control.put_backs)
            await control.changes.follow()
            await control.changes.prune()
        except (StoreError, OSError) as error:
            logs.logger().error(events.HOUSEKEEPING_FAILED, reason=str(error))


async def reload(control: Control, options: ControlOptions) -> None:
    """Settings and lists anew. A fault is logged with file, line and key, and what runs goes on running."""
    try:
        running = await asyncio.to_thread(load_running, options.config_path, os.environ)
    except ConfigError as error:
        logs.logger().error(events.CONFIGURATION_REFUSED, reason=str(error))
        return
    control.restart_needed = restart_needed(control.running.settings, running.settings)
    control.running = running
    control.feed.listener_count = running.settings.sight.listener_count
    logs.configure(running.settings.log.level, running.settings.log.format)
    await control.configuration.take(to_edge_config(running.settings))
    control.health.reconfigure(checked_upstreams(running.settings))
    control.lists.reconfigure(running.settings, running.rules)
    logs.logger().info(events.CONFIGURATION_CHANGED, restart_needed=control.restart_needed)
    await control.lists.refresh()


def restart_needed(before: Settings, after: Settings) -> tuple[str, ...]:
    """Keys that differ and that a running process cannot take over: sockets, folders, worker count."""
    pairs = {
        "edge.listen": (before.edge.listen, after.edge.listen),
        "listeners": (_sockets(before), _sockets(after)),
        "edge.workers": (before.edge.workers, after.edge.workers),
        "edge.engine": (before.edge.engine, after.edge.engine),
        "edge.rate_limiting.entry_count": (
            before.edge.rate_limiting.entry_count,
            after.edge.rate_limiting.entry_count,
        ),
        "control.admin_listen": (before.control.admin_listen, after.control.admin_listen),
        "control.ops_listen": (before.control.ops_listen, after.control.ops_listen),
        "lanes": (_processes(before), _processes(after)),
        "state": (before.state, after.state),
        "sight.pod": (before.sight.pod_name, after.sight.pod_name),
    }
    return tuple(key for key, (old, new) in pairs.items() if old != new)


def _sockets(settings: Settings) -> tuple[tuple[object, ...], ...]:
    return tuple((listener.name, listener.listen, listener.unix_mode) for listener in settings.listeners)


def _processes(settings: Settings) -> tuple[tuple[str, int], ...]:
    return tuple((lane.name, lane.processes) for lane in settings.lanes)


def _on_signals(control: Control, options: ControlOptions, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def on_hangup() -> None:
        task = loop.create_task(reload(control, options), name="reload")
        reloads.add(task)
        task.add_done_callback(lambda done: _reload_done(done, reloads, stop))

    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _reload_done(task: asyncio.Task[None], reloads: set[asyncio.Task[None]], stop: asyncio.Event) -> None:
    reloads.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        # A half-taken reload is no state to go on in; the supervisor starts us anew from the files.
        logs.logger().error(events.CONTROL_FAILED, reason=repr(error))
        stop.set()


async def _listen(
    stack: contextlib.AsyncExitStack, application: web.Application, address: BindAddress
) -> BindAddress:
    """The address that was bound. Raises ConfigError when it is taken."""
    # A client that goes away does not undo a change that is half made: handlers run to their end.
    runner = web.AppRunner(
        application,
        access_log=None,
        handler_cancellation=False,
        keepalive_timeout=30.0,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, address.host, address.port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(f"{address}: cannot be bound: {error.strerror or error}") from error
    host, port = runner.addresses[0][:2]
    return BindAddress(host, port)


def _write_addresses(runtime_directory: Path, admin: BindAddress, ops: BindAddress) -> None:
    """For callers that configured port 0."""
    content = orjson.dumps({"admin": str(admin), "ops": str(ops), "process_id": os.getpid()})
    write_atomically(runtime_directory / ADDRESSES_NAME, content, sync=False)


def _store_options(settings: Settings) -> SqliteOptions:
    state = settings.state
    return SqliteOptions(
        path=state.directory / "store.sqlite",
        timeout_seconds=state.store_seconds,
        queue_count=state.store_queue_count,
        log_count=state.log_count,
        denial_count=state.denial_count,
    )


@contextlib.contextmanager
def state_lock(directory: Path) -> Iterator[None]:
    """Two control processes on one data directory would undo each other. Raises ConfigError.

    The one before us may still be on its way out, so there is some patience.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"state.directory: {directory}: cannot be written: {error.strerror}") from error
    try:
        deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise ConfigError(f"state.directory: {directory}: another control process works here")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
