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

from proxy.edge.config_upstreams import HOST_OF_TARGET
from proxy.lane import errors, heads, replies, upload
from proxy.lane.config import LaneConfig
from proxy.lane.connection import LaneProtocol
from proxy.lane.identity import Forwarding, TrustedProxies, canonical, identify
from proxy.lane.middleware import CLIENT, JUDGED
from proxy.lane.passing import Passing, answer_to, end
from proxy.lane.response import PassedResponse
from proxy.lane.upstream import Upstream, UpstreamExchange

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


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
        """Behind the edge the answer is handed back unsent, so that middlewares may change its head."""
        try:
            passing = await self._begin(request)
        except errors.LaneError as error:
            return answer_to(request, error)
        if self._config.is_behind_edge and isinstance(request.protocol, LaneProtocol):
            await request.protocol.hold(passing)
            return passing.response
        return await passing.finish()

    async def _begin(self, request: web.Request) -> Passing:
        """Send the request, until the head of the answer is here. The caller closes what it gets."""
        facts, head = self._head_for(request)
        body = _complete_body(request)
        for is_fresh in (False, True):
            exchange = await self._upstream.open(fresh=is_fresh)
            try:
                return await self._attempt(request, facts, head, body, exchange)
            except errors.UpstreamStaleError:
                if is_fresh or request.method not in _IDEMPOTENT or facts.length or facts.is_chunked:
                    raise
        raise RuntimeError("invariant: a fresh connection is not stale")

    async def _attempt(
        self,
        request: web.Request,
        facts: heads.RequestFacts,
        head: bytes,
        body: bytes | None,
        exchange: UpstreamExchange,
    ) -> Passing:
        task = None
        try:
            if self._config.upstream_host_header == HOST_OF_TARGET:
                head = _with_host(head, exchange.target_host)
            framed = b"" if body is None else upload.frame(body, is_chunked=facts.is_chunked, is_last=True)
            exchange.send_head(head, framed, has_more=body is None, expects_body=request.method != "HEAD")
            if body is None:
                task = asyncio.create_task(upload.send(request, facts, exchange, self._config))
            message, answer, length = await exchange.read_head(
                lambda interim: _pass_interim(request, interim)
            )
        except BaseException:
            await end(exchange, task)
            raise
        fields = heads.response_fields(message.raw_headers)
        response = PassedResponse(message.code, message.reason, fields, length)
        return Passing(request, response, message, answer, exchange, task)

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
            facts = replace(facts, is_chunked=False, length=len(body))
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


def _host_of(config: LaneConfig) -> bytes | None:
    """What is sent instead of the client's Host."""
    given = config.upstream_host_header
    return None if given in (None, HOST_OF_TARGET) else given.encode("ascii")


def _with_host(head: bytes, host: bytes) -> bytes:
    """Host is the second line of every head that we make."""
    start = head.index(b"\r\n") + 2
    return head[:start] + b"Host: " + host + head[head.index(b"\r\n", start) :]


def _complete_body(request: web.Request) -> bytes | None:
    """The whole body when it is already here (or there is none), None when it has to be streamed."""
    if request._read_bytes is not None:
        return request._read_bytes
    if request.content.is_eof() and request.content.exception() is None:
        return request.content.read_nowait()
    return None


def _pass_interim(request: web.Request, interim: RawResponseMessage) -> None:
    """RFC 9110 section 15.2: 1xx answers go through, except to HTTP/1.0 clients. A 100 is ours to send, not
    theirs.
    """
    if interim.code == 100 or request.version != HttpVersion11 or request.transport is None:
        return
    fields = heads.response_fields(interim.raw_headers)
    decoded = [(name.decode("ascii"), value.decode("utf-8", "surrogateescape")) for name, value in fields]
    request.transport.write(heads.render_response(HttpVersion11, interim.code, interim.reason, decoded))
