"""Answers that need no codec. All others are made by `Downstream.reply`, which also records them."""

from typing import Final

# To HTTP on a port for TLS.
_CLEARTEXT_BODY: Final = (
    b'{"type":"about:blank","title":"Bad Request","status":400,"detail":"this port speaks TLS"}'
)
CLEARTEXT: Final = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"Content-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b"%b"
) % (len(_CLEARTEXT_BODY), _CLEARTEXT_BODY)

_BODY: Final = b'{"type":"about:blank","title":"Service Unavailable","status":503}'

# To a connection above the limit, whose request has not been read.
OVERLOADED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\n"
    b"Retry-After: 1\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b"%b"
) % (len(_BODY), _BODY)
