"""The unix socket on which workers attach: frames down, acknowledgements and events up.

Nothing here waits for a worker. A frame is written once; what a worker missed comes again whole: every
OVERLAY is the whole overlay and an attach is everything.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

from proxy import frames
from proxy.blocklist.kept import write_atomically
from proxy.control.state import Version
from proxy.control.targets import TargetReports
from proxy.errors import ConfigError
from proxy.telemetry import events, logs

SOCKET_NAME = "control.sock"
ATTACH_NAME = "attach.frames"

RESEND_AFTER_SECONDS = 5.0
RESEND_EVERY_SECONDS = 1.0
RESEND_LIMIT_COUNT = 3
# A worker that reads nothing is cut off here; it attaches again and gets the newest state only.
UNREAD_LIMIT_BYTES = 64 * 1024 * 1024
_SOCKET_PATH_BYTES = 107
_CREDENTIALS = struct.Struct("iII")
_TRUSTED_USER_IDS = (0,)


class Link(asyncio.Protocol):
    """One attached worker."""

    def __init__(self, links: "Links") -> None:
        self._links = links
        self._reader = frames.FrameReader()
        self._transport: asyncio.Transport | None = None
        self.slot: int | None = None
        self.process_id = 0
        self.acknowledged: Version = (0, 0)
        self.sent_at = 0.0
        self.resend_count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        opened = cast("asyncio.Transport", transport)
        if not _is_own_user(opened.get_extra_info("socket")):
            logs.logger().warning(events.WORKER_REFUSED, reason="another user")
            opened.abort()
            return
        self._transport = opened

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except frames.FrameError as error:
            logs.logger().warning(events.WORKER_REFUSED, slot=self.slot, reason=str(error))
            self.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._links.detached(self)

    def send(self, data: bytes) -> None:
        if self._transport is None or not data:
            return
        if self._transport.get_write_buffer_size() > UNREAD_LIMIT_BYTES:
            logs.logger().warning(events.WORKER_REFUSED, slot=self.slot, reason="does not read")
            self.abort()
            return
        self._transport.write(data)
        self.sent_at = asyncio.get_running_loop().time()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _take(self, frame: frames.Frame) -> None:
        match frame.kind:
            case frames.Kind.HELLO:
                self.slot, self.process_id = frames.decode_hello(frame.payload)
                self._links.attached(self)
            case frames.Kind.ACKNOWLEDGE:
                self.acknowledged = frames.decode_acknowledge(frame.payload)
                self.resend_count = 0
                self._links.acknowledged()
            case frames.Kind.EVENTS:
                self._links.on_events(frame.payload)
            case frames.Kind.TARGETS:
                self._links.targets.take(self.slot, self.process_id, frame.payload)
            case frames.Kind.SUMMARY if self.slot is not None:
                self._links.on_summary(self.slot, frame.payload)
            case _:
                raise frames.FrameError(f"a worker does not send {frame.kind.name}")


class Links:
    """All attached workers, and the bytes that a new one gets."""

    def __init__(
        self,
        runtime_directory: Path,
        on_events: Callable[[bytes], None],
        on_summary: Callable[[int, bytes], None],
    ) -> None:
        self.on_events = on_events
        self.targets = TargetReports()
        self.on_summary = on_summary
        self._socket_path = runtime_directory / SOCKET_NAME
        self._attach_path = runtime_directory / ATTACH_NAME
        self._links: set[Link] = set()
        self._attach_frames = b""
        self._wanted: Version | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises ConfigError when the path is too long, OSError when it cannot be bound."""
        if len(os.fsencode(self._socket_path)) > _SOCKET_PATH_BYTES:
            raise ConfigError(
                f"{self._socket_path}: is too long for a unix socket: choose a shorter state directory"
            )
        # A dead control process leaves its socket file behind; the lock says that there is no living one.
        self._socket_path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: Link(self), str(self._socket_path))
        finally:
            os.umask(mask)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in tuple(self._links):
            link.abort()
        self._socket_path.unlink(missing_ok=True)

    def broadcast(self, data: bytes, attach_frames: bytes, wanted: Version | None) -> None:
        """Send `data` to the attached; whoever attaches from now on gets `attach_frames`.

        `wanted` is the version that an acknowledgement must reach, None while there is no list.
        """
        self._attach_frames = attach_frames
        self._wanted = wanted
        for link in self._attached():
            link.send(data)

    def write_attach_file(self) -> None:
        """For a worker that starts while no control process is there. Not synced: our start makes it anew."""
        write_atomically(self._attach_path, self._attach_frames, sync=False)

    def applied(self, version: Version) -> tuple[int, int]:
        """(workers that have applied this version or a later one, workers attached)."""
        attached = self._attached()
        return sum(_has_reached(link.acknowledged, version) for link in attached), len(attached)

    async def wait_applied(self, version: Version, timeout_seconds: float) -> tuple[int, int]:
        """As `applied`, once every attached worker has it or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while (counts := self.applied(version))[0] < counts[1]:
                    waiting = asyncio.get_running_loop().create_future()
                    self._waiting.add(waiting)
                    try:
                        await waiting
                    finally:
                        self._waiting.discard(waiting)
        return self.applied(version)

    async def resend_forever(self) -> None:
        while True:
            await asyncio.sleep(RESEND_EVERY_SECONDS)
            self.resend()

    def resend(self) -> None:
        """A worker that does not acknowledge gets everything again; when that does not help it is cut off."""
        now = asyncio.get_running_loop().time()
        for link in self._attached():
            is_behind = self._wanted is not None and not _has_reached(link.acknowledged, self._wanted)
            if is_behind and now - link.sent_at > RESEND_AFTER_SECONDS:
                self._resend(link)

    def workers(self) -> list[dict[str, object]]:
        """For the status: slot, process id and version of each attached worker."""
        return [
            {
                "slot": link.slot,
                "process_id": link.process_id,
                "version": {"epoch": link.acknowledged[0], "sequence": link.acknowledged[1]},
            }
            for link in sorted(self._attached(), key=lambda item: item.slot or 0)
        ]

    def attached(self, link: Link) -> None:
        # Two processes of one slot are well: one drains, and what it has open hears of blocks like the rest.
        for other in tuple(self._links):
            if other is not link and (other.slot, other.process_id) == (link.slot, link.process_id):
                other.abort()  # it has attached again, and its old socket is not gone yet
        self._links.add(link)
        logs.logger().info(events.WORKER_ATTACHED, slot=link.slot, process_id=link.process_id)
        link.send(self._attach_frames)

    def detached(self, link: Link) -> None:
        if link in self._links:
            self._links.discard(link)
            self.targets.detached(link.slot, link.process_id)
            logs.logger().info(events.WORKER_DETACHED, slot=link.slot, process_id=link.process_id)
            self.acknowledged()

    def acknowledged(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def _attached(self) -> tuple[Link, ...]:
        return tuple(self._links)

    def _resend(self, link: Link) -> None:
        link.resend_count += 1
        if link.resend_count > RESEND_LIMIT_COUNT:
            logs.logger().warning(events.WORKER_REFUSED, slot=link.slot, reason="does not acknowledge")
            link.abort()
            return
        logs.logger().info(events.WORKER_RESENT, slot=link.slot, count=link.resend_count)
        link.send(self._attach_frames)


def _has_reached(acknowledged: Version, wanted: Version) -> bool:
    """Within one epoch; a version of another epoch is of another log and says nothing about this one."""
    return acknowledged[0] == wanted[0] and acknowledged[1] >= wanted[1]


def _is_own_user(peer: socket.socket) -> bool:
    """The socket's mode says so already; this also holds when the umask or the folder changes."""
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user_id, _ = _CREDENTIALS.unpack(credentials)
    return bool(user_id in (*_TRUSTED_USER_IDS, os.geteuid()))
