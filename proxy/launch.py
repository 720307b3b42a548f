"""Settings -> what the supervisor is told: where to listen, how many, how long a stop may take."""

from pathlib import Path

from proxy.settings import Settings
from proxy.supervisor import SupervisorOptions, available_cpu_count

# Between a worker's own end of draining and its being killed: time to write its last lines.
_DRAIN_GRACE_SECONDS = 0.5


def supervisor_options(
    settings: Settings,
    config_path: Path | None,
    *,
    gateway_listen: tuple[str, int] | None = None,
    stop_seconds: float = 5.0,
    ready_command: tuple[str, ...] = (),
) -> SupervisorOptions:
    """`gateway_listen`: start the demo gateway there. `stop_seconds`: for control and gateway."""
    edge, control = settings.edge, settings.control
    return SupervisorOptions(
        runtime_directory=settings.state.run,
        listen=((edge.listen.host, edge.listen.port),),
        worker_count=edge.workers or available_cpu_count(),
        engine=edge.engine,
        config_path=config_path,
        control_listen=tuple((bind.host, bind.port) for bind in (control.admin_listen, control.ops_listen)),
        gateway_listen=gateway_listen,
        drain_seconds=edge.timeouts.drain_seconds + _DRAIN_GRACE_SECONDS,
        stop_seconds=stop_seconds,
        ready_command=ready_command,
    )
