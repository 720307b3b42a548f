"""`python -m tests.soak.faults PORT ORIGIN_PORT SHARE SEED`: bytes both ways between edge and origin; of the
connections, `SHARE` (0 to 1) meet a fault.

reset: RST after so many bytes of answers. truncate: FIN there. delay: a pause there, some longer than the
edge waits. stall: nothing more from there on. slow: some hundred bytes at a time from there on. refuse: RST
at the accept. And with any share, every few seconds nobody listens for a moment.
"""

import asyncio
import random
import socket
import struct
import sys
from typing import cast

import uvloop

FAULTS = ("reset", "truncate", "delay", "stall", "slow", "refuse")
# Far enough apart that most requests meet none: at 25 MB/s some 50 of them a second.
_FIRST_FAULT_BYTES = 1_000_000
_DELAY_SECONDS = (0.05, 3.0)
_SLOW_PIECE_BYTES = 500
_SLOW_SECONDS = 0.01
_SLOW_TOTAL_BYTES = 50_000
_DEAF_SECONDS = (5.0, 0.2)
_RESET = struct.pack("ii", 1, 0)


class Side(asyncio.Protocol):
    """One of the two connections of a pair."""

    def __init__(self, pair: "Pair", *, is_origin: bool) -> None:
        self._pair = pair
        self._is_origin = is_origin
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if not self._is_origin:
            self._pair.start()

    def data_received(self, data: bytes) -> None:
        if self._is_origin:
            self._pair.answer(data)
        else:
            self._pair.request(data)

    def eof_received(self) -> bool:
        self._pair.close()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._pair.close()

    def pause_writing(self) -> None:
        self._pair.other(self).set_reading(False)

    def resume_writing(self) -> None:
        self._pair.other(self).set_reading(True)

    def set_reading(self, wanted: bool) -> None:
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.resume_reading if wanted else self.transport.pause_reading)()


class Pair:
    """The edge's connection and ours to the origin, and the fault that this pair meets."""

    def __init__(self, origin_port: int, fault: str | None, after_bytes: int, delay_seconds: float) -> None:
        self._origin_port = origin_port
        self._fault = fault
        self._left = after_bytes
        self._delay_seconds = delay_seconds
        self._held: list[bytes] = []
        self._is_held = False
        self._early: list[bytes] = []
        self._is_closed = False
        self._task: asyncio.Task[None] | None = None
        self.edge = Side(self, is_origin=False)
        self.origin = Side(self, is_origin=True)

    def other(self, side: Side) -> Side:
        return self.edge if side is self.origin else self.origin

    def start(self) -> None:
        if self._fault == "refuse":
            self._reset()
        else:
            self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self.origin, "127.0.0.1", self._origin_port
            )
        except OSError:
            self.close()
            return
        if self._is_closed:
            self._close_side(self.origin)
            return
        early, self._early = self._early, []
        if early:
            self._write(self.origin, b"".join(early))

    def request(self, data: bytes) -> None:
        if self.origin.transport is None:
            self._early.append(data)
        else:
            self._write(self.origin, data)

    def answer(self, data: bytes) -> None:
        if self._is_held:
            self._held.append(data)
            return
        if self._fault is None or len(data) < self._left:
            self._left -= len(data)
            self._write(self.edge, data)
            return
        before, behind = data[: self._left], data[self._left :]
        if before:
            self._write(self.edge, before)
        self._held.append(behind)
        self._is_held = True
        self._meet_fault(self._fault)

    def _meet_fault(self, fault: str) -> None:
        loop = asyncio.get_running_loop()
        if fault == "reset":
            self._reset()
        elif fault == "truncate":
            self.close()
        elif fault == "delay":
            self._fault = None
            loop.call_later(self._delay_seconds, self._release)
        elif fault == "slow":
            self._trickle(_SLOW_TOTAL_BYTES)
        # A stall is what is left: it ends when the edge has had enough.

    def _release(self) -> None:
        self._is_held = False
        held, self._held = b"".join(self._held), []
        if held:
            self._write(self.edge, held)

    def _trickle(self, left: int) -> None:
        """As long as there is something to send; then on as usual."""
        if self._is_closed:
            return
        held = b"".join(self._held)
        if left <= 0:
            self._fault = None
            self._release()
            return
        if held:
            self._write(self.edge, held[:_SLOW_PIECE_BYTES])
            self._held = [held[_SLOW_PIECE_BYTES:]]
        asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._trickle, left - _SLOW_PIECE_BYTES)

    def _write(self, side: Side, data: bytes) -> None:
        if side.transport is not None and not side.transport.is_closing():
            side.transport.write(data)

    def _reset(self) -> None:
        transport = self.edge.transport
        if transport is not None and not transport.is_closing():
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        self.close()

    def close(self) -> None:
        self._is_closed = True
        self._held = []
        self._close_side(self.edge)
        self._close_side(self.origin)

    def _close_side(self, side: Side) -> None:
        if side.transport is not None and not side.transport.is_closing():
            side.transport.close()


async def serve(port: int, origin_port: int, share: float, seed: int) -> None:
    chance = random.Random(seed)

    def pair() -> Side:
        fault = chance.choice(FAULTS) if chance.random() < share else None
        after_bytes = chance.randrange(_FIRST_FAULT_BYTES)
        return Pair(origin_port, fault, after_bytes, chance.uniform(*_DELAY_SECONDS)).edge

    loop = asyncio.get_running_loop()
    listens_seconds, deaf_seconds = _DEAF_SECONDS
    while True:
        server = await loop.create_server(pair, "127.0.0.1", port, backlog=4096)
        print("ready", flush=True)
        await asyncio.sleep(listens_seconds if share else 1e9)
        server.close()
        await asyncio.sleep(deaf_seconds)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
