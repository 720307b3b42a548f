"""An application -> a server with our connections, our limits and a stop that loses nothing."""

import asyncio
from typing import Any

from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from proxy.lane.behind import EdgeRequests, LaneHandler
from proxy.lane.config import LaneConfig
from proxy.lane.connection import Hooks, LaneProtocol
from proxy.lane.upstream import READ_BUFFER_BYTES

# For handlers that are cancelled at the end of a drain.
_LAST_SECONDS = 0.1


class LaneRunner(web.AppRunner):
    """`web.AppRunner` that makes `LaneProtocol` connections with the limits and timeouts of the
    configuration.
    """

    def __init__(self, application: web.Application, config: LaneConfig, hooks: Hooks | None = None) -> None:
        require_compiled_parser()
        super().__init__(application, access_log=None, shutdown_timeout=config.drain_seconds)
        self._hooks = hooks or Hooks()
        self._config = config

    def configure(self, config: LaneConfig) -> None:
        """For connections from now on."""
        self._config = config
        if isinstance(self.server, _LaneServer):
            self.server.configure(config, self._hooks)

    async def _make_server(self) -> web.Server:
        # Runs the application's startup; its server is replaced because the class of its protocols is fixed.
        stock = await super()._make_server()
        config = self._config
        handler, factory = stock.request_handler, stock.request_factory
        if config.is_behind_edge:
            handler = LaneHandler(handler, config.concurrency_count)
            factory = EdgeRequests(config.read_bytes)
        server = _LaneServer(
            handler,
            request_factory=factory,
            handler_cancellation=True,
            loop=asyncio.get_running_loop(),
        )
        server.configure(self._config, self._hooks)
        return server


class _LaneServer(web.Server):
    _everyone_left: asyncio.Future[None] | None = None

    def configure(self, config: LaneConfig, hooks: Hooks) -> None:
        self._kwargs = {"config": config, "hooks": hooks, **_server_settings(config)}

    def __call__(self) -> RequestHandler:
        return LaneProtocol(self, loop=self._loop, **self._kwargs)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        task = handler._task_handler
        if task is None:
            self._look_whether_empty()
        else:
            # Behind the callback that the base class has just added: it counts the connection until then.
            task.add_done_callback(self._look_whether_empty)

    def _look_whether_empty(self, _ended: object = None) -> None:
        if self._everyone_left is not None and not self._connections and not self._everyone_left.done():
            self._everyone_left.set_result(None)

    def pre_shutdown(self) -> None:
        for connection in self.connections:
            if isinstance(connection, LaneProtocol):
                connection.begin_drain()

    async def shutdown(self, timeout: float | None = None) -> None:
        """Until every connection has ended by itself; those that have not within `timeout` are cut."""
        if self._connections:
            self._everyone_left = self._loop.create_future()
            await asyncio.wait((self._everyone_left,), timeout=timeout)
        await super().shutdown(_LAST_SECONDS)


def _server_settings(config: LaneConfig) -> dict[str, Any]:
    return {
        "keepalive_timeout": config.keepalive_seconds,
        "tcp_keepalive": False,  # the deadlines above find a dead peer sooner
        "access_log": None,
        "max_line_size": config.target_bytes,
        "max_field_size": config.head_bytes,
        "max_headers": config.header_count,
        "lingering_time": config.linger_seconds,
        "read_bufsize": READ_BUFFER_BYTES,
        "auto_decompress": False,
    }


def require_compiled_parser() -> None:
    """The pure Python parser accepts other input than the compiled one, and a wheel without it installs
    silently.
    """
    if http_parser.HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise RuntimeError(
            "aiohttp runs without its compiled parser: install a binary wheel, unset AIOHTTP_NO_EXTENSIONS"
        )
