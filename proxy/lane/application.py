"""Configuration -> an ordinary aiohttp application that proxies everything, behind the middlewares given."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from aiohttp import web
from aiohttp.helpers import BaseTimerContext, TimerNoop
from aiohttp.http import HttpVersion11
from aiohttp.streams import EmptyStreamReader
from aiohttp.typedefs import Middleware
from aiohttp.web_urldispatcher import ResourceRoute, UrlMappingMatchInfo

from proxy.lane.config import LaneConfig
from proxy.lane.forward import Forwarder
from proxy.lane.server import require_compiled_parser

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

FORWARDER: Final = web.AppKey("sentra_forwarder", Forwarder)


def build_application(config: LaneConfig, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """Middlewares run in the given order, each around the next, the proxy innermost.

    Run it under `proxy.lane.server.LaneRunner`: `web.AppRunner` has none of its deadlines.
    """
    require_compiled_parser()
    application = web.Application(middlewares=list(middlewares), client_max_size=config.read_bytes)
    # aiohttp's own dispatcher looks at decoded paths and answers 404 to `*` and to CONNECT. Its constructor
    # argument for another one is deprecated without a successor.
    application._router = _Everything()
    application.cleanup_ctx.append(_forwarder_of(config))
    return application


class _Everything(web.UrlDispatcher):
    """One route for every target and method."""

    def __init__(self) -> None:
        super().__init__()
        resource = self.add_resource("/")
        self._everything = ResourceRoute("*", _proxy, resource, expect_handler=_continue_later)

    async def resolve(self, request: web.Request) -> UrlMappingMatchInfo:  # noqa: ARG002  # the signature is aiohttp's
        return UrlMappingMatchInfo({}, self._everything)


async def _proxy(request: web.Request) -> web.StreamResponse:
    return await request.app[FORWARDER].handle(request)


async def _continue_later(request: web.Request) -> None:
    """aiohttp would send `100 Continue` before any middleware has judged the request."""
    if request.version == HttpVersion11 and request.headers["Expect"].lower() == "100-continue":
        content = request.content
        if not isinstance(content, EmptyStreamReader):
            content._timer = _ContinueOnRead(request)


class _ContinueOnRead(TimerNoop):
    """Says it when somebody first waits for the body, be it a middleware or the proxy.

    A stream enters its timer for each wait; there is no other place that all of its readers pass.
    """

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._is_said = False

    def __enter__(self) -> BaseTimerContext:
        request = self._request
        # Not behind an answer: what is read then is thrown away.
        is_answered = request.protocol._current_request is None or request.writer.output_size > 0
        if not self._is_said and not is_answered and not request.content.total_bytes:
            self._is_said = True
            if request.transport is not None:
                request.transport.write(_CONTINUE)
        return self


def _forwarder_of(config: LaneConfig) -> Callable[[web.Application], AsyncIterator[None]]:
    async def own(application: web.Application) -> AsyncIterator[None]:
        forwarder = application[FORWARDER] = Forwarder(config)
        yield
        await forwarder.close()

    return own
