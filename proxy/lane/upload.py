"""A request's body -> the upstream, in pieces, at the pace of the slower side, within the limits of both."""

import asyncio

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from proxy.lane import errors, heads
from proxy.lane.config import LaneConfig
from proxy.lane.upstream import UpstreamExchange


async def send(
    request: web.Request, facts: heads.RequestFacts, exchange: UpstreamExchange, config: LaneConfig
) -> None:
    """Copy the request's body. Errors wake up the reader of the answer, which owns the exchange."""
    try:
        await _copy(request, facts, exchange, config)
    except errors.UpstreamError:
        # The upstream may have answered before it stopped reading: the reader of the answer finds out.
        raise
    except errors.LaneError as error:
        exchange.fail(error)
        raise
    exchange.request_sent()


async def _copy(
    request: web.Request, facts: heads.RequestFacts, exchange: UpstreamExchange, config: LaneConfig
) -> None:
    content, limit, count = request.content, config.body_bytes, 0
    pace = _Pace(config)
    try:
        async with asyncio.timeout(None) as deadline:
            loop = asyncio.get_running_loop()
            while True:
                started = loop.time()
                deadline.reschedule(started + pace.seconds_for(count))
                data = await content.readany()
                deadline.reschedule(None)
                pace.waited_seconds += loop.time() - started
                if not data:
                    break
                count += len(data)
                if limit and count > limit:
                    raise errors.RequestError(413)
                await exchange.send_body(frame(data, is_chunked=facts.is_chunked, is_last=False))
    except RequestPayloadError as error:
        raise errors.RequestError(400) from error
    except TimeoutError as error:
        raise errors.RequestError(408) from error
    if facts.is_chunked:
        await exchange.send_body(b"0\r\n\r\n")


def frame(data: bytes, *, is_chunked: bool, is_last: bool) -> bytes:
    if not is_chunked:
        return data
    chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return chunk + b"0\r\n\r\n" if is_last else chunk


class _Pace:
    """How long the next piece of a request's body may take.

    Only time spent waiting for the client counts: an upstream that does not read is not the client's fault.
    """

    __slots__ = ("_idle_seconds", "_minimum_per_second", "waited_seconds")

    def __init__(self, config: LaneConfig) -> None:
        self._idle_seconds = config.body_idle_seconds
        self._minimum_per_second = config.minimum_body_bytes_per_second
        self.waited_seconds = 0.0

    def seconds_for(self, count: int) -> float:
        """After `count` bytes. The first `body_idle_seconds` are free; from then on the rate must hold."""
        if not self._minimum_per_second:
            return self._idle_seconds
        earned = max(self._idle_seconds, count / self._minimum_per_second)
        return min(self._idle_seconds, max(0.0, earned - self.waited_seconds))
