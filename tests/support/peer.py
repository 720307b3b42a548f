"""One end of a TCP connection, driven by a test: every byte in and out is the test's own decision."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from hashlib import sha256

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Head:
    """A message head as it came: the start line and the fields in order."""

    raw: bytes
    start_line: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, raw: bytes) -> "Head":
        start_line, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        fields = tuple((line.partition(":")[0].lower(), line.partition(":")[2].strip()) for line in lines)
        return cls(raw, start_line, fields)

    @property
    def status(self) -> int:
        return int(self.start_line.split(" ")[1])

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name.lower()]

    def get(self, name: str) -> str | None:
        found = self.all(name)
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Message:
    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return self.head.status


class Peer:
    """Reads nothing that is not asked for: a peer that does not read really fills the socket."""

    def __init__(self, endpoint: socket.socket) -> None:
        endpoint.setblocking(False)
        self.socket = endpoint
        self.buffer = b""

    async def send(self, data: bytes) -> None:
        await self.send_raw(data)

    def send_at_once(self, data: bytes) -> None:
        """Before anything else runs; for what fits into the socket."""
        self.socket.send(data)

    async def send_raw(self, data: bytes) -> None:
        """To the socket, whatever is spoken on it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def send_slowly(self, data: bytes, piece_bytes: int = 1) -> None:
        """In pieces, each its own segment."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), piece_bytes):
            await self.send(data[start : start + piece_bytes])
            await asyncio.sleep(0)

    async def receive(self, limit: int = 262144) -> bytes:
        """b"" at the peer's FIN; raises ConnectionResetError at its RST."""
        if self.buffer:
            data, self.buffer = self.buffer[:limit], self.buffer[limit:]
            return data
        return await self._take(limit)

    async def _take(self, limit: int) -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.get_running_loop().sock_recv(self.socket, limit)

    async def read_until(self, marker: bytes) -> bytes:
        while (end := self.buffer.find(marker)) < 0:
            data = await self._take(262144)
            if not data:
                raise EOFError(f"ended before {marker!r}: {self.buffer!r}")
            self.buffer += data
        end += len(marker)
        found, self.buffer = self.buffer[:end], self.buffer[end:]
        return found

    async def read_exactly(self, count: int) -> bytes:
        pieces = []
        while count:
            data = await self.receive(min(count, 262144))
            if not data:
                raise EOFError(f"ended {count} bytes early")
            pieces.append(data)
            count -= len(data)
        return b"".join(pieces)

    async def read_head(self) -> Head:
        return Head.parse(await self.read_until(b"\r\n\r\n"))

    async def read_chunked(self) -> bytes:
        pieces = []
        while size := int((await self.read_until(b"\r\n")).split(b";")[0], 16):
            pieces.append(await self.read_exactly(size))
            assert await self.read_exactly(2) == b"\r\n"
        while await self.read_until(b"\r\n") != b"\r\n":
            pass
        return b"".join(pieces)

    async def read_body(self, head: Head, *, to_end: bool = False) -> bytes:
        if head.get("transfer-encoding") == "chunked":
            return await self.read_chunked()
        length = head.get("content-length")
        if length is not None:
            return await self.read_exactly(int(length))
        return await self.read_to_end() if to_end else b""

    async def digest_body(self, head: Head) -> tuple[int, str]:
        """(count, SHA-256) of a body that is too large to keep."""
        digest = sha256()
        count = 0
        length = head.get("content-length")
        if head.get("transfer-encoding") == "chunked":
            while size := int((await self.read_until(b"\r\n")).split(b";")[0], 16):
                count += size
                await self._digest(digest, size)
                assert await self.read_exactly(2) == b"\r\n"
            assert await self.read_until(b"\r\n") == b"\r\n"
        elif length is not None:
            count = int(length)
            await self._digest(digest, count)
        else:
            while data := await self.receive():
                count += len(data)
                digest.update(data)
        return count, digest.hexdigest()

    async def _digest(self, digest, count: int) -> None:
        while count:
            data = await self.receive(min(count, 262144))
            if not data:
                raise EOFError(f"ended {count} bytes early")
            digest.update(data)
            count -= len(data)

    async def read_to_end(self) -> bytes:
        """All that comes until FIN; raises ConnectionResetError at an RST."""
        pieces = []
        while data := await self.receive():
            pieces.append(data)
        return b"".join(pieces)

    async def see_end(self) -> str:
        """`fin` or `reset`; what comes before it is thrown away."""
        try:
            await self.read_to_end()
        except (ConnectionResetError, BrokenPipeError):
            return "reset"
        return "fin"

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
