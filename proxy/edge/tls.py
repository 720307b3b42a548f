"""TLS between a client's raw connection and its `ClientConnection`: handshake, then bytes both ways.

An `SSLObject` over two memory buffers. To the raw transport this is the protocol, to the protocol above it is
the transport, so that nothing above knows of it. Each event costs one read and one write of the socket, as
without TLS. What the transport above is told of buffers is what the raw one has: ciphertext is handed down in
the same call that made it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from typing import Any, Final, cast

from proxy.edge import replies, sockets
from proxy.edge.connection import ClientConnection
from proxy.edge.context import Context
from proxy.edge.entrance import Entrance
from proxy.edge.timers import NEVER

# The plaintext of one record (RFC 8446 section 5.1).
_RECORD_BYTES: Final = 16384
# A memory buffer keeps the size it once had, and a third more, while its connection is idle. So our
# records are of this size (0.40 s of CPU per GB; of 16 KiB 0.35), and what is read at once goes in by
# such pieces (0.45 s; by 32 KiB 0.40).
_SENT_BYTES: Final = 8192
_PIECE_BYTES: Final = 16384
# The first byte of a handshake record. Letters are HTTP that came to the wrong port.
_HANDSHAKE: Final = 0x16


class TlsConnection(asyncio.Protocol, asyncio.Transport):
    """`_protocol` is None until the handshake is done; `deadline` is the handshake's."""

    __slots__ = (
        "_context",
        "_has_begun",
        "_has_ended",
        "_has_part",
        "_has_said_end",
        "_incoming",
        "_is_closing",
        "_is_refused",
        "_outgoing",
        "_protocol",
        "_raw",
        "_read",
        "_ssl",
        "_ssl_write",
        "counted_address",
        "deadline",
        "due",
        "entrance",
        "peer",
    )

    _raw: asyncio.Transport

    def __init__(self, context: Context, entrance: Entrance, peer: str | None = None) -> None:
        """`peer`: the address that a PROXY header named, judged and counted by who read it."""
        self._context = context
        self.entrance = entrance
        self.peer = peer
        self.counted_address: str | None = None
        self._protocol: asyncio.Protocol | None = None
        self._ssl: ssl.SSLObject | None = None
        self._has_begun = False
        self._has_ended = False
        # Of a record, perhaps: OpenSSL keeps it where nobody sees it.
        self._has_part = True
        self._has_said_end = False
        self._is_closing = False
        self._is_refused = False
        self.deadline = NEVER
        self.due = NEVER

    # ---- the raw transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raw = self._raw = cast("asyncio.Transport", transport)
        keyring = self.entrance.keyring
        if keyring is None or not self._may_stay():
            sockets.reset(raw)
            return
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = keyring.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.deadline = self._context.wheel.turn + self.entrance.handshake_turns
        self._context.wheel.arm(self)

    def _may_stay(self) -> bool:
        if self.peer is not None:
            self._context.wait_for(self)
        else:
            self.peer = self.entrance.admit(self._raw)
            if self.peer is None or not self._context.arrive(self):
                return False
        is_one_more = self.entrance.one_more_of(self.peer)
        if is_one_more is False:
            self._context.count("connections_shed")
            self._context.depart(self)
            return False
        self.counted_address = self.peer if is_one_more else None
        return True

    def data_received(self, data: bytes) -> None:
        protocol = self._protocol
        if protocol is None:
            self._shake_hands(data)
            return
        try:
            if self._has_part or len(data) > _PIECE_BYTES:
                plain = self._decrypt(data)
            else:
                self._incoming.write(data)
                # A record is longer than what it says, so this is enough for the first one; room for the
                # largest costs 0.5 us. Asked before the next, which would tell by an exception.
                plain = self._read(len(data))
                if not plain:
                    self._has_ended = True
                elif self._incoming.pending:
                    plain = self._read_on(plain)
        except ssl.SSLWantReadError:
            self._has_part = True
            return
        except ssl.SSLZeroReturnError:  # as b"", once we have said the end ourselves
            plain = b""
            self._has_ended = True
        except ssl.SSLError:
            self._break()
            return
        if plain:
            protocol.data_received(plain)
        if self._has_ended:
            self._end()

    def _read_on(self, first: bytes) -> bytes:
        """What the buffer holds behind `first`, joined: one event of the protocol for one of the socket."""
        pieces = [first]
        try:
            while self._incoming.pending:
                piece = self._read(_RECORD_BYTES)
                if not piece:
                    self._has_ended = True
                    break
                self._has_part = False
                pieces.append(piece)
        except ssl.SSLWantReadError:
            self._has_part = True
        except ssl.SSLZeroReturnError:
            self._has_ended = True
        return b"".join(pieces)

    def _decrypt(self, data: bytes) -> bytes:
        """All of it, and of what the buffer holds already."""
        pieces = [self._read_on(b"")]
        view = memoryview(data)
        for start in range(0, len(data), _PIECE_BYTES):
            self._incoming.write(view[start : start + _PIECE_BYTES])
            pieces.append(self._read_on(b""))
        return b"".join(pieces)

    def _end(self) -> None:
        """The peer has said that it sends no more."""
        self._has_ended = True
        if self._protocol is not None and not self._raw.is_closing() and not self._protocol.eof_received():
            self.close()

    def eof_received(self) -> bool:
        """A FIN that no close_notify came before: what was received may be cut short (RFC 8446 section 6.1).
        Like a reset, it ends whatever is going on."""
        if not self._has_ended:
            self._raw.abort()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.deadline = NEVER
        self._context.wheel.disarm(self)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            # The collector would come late to what OpenSSL holds.
            del self._read, self._ssl_write
            if error is None and not self._has_ended and not self._is_closing:
                error = ConnectionResetError("the client ended without close_notify")
            protocol.connection_lost(error)
        self._ssl = None
        self._context.depart(self)

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    # ---- handshake

    def _shake_hands(self, data: bytes) -> None:
        if self._is_refused or self._ssl is None:
            return
        if not self._has_begun and data[0] != _HANDSHAKE:
            self._refuse_cleartext(data)
            return
        self._has_begun = True
        for start in range(0, len(data), _PIECE_BYTES):
            self._incoming.write(data[start : start + _PIECE_BYTES])
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                self._fail()
                return
            self._establish(self._ssl, data[start + _PIECE_BYTES :])
            return
        self._flush()

    def _establish(self, connection: ssl.SSLObject, rest: bytes) -> None:
        """`rest` came behind what the handshake took; part of it may be in the buffer already."""
        context = self._context
        self.deadline = NEVER
        context.wheel.disarm(self)
        context.count("tls_handshakes")
        self._read, self._ssl_write = connection.read, connection.write
        plain = self._decrypt(rest)
        if connection.version() != "TLSv1.3":
            self._flush()
        # Else all that is left to send are tickets: they go out with the first answer, in its write.
        protocol = self._protocol = ClientConnection(context, self.entrance, self.peer, is_tls=True)
        protocol.counted_address, self.counted_address = self.counted_address, None
        protocol.connection_made(self)
        context.depart(self)
        if plain and not self._raw.is_closing():
            protocol.data_received(plain)
        if self._has_ended:
            self._end()

    def _refuse_cleartext(self, data: bytes) -> None:
        """HTTP on a port for TLS is told so; anything else before a handshake is nothing we know."""
        self._is_refused = True
        self._context.count("tls_failures")
        if not data[:1].isalpha():
            sockets.reset(self._raw)
            return
        self._raw.write(replies.CLEARTEXT)
        self._raw.write_eof()
        self.deadline = self._context.wheel.turn + self._context.deadlines.linger
        self._context.wheel.arm(self)

    def _fail(self) -> None:
        """The alert says why; the deadline goes on for a client that does not take it."""
        self._is_refused = True
        self._context.count("tls_failures")
        self._flush()
        self._raw.close()

    def expire(self) -> None:
        """No handshake in time, or a refused client that stays."""
        if not self._is_refused:
            self._context.count("handshake_timeouts")
        self._raw.abort()

    # ---- the side of the protocol above

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if len(data) > _SENT_BYTES:
            self._write_records(data)
            return
        try:
            self._ssl_write(data)
        except ssl.SSLError:
            self._break()
            return
        self._raw.write(self._outgoing.read())

    def _write_records(self, data: bytes | bytearray | memoryview) -> None:
        """By records, so that the buffer between does not grow for ever; one write of the socket."""
        view = memoryview(data)
        records = []
        try:
            for start in range(0, len(view), _SENT_BYTES):
                self._ssl_write(view[start : start + _SENT_BYTES])
                records.append(self._outgoing.read())
        except ssl.SSLError:
            self._break()
            return
        self._raw.writelines(records)

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        self._say_end()
        self._raw.write_eof()

    def close(self) -> None:
        """What is written is sent, then close_notify: without it a client must take the answer for cut."""
        if not self._is_closing:
            self._is_closing = True
            self._say_end()
            self._raw.close()

    def abort(self) -> None:
        self._is_closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def is_reading(self) -> bool:
        return self._raw.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
        return self._raw.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        if self._protocol is None:
            raise RuntimeError("invariant: only what came out of a handshake has this transport")
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    # ---- helpers

    def _say_end(self) -> None:
        if self._ssl is None or self._has_said_end or self._raw.is_closing():
            return
        self._has_said_end = True
        # The peer's own close_notify is not waited for.
        with contextlib.suppress(ssl.SSLError):
            self._ssl.unwrap()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def _break(self) -> None:
        """A record that is not the peer's own, or an alert of his."""
        self._context.count("tls_failures")
        self._flush()
        self._raw.abort()
