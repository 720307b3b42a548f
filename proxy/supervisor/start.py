"""Options -> runtime directory locked, sockets and segment open (or taken over), children described."""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn

from fastmatch._native import Segment
from proxy.errors import ConfigError
from proxy.supervisor.child import ChildSpec
from proxy.supervisor.desk import Estate
from proxy.supervisor.lanes import describe_lanes, lane_addresses
from proxy.supervisor.loop import CONTROL, Hooks, Supervisor, Times
from proxy.supervisor.messages import SOCKET_NAME
from proxy.supervisor.options import ListenerAddress, SupervisorOptions, child_environment, python_module
from proxy.supervisor.sockets import (
    Opened,
    adopt_listeners,
    open_listeners,
    probe,
    probe_listener,
    remove_unix,
)
from proxy.supervisor.takeover import Takeover

# sun_path holds 108 bytes with the closing zero.
_SOCKET_PATH_BYTES = 107
_EXITS_BYTES = 65536

WORKER_EXITS_FILE = "worker.exits"
DRAINING_FILE = "draining"


def become(options: SupervisorOptions) -> NoReturn:
    """`run` in a fresh interpreter in this process: 17 MB instead of the 42 that come with settings."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [*python_module("proxy.supervisor"), options.to_json()]
    os.execve(command[0], command, os.environ | child_environment())  # noqa: S606 - our own interpreter


def run(options: SupervisorOptions) -> int:
    """Serve until a signal; returns the exit status.

    Raises ConfigError, with nothing started, when a port is taken, the runtime directory is in use, or nobody
    is there to take over from.
    """
    with ExitStack() as sockets:
        takeover = None
        if options.takes_over:
            takeover = Takeover.begin(options.runtime_directory)
            lock = takeover.lock_descriptor
            listeners, lanes = _adopt_all(options, takeover.listeners)
        else:
            _probe_all(options)
            lock = _lock_runtime_directory(options.runtime_directory)
            listeners = open_listeners(options.edge_addresses, options.worker_count)
            (lanes,) = open_listeners(lane_addresses(options), 1)
        return _supervise(options, listeners, lanes, lock, takeover, sockets)


def _adopt_all(
    options: SupervisorOptions, handed: Sequence[Opened]
) -> tuple[list[list[Opened]], list[Opened]]:
    """(the edge's, by worker slot; the lanes') of what another supervisor has handed over."""
    addresses = lane_addresses(options)
    paths = {address.path for address in addresses}
    others = [opened for opened in handed if opened.path not in paths]
    listeners = adopt_listeners(options.edge_addresses, options.worker_count, others)
    (lanes,) = adopt_listeners(addresses, 1, [opened for opened in handed if opened.path in paths])
    return listeners, lanes


def _probe_all(options: SupervisorOptions) -> None:
    for address in options.edge_addresses:
        probe_listener(address)
    probe([*options.control_listen, *([options.gateway_listen] if options.gateway_listen else [])])


def _supervise(
    options: SupervisorOptions,
    listeners: Sequence[Sequence[Opened]],
    lanes: Sequence[Opened],
    lock: int,
    takeover: Takeover | None,
    sockets: ExitStack,
) -> int:
    directory = options.runtime_directory
    every = (*_flat(listeners), *lanes)
    for opened in every:
        sockets.enter_context(opened.socket)
    segment = Segment.create(
        # Two slots for each worker: one for the process that follows it, while it drains.
        2 * options.worker_count,
        limit_entry_count=options.limit_entry_count,
        address_entry_count=options.address_entry_count,
    )
    specs = [*describe(options, listeners, segment.fileno()), *describe_lanes(options, lanes)]
    if takeover is not None:
        takeover.stop_control()
        if takeover.is_alone:
            takeover = None
    hooks = Hooks(
        on_worker_exit=_worker_exit_hook(directory, segment),
        on_worker_gone=segment.clear_gauges,
        on_stopping=_stopping_hook(directory, sockets, options.edge_addresses),
        on_leaving=_leaving_hook(sockets, lock),
    )
    estate = Estate(
        listeners=every,
        lock_descriptor=lock,
        successor_command=options.successor_command,
        python_path=options.python_path,
    )
    times = Times(options.drain_seconds, options.stop_seconds, options.takeover_seconds)
    return Supervisor(
        specs,
        hooks,
        times,
        directory=directory,
        estate=estate,
        takeover=takeover,
        ready_command=options.ready_command,
    ).run()


def describe(
    options: SupervisorOptions, listeners: Sequence[Sequence[Opened]], segment_descriptor: int
) -> list[ChildSpec]:
    """The children in the order of their start. None waits: a worker begins with the last run's list."""
    shared = ("--segment-fd", str(segment_descriptor), "--runtime-dir", str(options.runtime_directory))
    environment = child_environment()
    config = () if options.config_path is None else ("--config", str(options.config_path))
    children = [
        ChildSpec(
            CONTROL,
            (*options.programs.control, *config, *shared),
            descriptors=(segment_descriptor,),
            environment=environment,
        )
    ]
    if options.gateway_listen is not None:
        host, port = options.gateway_listen
        command = (*options.programs.gateway, "--host", host, "--port", str(port))
        children.append(ChildSpec("gateway", command, environment=environment))
    program = options.programs.edge if options.engine == "native" else options.programs.lane
    for slot, opened in enumerate(listeners):
        descriptors = tuple(each.socket.fileno() for each in opened)
        listen = ("--slot", str(slot), "--listen-fd", ",".join(map(_inherited, opened)))
        children.append(
            ChildSpec(
                "worker",
                (*program, *listen, *shared),
                slot=slot,
                descriptors=(*descriptors, segment_descriptor),
                environment=environment,
            )
        )
    return children


