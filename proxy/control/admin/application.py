"""Request -> caller, scope, handler, JSON. Every answer of this port is JSON, every fault has a code."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata

import orjson
from aiohttp import web
from yarl import URL

from proxy.control.admin.bodies import MAXIMUM_BODY_BYTES, RequestRefusedError
from proxy.control.admin.openapi import document
from proxy.control.admin.routes import ROUTES, Route
from proxy.control.auth import Caller
from proxy.control.context import Control
from proxy.errors import PolicyRefused, StoreError
from proxy.telemetry import events, logs

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_STORE_RETRY_SECONDS = "1"
_LOCAL_NAMES = frozenset({"localhost"})


def admin_application(control: Control) -> web.Application:
    @web.middleware
    async def faults(request: web.Request, handler: _Handler) -> web.StreamResponse:
        return await _answer_faults(request, handler)

    application = web.Application(middlewares=[faults], client_max_size=MAXIMUM_BODY_BYTES)
    for route in ROUTES:
        application.router.add_route(route.method, route.path, _bound(control, route))
    described = orjson.dumps(document(ROUTES, metadata_version()))

    async def openapi(_: web.Request) -> web.Response:
        return web.Response(body=described, content_type="application/json")

    application.router.add_get("/v1/openapi.json", openapi)
    return application


def metadata_version() -> str:
    try:
        return metadata.version("tyk-mcp-sentraip")
    except metadata.PackageNotFoundError:  # a checkout that was never installed
        return "0"


def _bound(control: Control, route: Route) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        caller = _admit(control, request, route)
        answer = await route.handler(control, request, caller)
        return answer if isinstance(answer, web.StreamResponse) else _json(*answer)

    return handle


def _admit(control: Control, request: web.Request, route: Route) -> Caller:
    """Raises RequestRefusedError: 401 for nobody, 403 for somebody without the scope."""
    doors = control.running.doors
    if doors.anonymous is not None:
        _check_local(request)
    caller = doors.caller(request.headers.get("Authorization"))
    if caller is None:
        raise RequestRefusedError(
            401, "unauthorized", "send Authorization: Bearer with a token of control.tokens"
        )
    if route.scope not in caller.scopes:
        raise RequestRefusedError(
            403,
            "forbidden",
            f"this needs the scope {route.scope!r}; {caller.name!r} has {sorted(caller.scopes)}",
        )
    return caller


def _check_local(request: web.Request) -> None:
    """Without tokens, a web page in the operator's browser must not be able to call us.

    A rebound name shows in Host, a foreign page in Origin.
    """
    if not _is_local_name(_host_of(f"http://{request.host}")):
        raise RequestRefusedError(403, "foreign_host", f"Host {request.host[:100]!r} is not this machine")
    origin = request.headers.get("Origin")
    if origin is not None and not _is_local_name(_host_of(origin)):
        raise RequestRefusedError(403, "foreign_origin", f"Origin {origin[:100]!r} is not this machine")


def _host_of(url: str) -> str | None:
    try:
        return URL(url).host
    except ValueError:
        return None


def _is_local_name(name: str | None) -> bool:
    if name is None:
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name in _LOCAL_NAMES


async def _answer_faults(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RequestRefusedError as error:
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        return _json(error.status, {"error": error.code, "message": str(error)}, headers)
    except PolicyRefused as error:
        status = 409 if error.rule == "idempotency_key" else 422
        return _json(status, {"error": "policy_refused", "rule": error.rule, "message": str(error)})
    except StoreError as error:
        answer = {"error": "store_unavailable", "message": str(error)}
        return _json(503, answer, {"Retry-After": _STORE_RETRY_SECONDS})
    except web.HTTPException as error:
        code = _HTTP_CODES.get(error.status, "http_error")
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _json(
            error.status,
            {"error": code, "message": f"{request.method} {request.path}: {error.reason}"},
            headers,
        )
    except Exception:  # noqa: BLE001 the border of this process to its callers: logged, and one answer for all
        logs.logger().exception(events.ADMIN_FAILED, method=request.method, path=logs.shortened(request.path))
        return _json(
            500, {"error": "internal_error", "message": "the fault is in the log of the control process"}
        )


def _json(status: int, answer: Mapping[str, object], headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(answer),
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
