"""A client's bytes -> a request for the upstream, and the upstream's bytes -> the answer.

`process` shows the way of a request from top to bottom; `upload`, `relay` and `_complete` are the same way as
the bytes come.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from fastmatch._native import (
    BODY_DONE,
    BROKEN,
    CLOSE,
    CLOSE_CLIENT,
    DENY,
    IDEMPOTENT,
    RESPONSE_BEGUN,
    RESPONSE_DONE,
    REUSE,
    TUNNEL,
)
from proxy.edge import tunnel
from proxy.edge.cluster import FAILED, NOTHING

if TYPE_CHECKING:  # these import this module, or what does
    from proxy.edge.cluster import Cluster
    from proxy.edge.connection import ClientConnection
    from proxy.edge.target import Target
    from proxy.edge.upstream import UpstreamConnection
    from proxy.edge.waiting import Waiting

CLIENT_GONE: Final = 499
_ENDED: Final = TUNNEL | BROKEN
# Bad gateway, gateway timeout.
_OF_THE_TARGET: Final = (502, 504)


class Exchange:
    """One request and its answer. One record per client connection, filled anew for each request.

    While `upstream` or `attempt` is set, the client's transport is open: whoever closes it calls `cancel`
    first.
    """

    __slots__ = (
        "_head",
        "_replay",
        "_takes",
        "action",
        "attempt",
        "client",
        "codec",
        "context",
        "pending",
        "request_done",
        "response_begun",
        "target",
        "tried",
        "upstream",
        "waiting",
    )

    def __init__(self, client: "ClientConnection") -> None:
        self.client = client
        self.context = client.context
        self.codec = client.codec
        self._head = client.codec.head
        self._takes = client.context.upstreams.takes
        self._replay: bytes | None = None
        self.action = 0
        self.attempt: asyncio.Task[None] | None = None
        self.pending: list[bytes] = []
        self.request_done = True
        self.response_begun = False
        # Where this exchange counts as under way, as long as it does: see `Cluster`.
        self.target: Target | None = None
        # Where it has come to nothing before.
        self.tried: tuple[Target, ...] = ()
        self.upstream: UpstreamConnection | None = None
        # Until the upstream may be asked more.
        self.waiting: Waiting | None = None

    def process(self, data: bytes) -> None:
        """The way of a request: head, identity, verdict, policy and route are one call; then answer or
        forward.

        The codec keeps the record: of a denial here, of a whole answer in `relay`, of everything else by
        `reply` or `end`.
        """
        result = self._head(data)
        if not isinstance(result, tuple):
            self._no_head(result)
            return
        action, route, out, _kind, _length, consumed = result
        self.action = action
        rest = data[consumed:] if consumed < len(data) else b""
        if action & DENY:
            self.request_done = action & BODY_DONE != 0
            if rest:
                self.client.keep(rest)
            self._answer(out, not action & CLOSE)
            return
        self._replay = out if action & IDEMPOTENT else None
        if action & BODY_DONE:
            self.request_done = True
            self.client.await_answer(rest)
            upstream = self._takes[route](self)
            if upstream is not None:
                upstream.start(self, out)
            else:
                self._connect(self.context.upstreams.clusters[route], [out])
        else:
            self._start_upload(route, out, rest)

    def _start_upload(self, route: int, head: bytes, rest: bytes) -> None:
        """The request has a body that did not go out with its head."""
        self.request_done = False
        self.client.await_body()
        body = b""
        if rest:
            taken = self._take_body(rest)
            if taken is None:
                return  # refused before an upstream was asked
            body = taken
        pieces = [head, body] if body else [head]
        upstream = self._takes[route](self)
        if upstream is not None:
            upstream.start_with_body(self, pieces)
        else:
            self._connect(self.context.upstreams.clusters[route], pieces)

    def _no_head(self, result: int | None) -> None:
        """Not complete, or against a rule."""
        if result is None:
            self.client.await_head()
        else:
            self.refuse(-result)

    def upload(self, data: bytes) -> None:
        """More of the request's body has come."""
        body = self._take_body(data)
        if not body:
            return
        upstream = self.upstream
        if upstream is None:
            self.pending.append(body)  # what was under way when reading was paused
        else:
            upstream.send(body)

    def _take_body(self, data: bytes) -> bytes | None:
        """The body's bytes as they go upstream; None when its framing is wrong, which ends the exchange."""
        result = self.codec.body(data)
        if isinstance(result, int):
            self.refuse(-result)
            return None
        body, consumed, is_done = result
        if body:
            self._replay = None
        if is_done:
            self.request_done = True
            self.client.await_answer(data[consumed:])
            if self.upstream is not None:
                self.upstream.await_head()
        else:
            self.client.await_body()
        return body

    def _connect(self, cluster: "Cluster", pieces: list[bytes]) -> None:
        """No idle connection. Until there is one the body stays in the client's socket."""
        self.pending = pieces
        if not self.request_done:
            self.client.hold_body()
        cluster.arrange(self)

    def connected(self, upstream: "UpstreamConnection") -> None:
        self.attempt = None
        pieces, self.pending = self.pending, []
        if self.request_done and len(pieces) == 1:
            upstream.start(self, pieces[0])
        else:
            upstream.start_with_body(self, pieces)
        if not upstream.is_writing_paused:
            self.client.release_body()

    def not_connected(self, target: "Target | None", status: int, end: str) -> None:
        """The attempt has failed, and nothing was sent: another target may have it, whatever it is."""
        self.attempt = None
        if target is None or not self._goes_on(target):
            self.fail(status, end)

    def _goes_on(self, failed: "Target") -> bool:
        """`pending` is sent to another target; False when there is none for it."""
        target = failed.cluster.another(self, failed)
        if target is None:
            return False
        upstream = target.pool.take()
        if upstream is not None:
            self.connected(upstream)
        else:
            self.attempt = self.context.connector.connect(self, target.cluster, target)
        return True

    def admitted(self, cluster: "Cluster") -> None:
        """The upstream may be asked more, and this one has waited longest."""
        self.waiting = None
        upstream = cluster.take(self)
        if upstream is not None:
            self.connected(upstream)
        else:
            cluster.arrange(self)

    def relay(self, upstream: "UpstreamConnection", out: bytes, flags: int) -> None:
        """The upstream's bytes, framed for the client. `flags` say what they ended or began."""
        if flags & RESPONSE_DONE:
            if out:
                self.client.write(out)
            self._complete(upstream, flags)
        elif not flags & _ENDED:
            if out:
                self.client.write(out)
            if flags & RESPONSE_BEGUN:
                self.response_begun = True
            upstream.await_more()
        elif flags & TUNNEL:
            tunnel.open_tunnel(self, upstream, out)
        else:
            self.fail(502, "upstream_malformed")

    def _complete(self, upstream: "UpstreamConnection", flags: int) -> None:
        """The whole answer has been handed to the client's transport, and recorded."""
        self.upstream = upstream.exchange = None
        self.response_begun = False
        client = self.client
        if not self.request_done:
            # Answered while uploading (RFC 9112 section 9.6): neither connection is at a message border.
            upstream.abort()
            self._leave(upstream.outcome(flags))
            client.linger()
            return
        if flags & REUSE and not upstream.is_writing_paused:
            upstream.pool.give_back(upstream)
        else:
            upstream.close()
        if self.target is not None:
            self._leave(upstream.outcome(flags))
        if flags & CLOSE_CLIENT or self.action & CLOSE or self.context.draining:
            client.finish()
        else:
            client.next_request()

    def _answer(self, answer: bytes, stays: bool) -> None:
        """An answer of our own. The connection stays only when the request has been read to its end."""
        client = self.client
        client.write(answer)
        if not self.request_done:
            client.linger()
        elif stays and not self.context.draining:
            client.next_request_soon()
        else:
            client.finish()

    def refuse(self, status: int, end: str | None = None) -> None:
        """The request breaks a rule: nothing more of it is read, nothing behind it is processed."""
        self.request_done = False
        self.fail(status, end)

    def fail(self, status: int, end: str | None = None) -> None:
        """An error answer while that is possible, afterwards a visible cut.

        `end`: why, one of `ENDS`; None when the codec has refused and knows.
        """
        self._drop_upstream(FAILED if status in _OF_THE_TARGET else NOTHING)
        if self.response_begun:
            self.response_begun = False
            self.codec.end(status, end)
            self.client.reset()
            return
        stays = self.request_done and not self.action & CLOSE and not self.context.draining
        self._answer(self.codec.reply(status, end, close=not stays), stays)

    def block(self) -> None:
        """A newer list denies this exchange."""
        self.action |= CLOSE
        self.fail(403, "blocked")

    def upstream_lost(self, upstream: "UpstreamConnection", end: str) -> None:
        """The connection ended within the answer. Before any byte of it an idempotent request that we still
        hold whole is sent once more: on a fresh connection when this one was reused and so probably closed as
        idle, which says nothing of the target; otherwise to another target, when there is one.

        `_replay` stays: a target that dies resets its idle connections first and then what waits to be
        accepted. Each target has one fresh connection at most, and `Cluster.another` counts the targets.
        """
        replay = self._replay
        if replay is None or upstream.has_received:
            self.fail(502, end)
            return
        self.part_from(upstream)
        upstream.abort()
        self.pending = [replay]
        target = upstream.target
        if upstream.is_reused:
            self.context.count("upstream_retries")
            self.attempt = self.context.connector.connect(self, target.cluster, target)
        elif not self._goes_on(target):
            self.fail(502, end)

    @property
    def is_active(self) -> bool:
        return self.upstream is not None or self.attempt is not None or self.waiting is not None

    def cancel(self, end: str = "client_closed") -> None:
        """The client has gone: the upstream's work is of no use to anyone."""
        if self.is_active:
            self._drop_upstream(NOTHING)
            self.codec.end(CLIENT_GONE, end)

    def part_from(self, upstream: "UpstreamConnection") -> None:
        """Unbind; the upstream connection is as open as it was."""
        self.upstream = None
        upstream.exchange = None

    def _drop_upstream(self, outcome: int) -> None:
        if self.attempt is not None:
            self.attempt.cancel()
            self.attempt = None
        if self.waiting is not None:
            self.waiting.leave(self)
            self.waiting = None
        self.pending = []
        upstream = self.upstream
        if upstream is not None:
            self.part_from(upstream)
            upstream.abort()
        self._leave(outcome)

    def _leave(self, outcome: int) -> None:
        """It is under way no more."""
        target = self.target
        if target is not None:
            self.target = None
            self.tried = ()
            target.cluster.leave(target, outcome)