def _worker_exit_hook(directory: Path, segment: Segment) -> Callable[[int, int, int], None]:
    """Clears what the dead worker had open, and tells control.

    Control decides whether a list or configuration swap is to be taken back, so it has to know of workers
    that die before they can say HELLO. `worker.exits` in the runtime directory holds one line per unasked
    exit since the start, oldest first: monotonic seconds, slot, process id, status (negative: the signal),
    separated by spaces.
    """
    path = directory / WORKER_EXITS_FILE
    path.write_bytes(b"")

    def note(slot: int, process_id: int, status: int) -> None:
        segment.clear_gauges(slot)
        # A full disk must not end the one who restarts the others.
        with suppress(OSError):
            is_long = path.stat().st_size > _EXITS_BYTES
            with path.open("w" if is_long else "a") as exits:
                exits.write(f"{time.monotonic():.3f} {slot} {process_id} {status}\n")

    return note


def _stopping_hook(
    directory: Path, sockets: ExitStack, addresses: Sequence[ListenerAddress]
) -> Callable[[], None]:
    """Tells control, which is asked to stop last, that the program drains; closes our copies of the queues.

    The file `draining` lies in the runtime directory from the first signal until the next start: /readyz
    answers 503 while it does.
    """
    path = directory / DRAINING_FILE
    path.unlink(missing_ok=True)

    def stop() -> None:
        # A full disk must not keep us from stopping.
        with suppress(OSError):
            path.touch()
        # The workers hold the queues from here on. Kept open, our copies would let clients wait for nobody.
        sockets.close()
        remove_unix(addresses)

    return stop


def _leaving_hook(sockets: ExitStack, lock: int) -> Callable[[], None]:
    """Lets go of what another supervisor has as well. The lock is of the open file, so it stays his."""

    def leave() -> None:
        sockets.close()
        os.close(lock)

    return leave


def _lock_runtime_directory(path: Path) -> int:
    """Create the directory and take its lock: two supervisors would share one control socket there.

    -> the descriptor that holds it, as long as one copy of it is open in any process.
    """
    _check_length(path)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"runtime directory {str(path)!r} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(f"runtime directory {str(path)!r} is in use by another supervisor") from error
    return descriptor


def _check_length(path: Path) -> None:
    # The longest name in it, also while it is put in place: `supervisor.new` is shorter.
    longest = path / SOCKET_NAME
    if len(os.fsencode(longest)) > _SOCKET_PATH_BYTES:
        raise ConfigError(
            f"runtime directory {str(path)!r} is too long for a unix socket: choose a shorter path"
        )


def _inherited(opened: Opened) -> str:
    """`5` for the listener of `[edge] listen`, `public=6` for one of `[[listeners]]`."""
    number = str(opened.socket.fileno())
    return f"{opened.name}={number}" if opened.name else number


def _flat(listeners: Sequence[Sequence[Opened]]) -> Iterator[Opened]:
    for slot in listeners:
        yield from slot
