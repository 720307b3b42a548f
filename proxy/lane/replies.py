"""Status -> an answer of our own: problem+json (RFC 9457), a request id, nothing of what the client sent.

The same bytes as the edge's own answers, whichever process gives them.
"""

import secrets
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

REQUEST_ID: Final = web.RequestKey("sentra_request_id", str)
EXTRA_FIELDS: Final = web.RequestKey("sentra_extra_fields", tuple)

_TITLES: Final = {
    400: "Bad Request",
    403: "Forbidden",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    508: "Loop Detected",
}
_ALLOWED_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class OwnAnswer(web.Response):
    """Without aiohttp's name and version in `Server`."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self._headers.popall("Server", None)
        if not self.keep_alive:
            # To HTTP/1.0 too: for aiohttp a request that it cannot parse is one of those.
            self._headers["Connection"] = "close"


def request_id_of(request: web.BaseRequest) -> str:
    """One id per request, made on first use."""
    request_id = request.get(REQUEST_ID)
    if request_id is None:
        request_id = request[REQUEST_ID] = secrets.token_hex(16)
    return request_id


def extra_fields(request: web.BaseRequest) -> tuple[tuple[bytes, bytes], ...]:
    """What goes upstream beside the address: at least the request id."""
    known: tuple[tuple[bytes, bytes], ...] | None = request.get(EXTRA_FIELDS)
    return known or ((b"X-Request-Id", request_id_of(request).encode("ascii")),)


def title_of(status: int) -> str:
    return _TITLES.get(status, "Error")


def problem(status: int, request_id: str, *, close: bool) -> web.Response:
    """`close` ends the connection after the answer."""
    response = OwnAnswer(
        status=status,
        reason=title_of(status),
        body=_body(status, request_id),
        headers=CIMultiDict(_fields(status, request_id)),
    )
    if close:
        response.force_close()
    return response


def whole(status: int) -> bytes:
    """For the moments when aiohttp has no request to answer to; the connection closes."""
    request_id = secrets.token_hex(16)
    body = _body(status, request_id)
    fields = [*_fields(status, request_id), ("content-length", str(len(body))), ("connection", "close")]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status} {title_of(status)}\r\n{lines}\r\n".encode("ascii") + body


def _fields(status: int, request_id: str) -> list[tuple[str, str]]:
    fields = [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("x-request-id", request_id),
    ]
    if status == 405:
        fields.append(("allow", _ALLOWED_METHODS))
    elif status == 503:
        fields.append(("retry-after", "1"))
    return fields


def _body(status: int, request_id: str) -> bytes:
    title = title_of(status)
    text = f'{{"type":"about:blank","title":"{title}","status":{status},"request_id":"{request_id}"}}\n'
    return text.encode("ascii")


def from_bytes(answer: bytes, *, close: bool) -> web.Response:
    """A whole answer of the codec's as an aiohttp response; whether the connection closes is decided here."""
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *lines = head.decode("ascii").split("\r\n")
    _, status, reason = start.split(" ", 2)
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, _, value = line.partition(": ")
        headers.add(name, value)
    headers.popall("connection", None)
    response = OwnAnswer(status=int(status), reason=reason, body=body or None, headers=headers)
    if close:
        response.force_close()
    return response
