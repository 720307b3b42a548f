"""`blocklist_middleware`: the edge's verdicts and the edge's refusal, in front of any aiohttp application.

    gate = Gate(GateConfig(trusted_proxies=("10.0.0.0/8",)), Segment.create(1), 0)
    gate.install(Blocklist.open("decision.bin"))
    application = web.Application(middlewares=[blocklist_middleware(gate)])

A gate brings the whole front door: strict heads, counters, events. A bare `Blocklist`, or a function that
returns the one in force, needs nothing else and takes its rules from a `Policy`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http import HttpVersion10
from aiohttp.typedefs import Handler, Middleware

from fastmatch import Blocklist
from fastmatch._native import BODY_CHUNKED, BODY_LENGTH, DENY, EXPECT_CONTINUE, UPGRADE, Downstream, Gate
from proxy.lane import errors, heads, replies
from proxy.lane.identity import TrustedProxies, identify

Source = Gate | Blocklist | Callable[[], Blocklist | None]

_KIND_MASK: Final = 15


@dataclass(frozen=True, slots=True)
class Policy:
    """What a bare list is applied by. A gate has its own in `GateConfig`."""

    trusted_proxies: tuple[str, ...] = ()
    block_score: float = 7.0
    observe: bool = False
    domains: tuple[Literal["host", "origin", "referer"], ...] = ("host",)
    on_missing: Literal["open", "closed"] = "closed"


@dataclass(frozen=True, slots=True)
class JudgedHead:
    """What the codec made of a request: the head for the upstream, valid while the request is what was
    judged.
    """

    message: object
    head: bytes
    facts: heads.RequestFacts
    is_upgrade: bool

    def own_fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """Request id and verdict as they would have gone upstream, for a request that a middleware has
        changed.
        """
        start = self.head.rfind(b"\r\nX-Request-Id: ") + 2
        lines = self.head[start:-4].split(b"\r\n")
        fields = (line.partition(b": ")[::2] for line in lines)
        return tuple((name, value) for name, value in fields if name.startswith((b"X-Request", b"X-Sentra")))


# For middlewares and handlers behind this one.
CLIENT: Final = web.RequestKey("sentra_client", str)
JUDGED: Final = web.RequestKey("sentra_judged", JudgedHead)


class Exchanges(Protocol):
    """Told of every exchange that a gate lets through, so that a later block can end it."""

    def opened(self, downstream: Downstream, request: web.Request) -> None: ...
    def ended(self, downstream: Downstream, request: web.Request) -> None: ...


def blocklist_middleware(
    source: Source, policy: Policy | None = None, *, exchanges: Exchanges | None = None
) -> Middleware:
    """Raises ValueError when a policy is given for a gate, which has its own, or when the policy is not
    one.
    """
    if isinstance(source, Gate):
        if policy is not None:
            raise ValueError("a gate has its own policy: configure the gate, leave out `policy`")
        return _gate_middleware(source, exchanges)
    current = (lambda: source) if isinstance(source, Blocklist) else source
    return _list_middleware(_ListJudge(current, policy or Policy()))


# ---------------------------------------------------------------- with a gate


def _gate_middleware(gate: Gate, exchanges: Exchanges | None) -> Middleware:
    @web.middleware
    async def judge(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.remote:
            return replies.problem(400, replies.request_id_of(request), close=True)
        downstream = Downstream(gate, request.remote)
        outcome = downstream.head(_head_as_received(request))
        request[replies.REQUEST_ID] = downstream.request_id
        if not isinstance(outcome, tuple):
            # The compiled parser and ours differ; the stricter one wins.
            status = 400 if outcome is None or request.version < HttpVersion10 else -outcome
            return replies.from_bytes(downstream.reply(status, close=True), close=True)
        action, _, out, body_kind, length, _ = outcome
        if action & _KIND_MASK == DENY:
            return replies.from_bytes(out, close=not request.content.is_eof())
        request[CLIENT] = downstream.client
        request[JUDGED] = _judged(request, action, out, body_kind, length)
        if exchanges is not None:
            exchanges.opened(downstream, request)
        status = 499
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        except errors.AnswerCutError:
            status = 502
            raise
        finally:
            downstream.end(status)
            if exchanges is not None:
                exchanges.ended(downstream, request)
        return response

    return judge


def _head_as_received(request: web.Request) -> bytes:
    """The head again, byte for byte but for white space, and without the Expect that we answer ourselves."""
    message = request._message
    version = message.version
    start = b"%b %b HTTP/%d.%d\r\n" % (
        message.method.encode("ascii"),
        message.path.encode("utf-8", "surrogateescape"),
        version.major,
        version.minor,
    )
    lines = [b"%b: %b\r\n" % field for field in message.raw_headers]
    return b"".join([start, *lines, b"\r\n"])


def _judged(request: web.Request, action: int, out: bytes, body_kind: int, length: int) -> JudgedHead:
    expects = bool(action & EXPECT_CONTINUE)
    if expects:
        out = _without_expect(out)
    facts = heads.RequestFacts(
        target=b"",
        host=b"",
        is_chunked=body_kind == BODY_CHUNKED,
        length=length if body_kind == BODY_LENGTH else None,
    )
    return JudgedHead(request._message, out, facts, bool(action & UPGRADE))


def _without_expect(head: bytes) -> bytes:
    return b"\r\n".join(line for line in head.split(b"\r\n") if line[:7].lower() != b"expect:")


# ---------------------------------------------------------------- with a bare list


@dataclass(frozen=True, slots=True)
class _Decision:
    client: str
    denies: bool
    extra: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(slots=True)
class _ListJudge:
    current: Callable[[], Blocklist | None]
    policy: Policy
    trusted: TrustedProxies = field(init=False)

    def __post_init__(self) -> None:
        self.trusted = TrustedProxies(self.policy.trusted_proxies)

    def decide(self, peer: str, fields: tuple[tuple[bytes, bytes], ...]) -> _Decision:
        """Each subject is judged alone: what a client writes can add to the score, never take from it.

        Raises RequestError when a trusted peer's forwarded addresses cannot be read (400), or without a list
        (503).
        """
        client = identify(peer, fields, self.trusted)
        found = self.current()
        if found is None:
            if self.policy.on_missing == "closed":
                raise errors.RequestError(503)
            return _Decision(client, denies=False)
        score = _score_of(found.lookup(client))
        for host in self._hosts(fields):
            try:
                score = max(score, _score_of(found.lookup_domain(host)))
            except ValueError:
                continue  # a host that is no name cannot be on a list of names
        denies = score >= self.policy.block_score and not self.policy.observe
        extra = ((b"X-Sentra-Score", b"%g" % score),) if score else ()
        return _Decision(client, denies, extra)

    def _hosts(self, fields: tuple[tuple[bytes, bytes], ...]) -> list[str]:
        wanted = self.policy.domains
        hosts: list[str] = []
        for name, value in fields:
            lowered = name.lower().decode("ascii", "replace")
            if lowered not in wanted:
                continue
            text = value.decode("utf-8", "replace")
            try:
                host = urlsplit(f"//{text}" if lowered == "host" else text).hostname
            except ValueError:
                continue
            if host:
                hosts.append(host)
        return hosts


class _Scored(Protocol):
    @property
    def disposition(self) -> str: ...
    @property
    def score(self) -> float: ...


def _score_of(verdict: _Scored | None) -> float:
    return verdict.score if verdict is not None and verdict.disposition == "block" else 0.0


def _list_middleware(judge: _ListJudge) -> Middleware:
    @web.middleware
    async def decide(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = replies.request_id_of(request)
        try:
            decision = judge.decide(request.remote or "", request._message.raw_headers)
        except (errors.RequestError, ValueError) as error:
            status = error.status if isinstance(error, errors.RequestError) else 400
            return replies.problem(status, request_id, close=not request.content.is_eof())
        if decision.denies:
            return replies.problem(403, request_id, close=not request.content.is_eof())
        request[CLIENT] = decision.client
        request[replies.EXTRA_FIELDS] = ((b"X-Request-Id", request_id.encode("ascii")), *decision.extra)
        return await handler(request)

    return decide
