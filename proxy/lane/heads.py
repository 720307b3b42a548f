"""Message heads between aiohttp's parser and the wire: bytes in, bytes out, nothing lost and nothing
invented.

aiohttp decodes heads to `str` with surrogateescape and its C writer then drops every surrogate, so a request
for `/adm\\xffin` is judged as such and leaves as `/admin`. Nothing here goes through `str`: fields come from
`raw_headers`, targets with bytes outside printable ASCII are refused. Rules: RFC 9112 sections 3.2, 6; RFC
9110 sections 7.6, 10.1.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp.http import HttpVersion, HttpVersion10

from proxy.lane.errors import MalformedAnswerError, RequestError
from proxy.lane.identity import Forwarding

Fields = list[tuple[bytes, bytes]]

_TARGET: Final = re.compile(rb"[!-\"$-\[\]-~]+")  # printable ASCII without '#' and '\'
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?@]+)([/?].*)?", re.DOTALL)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[!$&'()*+,;=\-._~%0-9A-Za-z]*)(?::[0-9]{0,5})?")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")

# RFC 9110 section 7.6.1; the last two are of a proxy's own business, HTTP2-Settings belongs to a refused
# upgrade.
_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
    | {b"http2-settings", b"proxy-authenticate", b"proxy-authorization", b"alt-svc"}
)
# A client must not remove these by naming them in Connection (CVE-2021-32813, CVE-2024-45410 in another
# proxy).
_PROTECTED: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"content-type",
        b"content-encoding",
    }
)
_REMADE: Final = frozenset({b"host", b"content-length", b"expect"})
_SPOOFABLE: Final = frozenset(
    {b"x-real-ip", b"forwarded", b"x-request-id", b"x-original-url", b"x-rewrite-url"}
)
# What a trusted proxy may say; X-Real-IP and X-Sentra-* are ours alone.
_BELIEVABLE: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"}
    | {b"x-forwarded-prefix", b"x-original-url", b"x-rewrite-url"}
)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What decides how a request travels. `length` is None without a body or when it is chunked."""

    target: bytes
    host: bytes
    is_chunked: bool
    length: int | None
    is_version_10: bool = False


def read_request(
    method: str, path: str, version: HttpVersion, fields: Iterable[tuple[bytes, bytes]]
) -> RequestFacts:
    """Raises RequestError with the status that the client deserves."""
    if method in {"CONNECT", "TRACE"}:
        raise RequestError(405)
    if version.major != 1:
        raise RequestError(505)
    named: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        named.setdefault(name.lower(), []).append(value)
    target, host = _read_target(method, path, named)
    if version == HttpVersion10 and b"transfer-encoding" in named:
        raise RequestError(400)
    is_chunked, length = _read_framing(named)
    expectations = named.get(b"expect", [])
    if any(value.lower() != b"100-continue" for value in expectations):
        raise RequestError(417)
    if b"websocket" in _tokens(named.get(b"upgrade", [])):
        # A tunnel needs both raw transports; the edge worker has them, this form of the lane does not.
        raise RequestError(501)
    # HTTP/1.0 clients may leave Host out; the upstream speaks 1.1 and may not.
    host = host or b"localhost"
    is_version_10 = version == HttpVersion10
    return RequestFacts(target, host, is_chunked, length, is_version_10)


def _read_target(method: str, path: str, named: dict[bytes, list[bytes]]) -> tuple[bytes, bytes]:
    target = path.encode("utf-8", "surrogateescape")
    if _TARGET.fullmatch(target) is None:
        raise RequestError(400)
    hosts = named.get(b"host", [])
    if len(hosts) > 1 or (hosts and _HOST.fullmatch(hosts[0]) is None):
        raise RequestError(400)
    host = hosts[0] if hosts else b""
    if target.startswith(b"/") or (target == b"*" and method == "OPTIONS"):
        return target, host
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or _HOST.fullmatch(absolute[1]) is None:
        raise RequestError(400)
    # RFC 9112 section 3.2.2 prefers the target's authority; two different hosts are an attack, not a
    # preference.
    if host and host.lower() != absolute[1].lower():
        raise RequestError(400)
    rest = absolute[2] or b""
    if not rest:
        return (b"*" if method == "OPTIONS" else b"/"), absolute[1]
    return (rest if rest.startswith(b"/") else b"/" + rest), absolute[1]


def _read_framing(named: dict[bytes, list[bytes]]) -> tuple[bool, int | None]:
    lengths = named.get(b"content-length", [])
    codings = named.get(b"transfer-encoding", [])
    if codings:
        if lengths or len(codings) > 1:
            raise RequestError(400)
        if codings[0].lower() != b"chunked":
            raise RequestError(501)
        return True, None
    if len(lengths) > 1 or (lengths and _LENGTH.fullmatch(lengths[0]) is None):
        raise RequestError(400)
    return False, int(lengths[0]) if lengths else None


