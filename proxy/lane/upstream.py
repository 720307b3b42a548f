"""One request head and body -> one response head and body, over a pooled aiohttp connection, without a
`ClientSession`.

A session would re-quote the target, add fields, follow its own retry rule (any idempotent request, fresh
connections too) and keep cookies. The connector and the response parser are aiohttp's; the request is written
by us.
"""

import asyncio
import itertools
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import ClientError, ClientRequest, ClientTimeout
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpVersion11, RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from proxy.edge.config_upstreams import TargetConfig
from proxy.lane import errors, heads
from proxy.lane.config import LaneConfig
from proxy.lane.connector import GuardedConnector, UpstreamProtocol

READ_BUFFER_BYTES: Final = 65536
# What a small body and its head are sent together up to.
_JOIN_BYTES: Final = 16384


class Upstream:
    """The targets of a lane, each with its pool. Made inside the running loop, closed by its owner."""

    def __init__(self, config: LaneConfig) -> None:
        self._config = config
        self._pools = [_Pool(target, config) for target in config.all_targets]
        # Each as often as its weight says, spread: a, b, a rather than a, a, b.
        turns = [
            ((number + 0.5) / pool.target.weight, pool)
            for pool in self._pools
            for number in range(pool.target.weight)
        ]
        self._turns = itertools.cycle([pool for _, pool in sorted(turns, key=lambda turn: turn[0])])

    def configure(self, config: LaneConfig) -> bool:
        """False when the change needs other pools."""
        if _pool_settings(config) != _pool_settings(self._config):
            return False
        self._config = config
        return True

    async def close(self) -> None:
        for pool in self._pools:
            await pool.connector.close()

    async def open(self, *, fresh: bool) -> "UpstreamExchange":
        """A connection from the pool or, when `fresh`, a new one; to the next target that can be reached.

        Raises UpstreamError or UpstreamTimeoutError when none of them can.
        """
        tried: set[_Pool] = set()
        while True:
            pool = next(self._turns)
            if pool in tried:
                continue
            tried.add(pool)
            try:
                connection = await pool.connect(fresh=fresh)
            except Exception as error:
                if len(tried) < len(self._pools) and isinstance(error, (OSError, ClientError)):
                    continue
                raise errors.from_upstream(error, is_reused=False) from error
            return UpstreamExchange(connection, self._config, pool.host)


class _Pool:
    """Connections to one target."""

    def __init__(self, target: TargetConfig, config: LaneConfig) -> None:
        self.target = target
        self._receive_buffer_bytes = config.receive_buffer_bytes
        self.connector = GuardedConnector(
            limit=0,
            keepalive_timeout=config.upstream_idle_seconds,
            idle_count=config.upstream_idle_count,
            unix_path=target.path or None,
            socket_factory=self._make_socket,
            ttl_dns_cache=10,
        )
        # Only its address is used, to connect and as the key of the pool.
        url = URL.build(scheme="http", host=target.host or "localhost", port=target.port or 80)
        self._address = ClientRequest("GET", url, loop=asyncio.get_running_loop())
        self._timeout = ClientTimeout(total=None, connect=config.upstream_connect_seconds)
        name = f"[{target.host}]" if ":" in target.host else target.host or "localhost"
        # The target by its own name, for `host_header = "target"`.
        self.host = (name if target.port in (0, 80) else f"{name}:{target.port}").encode("ascii")

    async def connect(self, *, fresh: bool) -> Connection:
        return await self.connector.connect(self._address, [], self._timeout, fresh=fresh)

    def _make_socket(self, address: tuple[int, int, int, str, object]) -> socket.socket:
        made = socket.socket(address[0], address[1], address[2])
        made.setblocking(False)
        # 64 KiB keeps the loop fair between streams and the memory of slow readers small.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
        return made


def _pool_settings(config: LaneConfig) -> tuple[object, ...]:
    return (
        config.all_targets,
        config.upstream_idle_seconds,
        config.upstream_idle_count,
        config.upstream_connect_seconds,
        config.receive_buffer_bytes,
    )


class UpstreamExchange:
    """One request on one connection. `release` gives the connection back, `close` destroys it; one of them
    must run.
    """

    __slots__ = ("_config", "_connection", "_protocol", "is_reused", "target_host")

    def __init__(self, connection: Connection, config: LaneConfig, target_host: bytes) -> None:
        protocol = connection.protocol
        if protocol is None:
            raise errors.UpstreamError("connection lost before its use")
        self._connection = connection
        self._protocol: ResponseHandler = protocol
        self._config = config
        self.target_host = target_host
        self.is_reused: bool = getattr(protocol, "use_count", 0) > 0

    def send_head(self, head: bytes, body: bytes, *, has_more: bool, expects_body: bool) -> None:
        """Write the head, and `body` with it. `expects_body` is False for the answer to HEAD."""
        config = self._config
        if isinstance(self._protocol, UpstreamProtocol):
            self._protocol.expect(has_body=expects_body)
        self._protocol.set_response_params(
            skip_payload=not expects_body,
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=config.upstream_head_seconds,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=config.response_head_bytes,
            max_field_size=config.response_head_bytes,
            max_headers=4 * config.header_count,
        )
        if len(body) <= _JOIN_BYTES:
            self._write(head + body)
        else:
            self._write(head)
            self._write(body)
        if not has_more:
            self.request_sent()

    def _write(self, data: bytes) -> None:
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            # Whatever the reason, `read_head` reports it: an early answer may be waiting there.
            return
        transport.write(data)

    async def send_body(self, data: bytes) -> None:
        """Returns when the transport takes more. Raises UpstreamTimeoutError, or UpstreamError when it is
        gone.
        """
        protocol = self._protocol
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise errors.UpstreamError("upstream closed while the request was sent")
        transport.write(data)
        if protocol.writing_paused:
            try:
                async with asyncio.timeout(self._config.upstream_write_idle_seconds):
                    await protocol._drain_helper()
            except TimeoutError as error:
                raise errors.UpstreamTimeoutError("upstream does not read the request") from error
            except OSError as error:
                raise errors.UpstreamError(repr(error)) from error

    def request_sent(self) -> None:
        """From here on the head deadline runs."""
        self._protocol.start_timeout()

    def fail(self, error: errors.LaneError) -> None:
        """Wake up whoever waits for the answer with this error."""
        self._protocol.set_exception(error)

    async def read_head(
        self, on_interim: Callable[[RawResponseMessage], None]
    ) -> tuple[RawResponseMessage, StreamReader, int | None]:
        """(message, body, declared length). Raises UpstreamStaleError when a retry may be safe."""
        try:
            while True:
                message, body = await self._protocol.read()
                length = heads.read_response(message.code, message.version, message.raw_headers)
                if message.code >= 200:
                    break
                on_interim(message)
        except Exception as error:  # mapped, never swallowed
            raise errors.from_upstream(error, is_reused=self.is_reused) from error
        if (
            sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
            > self._config.response_head_bytes
        ):
            raise errors.MalformedAnswerError(f"response head above {self._config.response_head_bytes} bytes")
        self._protocol.read_timeout = self._config.upstream_read_idle_seconds
        return message, body, length

    def finish(self, message: RawResponseMessage, *, request_is_complete: bool) -> None:
        """The body has been read to its end: give the connection back when both sides may go on."""
        if request_is_complete and not message.should_close and message.version == HttpVersion11:
            self._connection.release()
        else:
            self._connection.close()

    def close(self) -> None:
        """Destroy the connection; does nothing after `finish`."""
        self._connection.close()
