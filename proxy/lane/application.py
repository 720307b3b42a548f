"""Configuration -> an ordinary aiohttp application that proxies everything, behind the middlewares given."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware
from aiohttp.web_urldispatcher import ResourceRoute, UrlMappingMatchInfo

from proxy.lane.config import LaneConfig
from proxy.lane.forward import Forwarder
from proxy.lane.server import require_compiled_parser

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
        self._everything = ResourceRoute("*", _proxy, resource, expect_handler=_no_continue)

    async def resolve(self, request: web.Request) -> UrlMappingMatchInfo:  # noqa: ARG002  # the signature is aiohttp's
        return UrlMappingMatchInfo({}, self._everything)


async def _proxy(request: web.Request) -> web.StreamResponse:
    return await request.app[FORWARDER].handle(request)


async def _no_continue(request: web.Request) -> None:
    """aiohttp would send `100 Continue` before any middleware has judged the request."""


def _forwarder_of(config: LaneConfig) -> Callable[[web.Application], AsyncIterator[None]]:
    async def own(application: web.Application) -> AsyncIterator[None]:
        forwarder = application[FORWARDER] = Forwarder(config)
        yield
        await forwarder.close()

    return own
