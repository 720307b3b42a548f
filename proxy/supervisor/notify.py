"""State changes -> systemd, when it asked for them (`Type=notify`); elsewhere nothing happens.

The protocol of sd_notify(3) is one datagram; a library for it would be larger than this.
"""

import os
import socket
from contextlib import suppress


def tell(*assignments: str) -> None:
    """Such as `READY=1`. Never waits, never fails: serving is more than being heard."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as endpoint,
    ):
        endpoint.sendto("\n".join(assignments).encode(), address)
