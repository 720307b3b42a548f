"""The worker's end of the control socket: lists, overlays and configuration in, acknowledgements and events
out.

The control process may be away for any time: the worker goes on with what it has, and starts from
`attach.frames`.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from proxy import frames
from proxy.edge import log
from proxy.edge.attached import Attached
from proxy.edge.config import EdgeConfig
from proxy.edge.config_upstreams import health_from_wire
from proxy.edge.lists import Lists
from proxy.frames import Frame, FrameError, FrameReader, Kind

_READ_BYTES: Final = 262144
_FIRST_RETRY_SECONDS: Final = 0.05
# A refused connect costs microseconds, and a worker without its first list refuses every request.
_LAST_RETRY_SECONDS: Final = 0.1
# The sample is of a quarter of an hour: what is 10 s old is good enough.
_SAMPLE_EVERY: Final = 10
# What the control process may leave unread; the gate keeps later events, within its own bound.
_UNREAD_BYTES: Final = 1 << 20


class Link:
    __slots__ = ("_context", "_lists", "_reported", "_runtime_directory", "_summary_count", "_writer")

    def __init__(self, context: Attached, lists: Lists, runtime_directory: Path) -> None:
        self._context = context
        self._lists = lists
        self._runtime_directory = runtime_directory
        self._writer: asyncio.StreamWriter | None = None
        # What this control process knows already.
        self._reported = b""
        self._summary_count = 0

    async def restore(self) -> None:
        """Apply what the control process last left for a starting worker. A bad file is as good as none."""
        try:
            content = await asyncio.to_thread((self._runtime_directory / "attach.frames").read_bytes)
        except FileNotFoundError:
            return
        except OSError as error:
            log.write(log.FRAME_REFUSED, self._context.slot, error=str(error))
            return
        try:
            for frame in FrameReader().feed(content):
                await self._apply(frame)
        except (ValueError, FrameError) as error:
            log.write(log.FRAME_REFUSED, self._context.slot, error=str(error))

    async def run(self) -> None:
        """Attach, again and again, until cancelled."""
        delay = _FIRST_RETRY_SECONDS
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(
                    str(self._runtime_directory / "control.sock")
                )
            except OSError:
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LAST_RETRY_SECONDS)
                continue
            delay = _FIRST_RETRY_SECONDS
            await self._attached(reader, writer)
            await asyncio.sleep(delay)

    async def _attached(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        slot = self._context.slot
        log.write(log.CONTROL_ATTACHED, slot)
        reason = "closed"
        try:
            writer.write(frames.encode_hello(slot, os.getpid()))
            self._writer = writer
            self._reported = b""
            incoming = FrameReader()
            while data := await reader.read(_READ_BYTES):
                for frame in incoming.feed(data):
                    await self._apply(frame)
        except (OSError, ValueError, FrameError) as error:
            reason = str(error)
        finally:
            self._writer = None
            writer.close()
        log.write(log.CONTROL_LOST, slot, reason=reason)

    async def _apply(self, frame: Frame) -> None:
        """Raises FrameError when the frame is none of ours; a list or configuration that is refused is only
        logged."""
        match frame.kind:
            case Kind.CONFIGURE:
                await self._configure(frame.payload)
            case Kind.INSTALL:
                await self._install(frame.payload)
            case Kind.OVERLAY:
                await self._overlay(frame.payload)
            case Kind.HEALTH:
                self._health(frame.payload)
            case _:
                raise FrameError(f"frame kind {frame.kind.name} does not travel to a worker")

    async def _configure(self, payload: bytes) -> None:
        slot = self._context.slot
        try:
            await self._context.configure(EdgeConfig.from_wire(payload))
        except (ValueError, TypeError, OSError) as error:
            log.write(log.CONFIGURATION_REFUSED, slot, error=str(error))
        else:
            log.write(log.CONFIGURATION_APPLIED, slot)

    def _health(self, payload: bytes) -> None:
        try:
            self._context.take_health(health_from_wire(payload))
        except ValueError as error:
            log.write(log.FRAME_REFUSED, self._context.slot, error=str(error))

    async def _install(self, payload: bytes) -> None:
        epoch, sequence, path = frames.decode_install(payload)
        slot = self._context.slot
        try:
            await self._lists.install(path)
        except (OSError, ValueError) as error:
            log.write(log.LIST_REFUSED, slot, path=path, error=str(error))
            return
        log.write(log.LIST_INSTALLED, slot, epoch=epoch, sequence=sequence)

    async def _overlay(self, payload: bytes) -> None:
        epoch, sequence, packed = frames.decode_overlay(payload)
        try:
            await self._lists.overlay(epoch, sequence, packed)
        except ValueError as error:
            log.write(log.LIST_REFUSED, self._context.slot, error=str(error))
        else:
            self._send(frames.encode_acknowledge(epoch, sequence))

    def send_events(self) -> None:
        """Called each second: what was denied since, and who sent most."""
        writer = self._writer
        if writer is None or writer.transport.get_write_buffer_size() > _UNREAD_BYTES:
            return
        events = self._context.gate.drain_events()
        if events:
            self._send(frames.encode(Kind.EVENTS, events))
        gate = self._context.gate
        sample = gate.client_sample() if self._summary_count % _SAMPLE_EVERY == 0 else None
        self._summary_count += 1
        self._send(frames.encode_summary(gate.drain_hitters(), sample))

    def send_targets(self, report: Callable[[], bytes]) -> None:
        """Called each second: how the targets are, when that has changed."""
        writer = self._writer
        if writer is None or writer.transport.get_write_buffer_size() > _UNREAD_BYTES:
            return
        targets = report()
        if targets != self._reported:
            self._reported = targets
            self._send(frames.encode(Kind.TARGETS, targets))

    def _send(self, frame: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame)