def render_request(
    method: str,
    facts: RequestFacts,
    fields: Iterable[tuple[bytes, bytes]],
    host: bytes,
    forwarding: Forwarding,
) -> bytes:
    """The head for the upstream: end-to-end fields as they came and in their order, ours made anew.

    Raises RequestError when a middleware has put a line break into a field, or that came by before.
    """
    passed, via, hops = _sort_fields(fields, believes_peer=forwarding.peer_is_trusted)
    if any(forwarding.is_own_via(value) for value in via):
        raise RequestError(508)
    named = {name.lower() for name, _ in passed} if forwarding.peer_is_trusted else ()
    own = forwarding.fields(hops, facts.host, named)
    own.append((b"Via", b"1.%d %b" % (0 if facts.is_version_10 else 1, forwarding.via)))
    return _render(method, facts, (*passed, *own), host)


def render_passed(
    method: str, facts: RequestFacts, fields: Iterable[tuple[bytes, bytes]], host: bytes
) -> bytes:
    """As `render_request`, for what an edge worker of ours has sent: everything end to end goes through."""
    dropped = _HOP_BY_HOP | _REMADE | _named_in_connection(fields)
    passed = [field for field in fields if field[0].lower() not in dropped]
    return _render(method, facts, passed, host)


def _render(method: str, facts: RequestFacts, fields: Iterable[tuple[bytes, bytes]], host: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method.encode("ascii"), facts.target, host)]
    for name, value in fields:
        if _TOKEN.fullmatch(name) is None or _CONTROL.search(value) is not None:
            raise RequestError(400)
        lines.append(b"%b: %b\r\n" % (name, value))
    if facts.is_chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif facts.length is not None:
        lines.append(b"Content-Length: %d\r\n" % facts.length)
    lines.append(b"\r\n")
    return b"".join(lines)


def _sort_fields(
    fields: Iterable[tuple[bytes, bytes]], *, believes_peer: bool
) -> tuple[Fields, list[bytes], list[bytes]]:
    """(what goes through, Via values, X-Forwarded-For values of a trusted peer)."""
    dropped = _HOP_BY_HOP | _named_in_connection(fields)
    passed: Fields = []
    via: list[bytes] = []
    hops: list[bytes] = []
    for name, value in fields:
        lowered = name.lower()
        if lowered == b"via":
            via.append(value)
            passed.append((name, value))
        elif lowered in _REMADE or lowered in dropped:
            continue
        elif not _is_spoofable(lowered):
            passed.append((name, value))
        elif believes_peer and lowered == b"x-forwarded-for":
            hops.append(value)
        elif believes_peer and lowered in _BELIEVABLE:
            passed.append((name, value))
    return passed, via, hops


def read_response(status: int, version: HttpVersion, fields: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The declared body length, None when chunked or until close. Raises MalformedAnswerError.

    aiohttp parses responses leniently: several lengths, unknown codings and folded fields come through.
    """
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for name, value in fields:
        lowered = name.lower()
        if lowered == b"content-length":
            lengths.append(value)
        elif lowered == b"transfer-encoding":
            codings.append(value)
        if _CONTROL.search(value) is not None or _TOKEN.fullmatch(name) is None:
            raise MalformedAnswerError("control character or bad name in a response field")
    if status == 101 or version.major != 1:
        raise MalformedAnswerError(f"status {status} or version {version} that nobody asked for")
    if len(lengths) > 1 or (lengths and _LENGTH.fullmatch(lengths[0]) is None):
        raise MalformedAnswerError("content-length is repeated or not a number")
    if codings and (lengths or len(codings) > 1 or codings[0].lower() != b"chunked"):
        raise MalformedAnswerError("transfer-encoding is not exactly chunked")
    return int(lengths[0]) if lengths else None


def response_fields(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """End-to-end fields of a response, in order. Content-Length stays."""
    dropped = _named_in_connection(fields)
    return [
        field for field in fields if (name := field[0].lower()) not in _HOP_BY_HOP and name not in dropped
    ]


def render_response(
    version: HttpVersion, status: int, reason: str, fields: Iterable[tuple[str, str]]
) -> bytes:
    """Status line and fields; bytes that aiohttp kept as surrogates become the same bytes again.

    Raises ValueError when a middleware has put a control character into a field.
    """
    lines = [f"HTTP/{version.major}.{version.minor} {status} {reason}"]
    lines += [f"{name}: {value}" for name, value in fields]
    head = "\n".join(lines).encode("utf-8", "surrogateescape")
    if head.count(b"\n") != len(lines) - 1 or _CONTROL.search(head.replace(b"\n", b"")) is not None:
        raise ValueError("control character in a response field")
    return head.replace(b"\n", b"\r\n") + b"\r\n\r\n"


def _named_in_connection(fields: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    values = [value for name, value in fields if len(name) == 10 and name.lower() == b"connection"]
    return frozenset(_tokens(values)) - _PROTECTED if values else frozenset()


def _tokens(values: Iterable[bytes]) -> list[bytes]:
    return [token.strip(b" \t") for value in values for token in value.lower().split(b",")]


def _is_spoofable(lowered: bytes) -> bool:
    """Fields by which a client could speak as a proxy, in any spelling that a backend may fold together."""
    if not lowered.startswith((b"x", b"forwarded")):
        return False
    folded = lowered.replace(b"_", b"-")
    return folded.startswith((b"x-forwarded-", b"x-sentra-")) or folded in _SPOOFABLE
