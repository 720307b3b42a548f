"""The way of one request through the lane: checked head -> upstream -> streamed answer.

Memory is bounded in both directions: a stream holds at most two read buffers (64 KiB low water, 128 KiB
high), nothing is read while the other side does not take it. A client that leaves cancels the handler and
with it the upstream.
"""

import asyncio
from dataclasses import replace
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion11, RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestPayloadError

from proxy.lane import errors, heads, replies
from proxy.lane.config import LaneConfig
from proxy.lane.identity import Forwarding, TrustedProxies, canonical, identify
from proxy.lane.middleware import CLIENT, JUDGED
from proxy.lane.response import PassedResponse, reset
from proxy.lane.upstream import Upstream, UpstreamExchange

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Forwarder:
    """Everything a request needs that outlives it. `handle` is the aiohttp handler."""

    def __init__(self, config: LaneConfig) -> None:
        self._config = config
        self._trusted = TrustedProxies(config.trusted_proxies)
        self._upstream = Upstream(config)
        self._retired: list[Upstream] = []
        self._via = config.via.encode("ascii")
        self._host = _host_of(config)

    def configure(self, config: LaneConfig) -> None:
        """From the next request on. Raises ValueError when a network is none; then everything stays."""
        self._trusted = TrustedProxies(config.trusted_proxies)
        if not self._upstream.configure(config):
            # Exchanges under way keep their connections.
            self._retired.append(self._upstream)
            self._upstream = Upstream(config)
        self._config = config
        self._via = config.via.encode("ascii")
        self._host = _host_of(config)

    async def close(self) -> None:
        for upstream in (self._upstream, *self._retired):
            await upstream.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._forward(request)
        except errors.AnswerCutError:
            reset(request.transport)
            # aiohttp would answer an exception with a page; the connection is gone, so is the reason to go
            # on.
            raise
        except errors.LaneError as error:
            # Nothing pipelined behind a bad request is looked at (RFC 9112 section 11.2).
            close = isinstance(error, errors.RequestError) or not request.content.is_eof()
            return replies.problem(error.status, replies.request_id_of(request), close=close)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        facts, head = self._head_for(request)
        body = _complete_body(request)
        exchange = await self._upstream.open(fresh=False)
        try:
            return await self._exchange(request, facts, head, body, exchange)
        except errors.UpstreamStaleError:
            exchange.close()
            if request.method not in _IDEMPOTENT or facts.length or facts.is_chunked:
                raise
        finally:
            exchange.close()
        exchange = await self._upstream.open(fresh=True)
        try:
            return await self._exchange(request, facts, head, body, exchange)
        finally:
            exchange.close()

    def _head_for(self, request: web.Request) -> tuple[heads.RequestFacts, bytes]:
        """What the codec has made of it, or our own head when there was no gate or a middleware has changed
        it.
        """
        judged = request.get(JUDGED)
        body = request._read_bytes
        if judged is not None and judged.message is request._message and body is None:
            if judged.is_upgrade:
                raise errors.RequestError(501)
            return judged.facts, judged.head
        fields = request._message.raw_headers
        facts = heads.read_request(request.method, request.raw_path, request.version, fields)
        if facts.length is not None and 0 < self._config.body_bytes < facts.length:
            raise errors.RequestError(413)
        if body is not None:
            # A middleware has read the body: it goes out as one piece of known length.
            facts = replace(facts, is_chunked=False, length=len(body), expects_continue=False)
        host = self._host or facts.host
        if self._config.is_behind_edge:
            return facts, heads.render_passed(request.method, facts, fields, host)
        forwarding = self._forwarding(request, fields)
        return facts, heads.render_request(request.method, facts, fields, host, forwarding)

    def _forwarding(self, request: web.Request, fields: tuple[tuple[bytes, bytes], ...]) -> Forwarding:
        peer = request.remote
        if not peer:
            raise errors.RequestError(400)
        address = canonical(peer)
        judged = request.get(JUDGED)
        client = request.get(CLIENT) or identify(peer, fields, self._trusted)
        return Forwarding(
            via=self._via,
            peer=str(address),
            client=client,
            peer_is_trusted=address in self._trusted,
            scheme=request.scheme,
            extra=replies.extra_fields(request) if judged is None else judged.own_fields(),
        )

    async def _exchange(
        self,
        request: web.Request,
        facts: heads.RequestFacts,
        head: bytes,
        body: bytes | None,
        exchange: UpstreamExchange,
    ) -> web.StreamResponse:
        framed = b"" if body is None else _frame(body, is_chunked=facts.is_chunked, is_last=True)
        exchange.send_head(head, framed, has_more=body is None, expects_body=request.method != "HEAD")
        upload = None
        if body is None:
            upload = asyncio.create_task(self._upload(request, facts, exchange))
        try:
            message, answer, length = await exchange.read_head(
                lambda interim: _pass_interim(request, interim)
            )
            response = PassedResponse(
                message.code, message.reason, heads.response_fields(message.raw_headers), length
            )
            if upload is not None and not upload.done():
                # An answer before the request's end: what is left of the request may never be read.
                response.force_close()
            await self._stream(request, response, answer)
            exchange.finish(message, request_is_complete=upload is None or _succeeded(upload))
            return response
        finally:
            if upload is not None:
                upload.cancel()
                await asyncio.wait((upload,))

    async def _stream(self, request: web.Request, response: PassedResponse, answer: StreamReader) -> None:
        """Copy the answer. From the head on there is one way left to report an error: AnswerCutError."""
        try:
            await response.prepare(request)
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

    async def _upload(
        self, request: web.Request, facts: heads.RequestFacts, exchange: UpstreamExchange
    ) -> None:
        """Copy the request's body. Errors wake up the reader of the answer, which owns the exchange."""
        try:
            await self._copy_body(request, facts, exchange)
        except errors.UpstreamError:
            # The upstream may have answered before it stopped reading: the reader of the answer finds out.
            raise
        except errors.LaneError as error:
            exchange.fail(error)
            raise
        exchange.request_sent()

    async def _copy_body(
        self, request: web.Request, facts: heads.RequestFacts, exchange: UpstreamExchange
    ) -> None:
        content, limit, count = request.content, self._config.body_bytes, 0
        pace = _Pace(self._config)
        if facts.expects_continue and not content.total_bytes and request.transport is not None:
            # Only now: a denied client must not be told to send.
            request.transport.write(_CONTINUE)
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
                    await exchange.send_body(_frame(data, is_chunked=facts.is_chunked, is_last=False))
        except RequestPayloadError as error:
            raise errors.RequestError(400) from error
        except TimeoutError as error:
            raise errors.RequestError(408) from error
        if facts.is_chunked:
            await exchange.send_body(b"0\r\n\r\n")


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


def _host_of(config: LaneConfig) -> bytes | None:
    return None if config.upstream_host_header is None else config.upstream_host_header.encode("ascii")


def _complete_body(request: web.Request) -> bytes | None:
    """The whole body when it is already here (or there is none), None when it has to be streamed."""
    if request._read_bytes is not None:
        return request._read_bytes
    if request.content.is_eof() and request.content.exception() is None:
        return request.content.read_nowait()
    return None


def _frame(data: bytes, *, is_chunked: bool, is_last: bool) -> bytes:
    if not is_chunked:
        return data
    chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return chunk + b"0\r\n\r\n" if is_last else chunk


def _pass_interim(request: web.Request, interim: RawResponseMessage) -> None:
    """RFC 9110 section 15.2: 1xx answers go through, except to HTTP/1.0 clients. A 100 is ours to send, not
    theirs.
    """
    if interim.code == 100 or request.version != HttpVersion11 or request.transport is None:
        return
    fields = heads.response_fields(interim.raw_headers)
    decoded = [(name.decode("ascii"), value.decode("utf-8", "surrogateescape")) for name, value in fields]
    request.transport.write(heads.render_response(HttpVersion11, interim.code, interim.reason, decoded))


def _succeeded(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
