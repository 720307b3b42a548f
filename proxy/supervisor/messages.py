"""What supervisors and the command line say to each other: one JSON object a packet, descriptors beside it.

SOCK_SEQPACKET keeps the borders of packets, so there is no framing to get wrong. Only our own user and root
are heard: who has the listening sockets has the traffic.
"""

import json
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.errors import ProxyError

SOCKET_NAME = "supervisor.sock"
# Changes when an older supervisor could no longer hand over to a newer one.
PROTOCOL_VERSION = 1

_PACKET_BYTES = 65536
# What a message may carry beside its kind.
Value = str | float | bool | list[str | None]

# The kernel takes 253 (SCM_MAX_FD).
DESCRIPTORS_PER_PACKET = 200
_CREDENTIALS = struct.Struct("iII")

# Asked of a running supervisor.
RESTART = "restart"
RELOAD = "reload"
REPLACE_WORKERS = "replace_workers"
TAKE_OVER = "take_over"
STOP_CONTROL = "stop_control"
COMMIT = "commit"
FAILED = "failed"
# Its answers.
DONE = "done"
REFUSED = "refused"
SOCKETS = "sockets"
OFFER = "offer"
CONTROL_STOPPED = "control_stopped"
WITHDRAWN = "withdrawn"


class MessageError(ProxyError):
    """The other side is gone, silent, a stranger, or says what is no message."""


@dataclass(frozen=True, slots=True)
class Message:
    """`descriptors` are ours to close."""

    kind: str
    values: dict[str, Any] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()

    def text(self, name: str) -> str:
        return str(self.values.get(name, ""))

    def number(self, name: str) -> int:
        """0 when it is missing or none."""
        value = self.values.get(name)
        return value if isinstance(value, int) else 0


def send(endpoint: socket.socket, kind: str, descriptors: Sequence[int] = (), **values: Value) -> None:
    """Raises MessageError."""
    packet = json.dumps({"kind": kind, **values}).encode()
    try:
        socket.send_fds(endpoint, [packet], list(descriptors), socket.MSG_NOSIGNAL)
    except OSError as error:
        raise MessageError(f"the other process does not listen: {error.strerror or error}") from error


def receive(endpoint: socket.socket) -> Message:
    """Waits as long as the socket's timeout says. Raises MessageError, BlockingIOError when it would wait."""
    try:
        packet, descriptors, flags, _ = socket.recv_fds(endpoint, _PACKET_BYTES, DESCRIPTORS_PER_PACKET)
    except BlockingIOError:
        raise
    except TimeoutError as error:
        raise MessageError(f"no answer within {endpoint.gettimeout():g} s") from error
    except OSError as error:
        raise MessageError(f"the connection broke: {error.strerror or error}") from error
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if not packet:
        raise MessageError("the other process has gone")
    try:
        values = json.loads(packet)
        kind = values.pop("kind")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        _close(descriptors)
        raise MessageError("what came is no message") from error
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        _close(descriptors)
        raise MessageError(f"a packet of kind {kind!r} was cut: more descriptors than this process may open?")
    return Message(str(kind), values, tuple(descriptors))


def connect(directory: Path, timeout_seconds: float) -> socket.socket:
    """To the supervisor that works in this runtime directory. Raises MessageError when there is none."""
    endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    endpoint.settimeout(timeout_seconds)
    path = directory / SOCKET_NAME
    try:
        endpoint.connect(str(path))
    except OSError as error:
        endpoint.close()
        raise MessageError(
            f"{path}: no supervisor answers there ({error.strerror or error}); is sentra-proxy running?"
        ) from error
    if not is_own_user(endpoint):
        endpoint.close()
        raise MessageError(f"{path}: belongs to another user")
    return endpoint


def is_own_user(endpoint: socket.socket) -> bool:
    """Root counts as everybody's own."""
    return _credentials(endpoint)[1] in (0, os.geteuid())


def peer_process_id(endpoint: socket.socket) -> int:
    """Who opened the other end."""
    return _credentials(endpoint)[0]


def _credentials(endpoint: socket.socket) -> tuple[int, int, int]:
    raw = endpoint.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process_id, user_id, group_id = _CREDENTIALS.unpack(raw)
    return process_id, user_id, group_id


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
