"""WebSocket frames (RFC 6455 section 5.2) as bytes, both ways: no library decides what may be sent."""

from dataclasses import dataclass

from tests.support.peer import Peer

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass(frozen=True, slots=True)
class Frame:
    """`raw`: the frame as it came, mask and all."""

    opcode: int
    is_final: bool
    payload: bytes
    raw: bytes


def encode(
    opcode: int, payload: bytes, *, is_final: bool = True, mask: bytes = b"", reserved: int = 0
) -> bytes:
    """`mask`: four octets from a client, none from a server. `reserved`: the bits that extensions use."""
    size = len(payload)
    first = (0x80 if is_final else 0) | reserved << 4 | opcode
    is_masked = 0x80 if mask else 0
    if size < 126:
        head = bytes((first, is_masked | size))
    elif size < 65536:
        head = bytes((first, is_masked | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, is_masked | 127)) + size.to_bytes(8, "big")
    return head + mask + (apply_mask(payload, mask) if mask else payload)


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


async def read_frame(peer: Peer) -> Frame:
    head = await peer.read_exactly(2)
    size = head[1] & 127
    if size > 125:
        extended = await peer.read_exactly(2 if size == 126 else 8)
        head += extended
        size = int.from_bytes(extended, "big")
    mask = await peer.read_exactly(4) if head[1] & 0x80 else b""
    payload = await peer.read_exactly(size)
    raw = head + mask + payload
    return Frame(head[0] & 15, bool(head[0] & 0x80), apply_mask(payload, mask) if mask else payload, raw)


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """As one large number: octet by octet, 16 MiB would take seconds."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")
