"""aiohttp's server side with the deadlines and the silence that a front door needs."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import http_parser, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from proxy.edge.config import EdgeConfig
from proxy.lane import errors, replies
from proxy.lane.response import reset
from proxy.lane.upstream import READ_BUFFER_BYTES

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a process around the server wants to decide and to know."""

    may_enter: Callable[[str], bool] | None = None
    """Asked with the peer's address at accept; False drops the connection before a byte is read."""
    count: Callable[[str, int], None] = lambda _name, _amount: None
    """Counters and gauges by the names of the shared segment."""


class LaneProtocol(RequestHandler):
    """Against stock aiohttp: a deadline for heads, one for clients that do not read, errors without an
    echo.
    """

    __slots__ = ("_config", "_head_handle", "_hooks")

    def __init__(
        self,
        manager: web.Server,
        *,
        config: EdgeConfig,
        hooks: Hooks,
        **settings: Any,  # noqa: ANN401  # the arguments of RequestHandler, passed through
    ) -> None:
        super().__init__(manager, **settings)
        self._config = config
        self._hooks = hooks
        self._head_handle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        may_enter = self._hooks.may_enter
        peer = transport.get_extra_info("peername")
        is_unwanted = may_enter is not None and (not peer or not may_enter(peer[0]))
        manager = self._manager
        is_full = manager is not None and len(manager.connections) >= self._config.connection_count
        super().connection_made(transport)
        self._hooks.count("connections", 1)
        self._hooks.count("connections_open", 1)
        if is_unwanted:
            reset(self.transport)
            self.force_close()
        elif is_full and self.transport is not None:
            self._hooks.count("connections_shed", 1)
            self.transport.write(replies.whole(503))
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_head_deadline()
        super().connection_lost(exc)
        self._hooks.count("connections_open", -1)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._fail_running_body()
        # aiohttp waits for a head as long as for a next request. Idle after bytes have come means half a
        # head.
        is_waiting = self._waiter is not None and not self._waiter.done()
        if not is_waiting:
            if self._head_handle is not None:
                self._stop_head_deadline()
        elif self._head_handle is None and not self._force_close and not self._close:
            self._head_handle = self._loop.call_later(self._config.head_seconds, self._refuse_slow_head)

    def _fail_running_body(self) -> None:
        """Bad framing in the middle of a body: aiohttp queues a 400, the body's reader waits on."""
        request = self._current_request
        if request is not None and not request.content.is_eof():
            request.content.set_exception(RequestPayloadError("bad body framing"))

    def _stop_head_deadline(self) -> None:
        if self._head_handle is not None:
            self._head_handle.cancel()
            self._head_handle = None

    def _refuse_slow_head(self) -> None:
        self._head_handle = None
        self._hooks.count("head_timeouts", 1)
        if self.transport is not None:
            self.transport.write(replies.whole(408))
        self.force_close()

    async def _drain_helper(self) -> None:
        try:
            async with asyncio.timeout(self._config.send_idle_seconds):
                await super()._drain_helper()
        except TimeoutError as error:
            self._hooks.count("send_timeouts", 1)
            reset(self.transport)
            raise ConnectionResetError("client does not read") from error

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # the parser's text quotes the client's bytes
    ) -> web.StreamResponse:
        if isinstance(exc, errors.AnswerCutError) or request.writer.output_size > 0:
            reset(self.transport)
            raise ConnectionResetError("answer cut")
        if status >= 500:
            _log.error("request_failed", exc_info=exc)
        elif isinstance(exc, LineTooLong):
            status = 414 if str(exc.args[1]) == str(self._config.target_bytes) else 431
        return replies.problem(status, replies.request_id_of(request), close=True)


class LaneRunner(web.AppRunner):
    """`web.AppRunner` that makes `LaneProtocol` connections with the limits and timeouts of the
    configuration.
    """

    def __init__(self, application: web.Application, config: EdgeConfig, hooks: Hooks | None = None) -> None:
        require_compiled_parser()
        super().__init__(application, access_log=None, shutdown_timeout=config.drain_seconds)
        self._hooks = hooks or Hooks()
        self._config = config

    def configure(self, config: EdgeConfig) -> None:
        """For connections from now on."""
        self._config = config
        if isinstance(self.server, _LaneServer):
            self.server.configure(config, self._hooks)

    async def _make_server(self) -> web.Server:
        # Runs the application's startup; its server is replaced because the class of its protocols is fixed.
        stock = await super()._make_server()
        server = _LaneServer(
            stock.request_handler,
            request_factory=stock.request_factory,
            handler_cancellation=True,
            loop=asyncio.get_running_loop(),
        )
        server.configure(self._config, self._hooks)
        return server


class _LaneServer(web.Server):
    def configure(self, config: EdgeConfig, hooks: Hooks) -> None:
        self._kwargs = {"config": config, "hooks": hooks, **_server_settings(config)}

    def __call__(self) -> RequestHandler:
        return LaneProtocol(self, loop=self._loop, **self._kwargs)


def _server_settings(config: EdgeConfig) -> dict[str, Any]:
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
