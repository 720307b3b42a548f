"""Bytes of the worker-control socket -> frames, and back.

A frame is a little-endian u32 payload length, a u8 kind, the payload. The socket carries few frames (lists,
overlays, configuration down; acknowledgements and events up), never anything of a request.
"""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = struct.Struct("<IB")
_HELLO = struct.Struct("<HI")
_VERSION = struct.Struct("<QQ")

MAXIMUM_PAYLOAD_BYTES = 64 * 1024 * 1024


class FrameError(Exception):
    """The peer sent something that is not a frame; the connection must be closed."""


class Kind(enum.IntEnum):
    """Down: CONFIGURE, INSTALL, OVERLAY, HEALTH. Up: HELLO, ACKNOWLEDGE, EVENTS, TARGETS, SUMMARY."""

    HELLO = 1
    CONFIGURE = 2
    INSTALL = 3
    OVERLAY = 4
    ACKNOWLEDGE = 5
    EVENTS = 6
    HEALTH = 7
    TARGETS = 8
    SUMMARY = 9


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    payload: bytes


def encode(kind: Kind, payload: bytes) -> bytes:
    """Raises FrameError above the size limit."""
    if len(payload) > MAXIMUM_PAYLOAD_BYTES:
        raise FrameError(f"payload of {len(payload)} bytes is above the limit of {MAXIMUM_PAYLOAD_BYTES}")
    return _HEADER.pack(len(payload), kind) + payload


class FrameReader:
    """Incremental: any split of the input gives the same frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Raises FrameError on an unknown kind or an oversized payload."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            length, number = _HEADER.unpack_from(self._buffer)
            if length > MAXIMUM_PAYLOAD_BYTES:
                raise FrameError(f"payload of {length} bytes is above the limit of {MAXIMUM_PAYLOAD_BYTES}")
            try:
                kind = Kind(number)
            except ValueError as error:
                raise FrameError(f"unknown frame kind {number}") from error
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield Frame(kind, payload)


def encode_hello(slot: int, pid: int) -> bytes:
    return encode(Kind.HELLO, _HELLO.pack(slot, pid))


def decode_hello(payload: bytes) -> tuple[int, int]:
    """(slot, process id)."""
    return _unpack(_HELLO, payload)


def encode_install(epoch: int, sequence: int, decision_path: str) -> bytes:
    """Map this decision file and swap it in; the overlay that follows belongs on top of it."""
    return encode(Kind.INSTALL, _VERSION.pack(epoch, sequence) + decision_path.encode())


def decode_install(payload: bytes) -> tuple[int, int, str]:
    """(epoch, sequence, path)."""
    epoch, sequence = _unpack(_VERSION, payload[: _VERSION.size])
    return epoch, sequence, payload[_VERSION.size :].decode()


def encode_overlay(epoch: int, sequence: int, packed: bytes) -> bytes:
    """The whole overlay at this version, replacing the one before."""
    return encode(Kind.OVERLAY, _VERSION.pack(epoch, sequence) + packed)


def decode_overlay(payload: bytes) -> tuple[int, int, bytes]:
    """(epoch, sequence, packed entries)."""
    epoch, sequence = _unpack(_VERSION, payload[: _VERSION.size])
    return epoch, sequence, payload[_VERSION.size :]


def encode_acknowledge(epoch: int, sequence: int) -> bytes:
    """The worker has applied this version."""
    return encode(Kind.ACKNOWLEDGE, _VERSION.pack(epoch, sequence))


def decode_acknowledge(payload: bytes) -> tuple[int, int]:
    """(epoch, sequence)."""
    return _unpack(_VERSION, payload)


def encode_summary(hitters: bytes, sample: bytes | None) -> bytes:
    """What a worker saw of its clients: two JSON objects of the gate's; the sample comes now and then."""
    more = b"" if sample is None else b',"sample":' + sample
    return encode(Kind.SUMMARY, b'{"hitters":' + hitters + more + b"}")


def _unpack(layout: struct.Struct, payload: bytes) -> tuple[int, int]:
    try:
        first, second = layout.unpack(payload)
    except struct.error as error:
        raise FrameError(f"payload of {len(payload)} bytes where {layout.size} belong") from error
    return first, second
