"""Addresses -> listening sockets, one per address and worker slot."""

import errno
import socket
from collections.abc import Iterable, Sequence

from proxy.errors import ConfigError
from proxy.supervisor.options import Address

# The kernel cuts it to net.core.somaxconn. A queue has to hold what arrives while a dead worker is replaced.
_BACKLOG = 4096


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


def open_listeners(addresses: Sequence[Address], slots: int) -> list[list[socket.socket]]:
    """One list of sockets per slot, in the order of `addresses`.

    A socket of its own for every slot: its queue outlives the worker, because the supervisor keeps it open
    and the replacement inherits it. A port of 0 is chosen once and shared by all slots.
    """
    listeners: list[list[socket.socket]] = [[] for _ in range(slots)]
    for host, port in addresses:
        for slot in listeners:
            listener = _open(host, port)
            slot.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _bind(listener, host, port)
            port = listener.getsockname()[1]  # noqa: PLW2901 - the other slots share what the kernel chose
            listener.listen(_BACKLOG)
            listener.setblocking(False)
    return listeners


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
