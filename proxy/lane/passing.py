"""An answer whose head is here and whose body is not: who sends it on, and who ends it when nobody does."""

import asyncio

from aiohttp import web
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from proxy.lane import errors, replies
from proxy.lane.response import PassedResponse, reset
from proxy.lane.upstream import UpstreamExchange


class Passing:
    """One exchange with the upstream from the answer's head on. `finish` or `close` must run."""

    __slots__ = ("_answer", "_exchange", "_message", "_request", "_upload", "response")

    def __init__(
        self,
        request: web.Request,
        response: PassedResponse,
        message: RawResponseMessage,
        answer: StreamReader,
        exchange: UpstreamExchange,
        upload: asyncio.Task[None] | None,
    ) -> None:
        self.response = response
        self._request = request
        self._message = message
        self._answer = answer
        self._exchange = exchange
        self._upload = upload

    async def finish(self) -> web.StreamResponse:
        """Send all of it; what went out, or an answer of ours. Raises AnswerCutError behind the head."""
        try:
            await self._send()
        except errors.AnswerCutError:
            reset(self._request.transport)
            # aiohttp would answer an exception with a page; the connection is gone, so is the reason to go
            # on.
            raise
        except errors.LaneError as error:
            return answer_to(self._request, error)
        finally:
            await self.close()
        return self.response

    async def close(self) -> None:
        """Does nothing after `finish`."""
        await end(self._exchange, self._upload)

    async def _send(self) -> None:
        upload = self._upload
        if upload is not None and not upload.done():
            # An answer before the request's end: what is left of the request may never be read.
            self.response.force_close()
        await self._copy()
        self._exchange.finish(self._message, request_is_complete=upload is None or _succeeded(upload))

    async def _copy(self) -> None:
        """From the head on there is one way left to report an error: AnswerCutError."""
        response, answer = self.response, self._answer
        try:
            await response.prepare(self._request)
        except ValueError as error:
            raise errors.MalformedAnswerError(str(error)) from error
        try:
            if answer.is_eof():
                # Complete already: head, body and last chunk leave in one write.
                await response.write_eof(answer.read_nowait())
                return
            response.send_head()
            while data := await answer.readany():
                await response.write(data)
        except ConnectionError:
            raise
        except Exception as error:
            raise errors.AnswerCutError(repr(error)) from error
        await response.write_eof()


def answer_to(request: web.Request, error: errors.LaneError) -> web.Response:
    # Nothing pipelined behind a bad request is looked at (RFC 9112 section 11.2).
    close = isinstance(error, errors.RequestError) or not request.content.is_eof()
    return replies.problem(error.status, replies.request_id_of(request), close=close)


async def end(exchange: UpstreamExchange, upload: asyncio.Task[None] | None) -> None:
    """Nothing of an exchange outlives its request."""
    exchange.close()
    if upload is not None:
        upload.cancel()
        await asyncio.wait((upload,))
        _succeeded(upload)


def _succeeded(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
