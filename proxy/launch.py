"""Settings -> what the supervisor is told: where to listen, how many, how long a stop may take."""

import os
from dataclasses import replace
from pathlib import Path

from proxy.settings import ListenerSettings, Settings
from proxy.settings.lanes import lane_socket_name
from proxy.settings.types import UnixBind
from proxy.supervisor import (
    LaneOptions,
    ListenerAddress,
    SupervisorOptions,
    available_cpu_count,
    python_module,
)

# Between a worker's own end of draining and its being killed: time to write its last lines.
_DRAIN_GRACE_SECONDS = 0.5


def supervisor_options(
    settings: Settings,
    config_path: Path | None,
    *,
    gateway_listen: tuple[str, int] | None = None,
    stop_seconds: float = 5.0,
    ready_command: tuple[str, ...] = (),
    takes_over: bool = False,
    successor_command: tuple[str, ...] = (),
) -> SupervisorOptions:
    """`gateway_listen`: start the demo gateway there. `stop_seconds`: for control and gateway.

    `takes_over`, `successor_command`: see `SupervisorOptions`.
    """
    edge, control = settings.edge, settings.control
    return SupervisorOptions(
        runtime_directory=settings.state.run,
        listen=() if settings.listeners else ((edge.listen.host, edge.listen.port),),
        listeners=tuple(map(_address, settings.listeners)),
        worker_count=_worker_count(settings),
        limit_entry_count=edge.rate_limiting.entry_count,
        lanes=tuple(
            LaneOptions(lane.name, lane_socket_name(lane.name), lane.processes) for lane in settings.lanes
        ),
        address_entry_count=_address_entry_count(edge.limits.connection_count),
        engine=edge.engine,
        config_path=config_path,
        control_listen=tuple((bind.host, bind.port) for bind in (control.admin_listen, control.ops_listen)),
        gateway_listen=gateway_listen,
        drain_seconds=edge.timeouts.drain_seconds + _DRAIN_GRACE_SECONDS,
        stop_seconds=stop_seconds,
        ready_command=ready_command,
        takes_over=takes_over,
        successor_command=successor_command,
        python_path=os.environ.get("PYTHONPATH", ""),
    )


def _worker_count(settings: Settings) -> int:
    listeners = settings.listeners
    if listeners and all(isinstance(listener.listen, UnixBind) for listener in listeners):
        return 1  # a unix socket has one worker
    return settings.edge.workers or available_cpu_count()


def _address(listener: ListenerSettings) -> ListenerAddress:
    bind = listener.listen
    if not isinstance(bind, UnixBind):
        return ListenerAddress(listener.name, bind.host, bind.port)
    made = ListenerAddress(listener.name, path=bind.path)
    return made if listener.unix_mode is None else replace(made, mode=listener.unix_mode)


def successor_command(config_path: Path | None) -> tuple[str, ...]:
    """Starts `sentra-proxy run` again, in the place of the one that runs."""
    config = () if config_path is None else ("--config", str(config_path))
    return (*python_module("proxy"), "run", "--take-over", *config)


def _address_entry_count(connection_count: int) -> int:
    """Places for the client addresses of a worker: in a table that is half empty hardly any finds none."""
    return max(1024, 2 * connection_count)
