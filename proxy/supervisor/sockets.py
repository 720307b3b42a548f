"""Addresses -> listening sockets, one per address and worker slot; a unix socket has one in all."""

import errno
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.errors import ConfigError
from proxy.supervisor.options import Address, ListenerAddress

# The kernel cuts it to net.core.somaxconn. A queue has to hold what arrives while a dead worker is replaced.
_BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Opened:
    """A listening socket and the name of its listener; empty for the one of `[edge] listen`.

    `path`: where clients find a unix socket, whose own name is the one it was bound under.
    """

    name: str
    socket: socket.socket
    path: str | None = None


def probe(addresses: Iterable[Address]) -> None:
    """Raises ConfigError when an address cannot be bound.

    Without SO_REUSEPORT: with it a second instance would share the port silently and take half of the
    connections. SO_REUSEADDR lets connections in TIME_WAIT of an earlier run pass; it does not bind over a
    listener.
    """
    for host, port in addresses:
        if port == 0:
            continue
        with _open(host, port) as probing:
            _bind(probing, host, port)
            try:
                probing.listen(1)
            except OSError as error:
                raise _refusal(host, port, error) from error


def open_listeners(addresses: Sequence[ListenerAddress], slots: int) -> list[list[Opened]]:
    """One list of sockets per slot, in the order of `addresses`.

    A socket of its own for every slot: its queue outlives the worker, because the supervisor keeps it open
    and the replacement inherits it. A port of 0 is chosen once and shared by all slots. The kernel does not
    spread a unix socket's connections over several: the first slot has it alone.
    """
    return adopt_listeners(addresses, slots, ())


def adopt_listeners(
    addresses: Sequence[ListenerAddress], slots: int, handed: Sequence[Opened]
) -> list[list[Opened]]:
    """As `open_listeners`, with the sockets that another supervisor has handed over wherever there are any.

    More slots than before: further sockets join the port. Fewer: the surplus goes round among the slots,
    behind their own, because a queue that closes loses the connections in it. A socket of an address that is
    not wanted any more is closed here; the old program's workers still empty its queue. Raises ConfigError
    when a new address cannot be had.
    """
    listeners: list[list[Opened]] = [[] for _ in range(slots)]
    surplus: list[Opened] = []
    unused = list(handed)
    for address in addresses:
        there = [opened for opened in unused if _is_at(opened, address)]
        unused = [opened for opened in unused if opened not in there]
        there = [replace(opened, name=address.name) for opened in there]
        if handed and not there:
            probe_listener(address)
        if address.path is not None:
            listeners[0] += there or [
                Opened(address.name, _listen_unix(address.path, address.mode), address.path)
            ]
            continue
        port = address.port
        for number, slot in enumerate(listeners):
            opened = there[number] if number < len(there) else None
            opened = opened or Opened(address.name, _listen(address.host, port))
            slot.append(opened)
            port = opened.socket.getsockname()[1]  # the other slots share what the kernel chose
        surplus += there[slots:]
    for number, opened in enumerate(surplus):
        listeners[number % slots].append(opened)
    for opened in unused:
        opened.socket.close()  # a unix socket's name stays: the old program needs it when this one fails
    return listeners


def probe_listener(address: ListenerAddress) -> None:
    """Raises ConfigError when it cannot be had."""
    if address.path is not None:
        probe_unix(address.path)
    else:
        probe([(address.host, address.port)])


def _is_at(opened: Opened, address: ListenerAddress) -> bool:
    if opened.path is not None or address.path is not None:
        return opened.path == address.path
    host, port = opened.socket.getsockname()[:2]
    return (host, port) == (address.host, address.port)


def _listen(host: str, port: int) -> socket.socket:
    listener = _open(host, port)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _bind(listener, host, port)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def probe_unix(path: str) -> None:
    """Raises ConfigError when somebody listens there or something else than a socket is in the way."""
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"unix socket {path!r} cannot be used: {error.strerror}") from error
    if not is_socket:
        raise ConfigError(f"{path!r} is in the way of a unix socket: it is a file of another kind")
    with socket.socket(socket.AF_UNIX) as probing:
        probing.setblocking(False)
        try:
            probing.connect(path)
        except ConnectionRefusedError:
            return  # left behind by a program that was killed
        except OSError as error:
            # A full queue (EAGAIN) is somebody's too.
            raise ConfigError(f"unix socket {path!r} is taken ({error.strerror})") from error
    raise ConfigError(f"unix socket {path!r} is taken")


def remove_unix(addresses: Iterable[ListenerAddress]) -> None:
    """At the end of the program: a name without a listener would only puzzle."""
    for address in addresses:
        if address.path is not None:
            with suppress(OSError):
                Path(address.path).unlink()


def _listen_unix(path: str, mode: int) -> socket.socket:
    """Bound under a name of its own, then renamed: nobody meets the socket before it has its mode."""
    unfinished = f"{path}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    try:
        with suppress(FileNotFoundError):
            Path(unfinished).unlink()
        listener.bind(unfinished)
        Path(unfinished).chmod(mode)
        listener.listen(_BACKLOG)
        Path(unfinished).replace(path)
    except OSError as error:
        listener.close()
        raise ConfigError(f"unix socket {path!r} cannot be opened: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def _open(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, _ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST
        )[0]
    except (socket.gaierror, OverflowError) as error:
        raise ConfigError(
            f"{host!r} port {port} is not an address to listen on: write an IP address"
        ) from error
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        # Otherwise [::] would also claim 0.0.0.0, which has a listener of its own when it is wanted.
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return opened


def _bind(unbound: socket.socket, host: str, port: int) -> None:
    try:
        unbound.bind((host, port))
    except OSError as error:
        raise _refusal(host, port, error) from error


def _refusal(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"port {port} on {host} is taken")
    if error.errno == errno.EACCES:
        return ConfigError(f"port {port} on {host} needs a privilege that this user does not have")
    return ConfigError(f"port {port} on {host} cannot be used: {error.strerror}")
