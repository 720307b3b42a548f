"""EVENTS frames of the workers -> the bounded history of denials in the store."""

import asyncio
import time
from collections import deque
from typing import Any

import orjson

from proxy.errors import StoreError
from proxy.store.protocol import Store
from proxy.store.records import Denial
from proxy.telemetry import events, logs

_PENDING_COUNT = 20_000
_BATCH_COUNT = 2_000
_LINE_BYTES = 8_192
_EVERY_SECONDS = 0.25


class DenialRecorder:
    """Takes at any speed, writes at the store's; what does not fit is counted, not kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: deque[bytes] = deque()
        self.dropped_count = 0
        self.recorded_count = 0

    def take(self, payload: bytes) -> None:
        """The payload of one EVENTS frame; parsed later, off this callback."""
        for line in payload.splitlines():
            if len(self._pending) >= _PENDING_COUNT or len(line) > _LINE_BYTES:
                self.dropped_count += 1
            elif line:
                self._pending.append(line)

    async def write_forever(self) -> None:
        reported_count = 0
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self.flush()
            if self.dropped_count != reported_count:
                logs.logger().warning(events.DENIALS_DROPPED, count=self.dropped_count - reported_count)
                reported_count = self.dropped_count

    async def flush(self) -> None:
        while self._pending:
            lines = [self._pending.popleft() for _ in range(min(len(self._pending), _BATCH_COUNT))]
            batch = [denial for line in lines if (denial := parse(line, time.time())) is not None]
            self.dropped_count += len(lines) - len(batch)
            try:
                await self._store.add_denials(batch)
                self.recorded_count += len(batch)
            except StoreError as error:
                self.dropped_count += len(batch)
                logs.logger().warning(events.DENIALS_DROPPED, count=len(batch), reason=str(error))
                return


def parse(line: bytes, now: float) -> Denial | None:
    """None when the line is no JSON object. A missing time is now: another version may have sent it."""
    try:
        values: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(values, dict):
        return None
    moment = values.get("time", now)
    seconds = float(moment) if isinstance(moment, (int, float)) else now
    client = values.get("client")
    return Denial(int(seconds * 1000), client if isinstance(client, str) else "", line)
