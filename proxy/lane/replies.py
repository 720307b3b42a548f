"""Status -> the lane's own answer: a small problem+json body, a request id, nothing of what the client
sent.
"""

import secrets
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import web

REQUEST_ID: Final = web.RequestKey("sentra_request_id", str)


def request_id_of(request: web.BaseRequest) -> str:
    """One id per request, made on first use."""
    request_id = request.get(REQUEST_ID)
    if request_id is None:
        request_id = request[REQUEST_ID] = secrets.token_hex(8)
    return request_id


def problem(status: int, request_id: str, *, close: bool) -> web.Response:
    """RFC 9457. `close` ends the connection after the answer."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "request_id": request_id,
    }
    response = web.Response(
        status=status,
        body=orjson.dumps(body),
        headers={
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
            "X-Request-Id": request_id,
        },
    )
    # aiohttp would name itself and its version.
    response.headers["Server"] = "sentra"
    if close:
        response.force_close()
    return response
