"""`python -m tests.soak.checking_load PORT SECONDS PER_SECOND CONNECTIONS SEED`: requests whose answers
are checked to the last byte -> counts of what came, printed as JSON. `PER_SECOND` 0: as fast as answers
come.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import uvloop

from tests.soak.origin import seeded_body, upload_answer

# The statuses that `proxy/edge/DESIGN.md` has for what a gateway does wrong.
DOCUMENTED_STATUSES = (502, 503, 504)
HANG_SECONDS = 20.0


class CutError(Exception):
    """The connection ended within an answer. The client sees that: it is no wrong answer."""


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes) -> tuple[int, bytes, bool]:
        """-> status, body, whether the connection stays. Raises CutError within an answer, ConnectionError or
        IncompleteReadError before one."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = [line.partition(b":") for line in head.split(b"\r\n")[1:-2]]
        fields = {name.lower(): value.strip() for name, _, value in lines}
        try:
            body = await self._body(fields)
        except (OSError, EOFError) as error:
            raise CutError from error
        return int(head[9:12]), body, fields.get(b"connection", b"") != b"close"

    async def _body(self, fields: dict[bytes, bytes]) -> bytes:
        if b"content-length" in fields:
            return await self.reader.readexactly(int(fields[b"content-length"]))
        assert fields[b"transfer-encoding"] == b"chunked"
        pieces = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            pieces.append(await self.reader.readexactly(size))
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return b"".join(pieces)


@asynccontextmanager
async def connection_to(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=262144)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


class Load:
    def __init__(self, port: int, seconds: float, per_second: float, connections: int, seed: int) -> None:
        self._port = port
        self._end = time.monotonic() + seconds
        self._interval = connections / per_second if per_second else 0.0
        self._count = connections
        self._chance = random.Random(seed)
        self.came: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._ask_on(number))

    async def _ask_on(self, number: int) -> None:
        """Connection after connection until the time is over."""
        due = time.monotonic() + self._interval * number / self._count
        while time.monotonic() < self._end:
            try:
                async with connection_to(self._port) as connection:
                    due = await self._use(connection, due)
            except (OSError, EOFError) as error:
                self._note("no answer", repr(error))
            except CutError:
                self._note("cut within an answer", "")
            except TimeoutError:
                self._note("hang", "")

    async def _use(self, connection: Connection, due: float) -> float:
        while time.monotonic() < self._end:
            if self._interval:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due = max(due + self._interval, time.monotonic() - self._interval)
            request, expected = self._request()
            try:
                async with asyncio.timeout(HANG_SECONDS):
                    status, body, stays = await connection.ask(request)
            except TimeoutError:
                self._note("hang", request[:100].decode("latin-1"))
                return due
            self._judge(status, body, expected)
            if not stays:
                return due
        return due

    def _judge(self, status: int, body: bytes, expected: bytes) -> None:
        if status in DOCUMENTED_STATUSES:
            self._note(f"status {status}", "")
        elif status != 200:
            self._note("undocumented status", str(status))
        elif body != expected:
            self._note("wrong body", f"{len(body)} bytes instead of {len(expected)}")
        else:
            self._note("right", "")

    def _note(self, what: str, example: str) -> None:
        self.came[what] += 1
        self.examples.setdefault(what, example)

    def _request(self) -> tuple[bytes, bytes]:
        """Mostly small answers, some large, some uploads."""
        seed = f"{self._chance.getrandbits(64):016x}"
        kind = self._chance.random()
        if kind < 0.1:
            body = seeded_body(seed, self._chance.randrange(200_000))
            head = b"POST /upload HTTP/1.1\r\nHost: soak.example\r\nContent-Length: %d\r\n\r\n" % len(body)
            return head + body, upload_answer(sha256(body).hexdigest(), len(body))
        size = self._chance.randrange(300_000) if kind < 0.2 else self._chance.randrange(3000)
        form = "chunked" if self._chance.random() < 0.3 else "seeded"
        request = f"GET /{form}/{seed}/{size} HTTP/1.1\r\nHost: soak.example\r\n\r\n"
        return request.encode("ascii"), seeded_body(seed, size)


def main() -> None:
    port, seconds, per_second, connections, seed = (float(text) for text in sys.argv[1:6])
    load = Load(int(port), seconds, per_second, int(connections), int(seed))
    uvloop.run(load.run())
    print(json.dumps({"came": load.came, "examples": load.examples}))


if __name__ == "__main__":
    main()
