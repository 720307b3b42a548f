"""One client connection: aiohttp's protocol with the deadlines and limits that a front door needs."""

import asyncio
import fcntl
import logging
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from proxy.lane import behind, errors, replies
from proxy.lane.config import LaneConfig
from proxy.lane.passing import Passing
from proxy.lane.response import is_last, reset

_log = logging.getLogger(__name__)

_COUNT: Final = struct.Struct("i")
_NO_COUNT: Final = _COUNT.pack(0)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a process around the server wants to decide and to know."""

    may_enter: Callable[[str], bool] | None = None
    """Asked with the peer's address at accept; False drops the connection before a byte is read."""
    count: Callable[[str, int], None] = lambda _name, _amount: None
    """Counters and gauges by the names of the shared segment."""
    refusal: Callable[[str, bytes], bytes] | None = None
    """(peer's address, bytes that aiohttp's parser refused) -> the whole answer; 4xx of our own without."""


class LaneProtocol(RequestHandler):
    """Against stock aiohttp: a deadline for heads, one for clients that do not read, a limit on what is read
    behind a refusal, a stop that lets uploads end, errors without an echo.
    """

    __slots__ = (
        "_answered_count",
        "_config",
        "_head_handle",
        "_hooks",
        "_lingering",
        "_lingering_bytes",
        "_unparsed",
        "held",
        "is_draining",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        config: LaneConfig,
        hooks: Hooks,
        **settings: Any,  # noqa: ANN401  # the arguments of RequestHandler, passed through
    ) -> None:
        super().__init__(manager, **settings)
        self._config = config
        self._hooks = hooks
        self._head_handle: asyncio.TimerHandle | None = None
        # aiohttp counts the requests; it has no state that says "between two of them".
        self._answered_count = 0
        self.is_draining = False
        # What a handler behind the edge has handed back unsent.
        self.held: Passing | None = None
        # A refused request's body, and how much more of it may come.
        self._lingering: StreamReader | None = None
        self._lingering_bytes = 0
        # What has come of a head that is not complete.
        self._unparsed = b""

    # ------------------------------------------------------------ life of the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        may_enter = self._hooks.may_enter
        if self._config.is_behind_edge:
            is_unwanted = not behind.is_own_user(transport)
        else:
            peer = transport.get_extra_info("peername")
            is_unwanted = may_enter is not None and (not peer or not may_enter(peer[0]))
        manager = self._manager
        is_full = manager is not None and len(manager._connections) >= self._config.connection_count
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

    async def start(self) -> None:
        transport = self.transport
        try:
            await super().start()
        finally:
            # A closing transport waits for ever until its client has taken what was written.
            if transport is not None and transport.get_write_buffer_size():
                self._loop.call_later(self._config.send_idle_seconds, transport.abort)

    def begin_drain(self) -> None:
        """Finish what is under way, say `Connection: close` in its answer, take nothing new.

        aiohttp's own stop throws away what still arrives, so an upload under way never ends.
        """
        self.is_draining = True
        if self._request_count == 0:
            # Its first request may be on the way.
            self._loop.call_later(self._config.linger_seconds, self._close_idle)
        elif not self._config.is_behind_edge:
            # Not behind an edge: a worker closes what it leaves idle, and this could cross its next request.
            self._close_idle()

    def _close_idle(self) -> None:
        if self._waiter is not None and not self._unparsed and not self._has_unread_bytes():
            self.force_close()

    def _has_unread_bytes(self) -> bool:
        """True when the next request waits in the socket."""
        if self.transport is None:
            return False
        try:
            descriptor = self.transport.get_extra_info("socket").fileno()
            answer = fcntl.ioctl(descriptor, termios.FIONREAD, _NO_COUNT)
        except (OSError, ValueError):
            return False
        return bool(_COUNT.unpack(answer)[0])

    # ------------------------------------------------------------ what arrives

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None and not self._may_linger(data):
            return
        is_between = self._request_count == self._answered_count and self._lingering is None
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            if is_between:
                self._unparsed += data
            self._fail_running_body()
            return
        # aiohttp waits for a head as long as for a next request. Idle after bytes have come means half a
        # head.
        if self._request_count != self._answered_count:
            if self._head_handle is not None:
                self._stop_head_deadline()
                self._unparsed = b""
        elif is_between and data and not self._force_close and not self._close:
            self._unparsed += data
            if self._head_handle is None:
                self._head_handle = self._loop.call_later(self._config.head_seconds, self._refuse_slow_head)

    def _may_linger(self, data: bytes) -> bool:
        if self._lingering is None or self._lingering.is_eof():
            self._lingering = None
            return True
        self._lingering_bytes -= len(data)
        if self._lingering_bytes >= 0:
            return True
        self.force_close()
        return False

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

    # ------------------------------------------------------------ what is answered

    async def hold(self, passing: Passing) -> None:
        """Until the middlewares are through. A middleware that has asked twice gets the last answer sent."""
        earlier, self.held = self.held, passing
        if earlier is not None:
            await earlier.close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.StreamResponse) and is_last(request):
            resp.force_close()
        self._answered_count += 1
        finished = await super().finish_response(request, resp, start_time)
        if not request.content.is_eof():
            self._lingering = request.content
            self._lingering_bytes = self._config.linger_bytes
        return finished

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
        elif self._unparsed and self._hooks.refusal is not None and request.remote:
            return replies.from_bytes(self._hooks.refusal(request.remote, self._unparsed), close=True)
        elif isinstance(exc, LineTooLong):
            status = 414 if str(exc.args[1]) == str(self._config.target_bytes) else 431
        return replies.problem(status, replies.request_id_of(request), close=True)
