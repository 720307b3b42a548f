"""What a transport's socket can do that a transport cannot."""

import contextlib
import fcntl
import socket
import struct
import termios
from asyncio import BaseTransport, Transport
from typing import Final

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
_COUNT: Final = struct.Struct("i")


def reset(transport: Transport) -> None:
    """Close with RST. `abort` alone sends FIN, and a truncated answer that ends in FIN can pass for
    complete."""
    with contextlib.suppress(OSError):  # the peer was faster, there is nothing to reset
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


def unsent_bytes(transport: Transport) -> int:
    """Bytes in our buffer and the kernel's that the peer has not acknowledged."""
    in_kernel = 0
    with contextlib.suppress(OSError):  # closed meanwhile
        answer = fcntl.ioctl(descriptor(transport), termios.TIOCOUTQ, _COUNT.pack(0))
        in_kernel = int(_COUNT.unpack(answer)[0])
    return transport.get_write_buffer_size() + in_kernel


def descriptor(transport: BaseTransport) -> int:
    number: int = transport.get_extra_info("socket").fileno()
    return number
