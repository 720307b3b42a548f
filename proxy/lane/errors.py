"""What can go wrong with one request in the lane, whose fault it is, and what the client gets.

LaneError
├─ RequestError             the client's fault            its own status
├─ UpstreamError            nothing of an answer came     502
│  └─ UpstreamStaleError    on a reused connection        retried once if idempotent and bodyless, else 502
├─ MalformedAnswerError     an answer that breaks rules   502
├─ UpstreamTimeoutError     connect, head, body, write    504
└─ AnswerCutError           after the head went out       the client's connection is reset
"""

from aiohttp import ClientError, ServerTimeoutError


class LaneError(Exception):
    """`status` is what the client is told."""

    status = 502


class RequestError(LaneError):
    def __init__(self, status: int) -> None:
        super().__init__(f"request refused with {status}")
        self.status = status


class UpstreamError(LaneError):
    """Refused, reset or closed before any byte of an answer."""


class UpstreamStaleError(UpstreamError):
    """The pool's connection was closed by the other side at the moment it was taken."""


class MalformedAnswerError(LaneError):
    """The upstream's bytes are not an answer that may be passed on."""


class UpstreamTimeoutError(LaneError):
    status = 504


class AnswerCutError(LaneError):
    """The head is out; whatever the client has got so far is not complete."""


def from_upstream(error: BaseException, *, is_reused: bool) -> LaneError:
    """The one place where aiohttp's and the loop's errors become ours.

    aiohttp reports a malformed answer as ClientResponseError with status 400, which must never reach the
    client.
    """
    if isinstance(error, LaneError):
        return error
    name = type(error).__name__
    if isinstance(error, (ServerTimeoutError, TimeoutError)):
        return UpstreamTimeoutError(name)
    if isinstance(error, (ConnectionError, ClientError)) and is_reused:
        return UpstreamStaleError(name)
    if isinstance(error, (OSError, ClientError)):
        return UpstreamError(name)
    return MalformedAnswerError(name)
