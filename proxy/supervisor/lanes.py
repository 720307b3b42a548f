"""[[lanes]] -> their sockets and the processes that share them."""

from collections.abc import Iterator, Sequence

from proxy.supervisor.child import ChildSpec
from proxy.supervisor.options import ListenerAddress, SupervisorOptions, child_environment
from proxy.supervisor.sockets import Opened

# Nobody but us and the edge workers, which are the same user. The folder's mode says so too.
_MODE = 0o600


def lane_addresses(options: SupervisorOptions) -> list[ListenerAddress]:
    """One socket for each lane, in their order: its queue outlives a process of the lane.

    The lock of the runtime directory is held, so what lies there under that name is nobody's any more.
    """
    directory = options.runtime_directory
    return [
        ListenerAddress(lane.name, path=str(directory / lane.socket_name), mode=_MODE)
        for lane in options.lanes
    ]


def describe_lanes(options: SupervisorOptions, listeners: Sequence[Opened]) -> Iterator[ChildSpec]:
    """The processes of a lane accept from one socket: one that hangs takes nothing new, the others do."""
    config = () if options.config_path is None else ("--config", str(options.config_path))
    for lane, listener in zip(options.lanes, listeners, strict=True):
        descriptor = listener.socket.fileno()
        for number in range(lane.process_count):
            yield ChildSpec(
                f"lane:{lane.name}:{number}",
                (
                    *(*options.programs.lane_process, "--lane", lane.name, "--number", str(number), *config),
                    *("--listen-fd", str(descriptor), "--runtime-dir", str(options.runtime_directory)),
                ),
                descriptors=(descriptor,),
                environment=child_environment(),
                is_replaced_on_reload=True,
            )
