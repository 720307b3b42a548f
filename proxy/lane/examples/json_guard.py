"""`json_guard`: looks into JSON bodies before the origin does, refuses what it must not see.

    # guards.py, in a folder of `python_path`
    from proxy.lane.examples.json_guard import Rules, json_guard

    guard = json_guard(Rules(maximum_bytes=65536, maximum_depth=20))

    # sentra.toml: [[lanes]] middlewares = ["guards:guard"]

At most `maximum_bytes` of a body are held, whatever its length says; every other body streams through
untouched. A body that is let through leaves exactly as it came.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from json import JSONDecoder
from typing import Final, Literal

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fastmatch import Blocklist
from proxy.lane import replies
from proxy.lane.examples.urls import host_of, score_of_host
from proxy.lane.lists import BLOCKLIST

# What may be parsed on the loop: about a millisecond. Larger bodies go to a thread.
_ON_LOOP_BYTES: Final = 16384
_JSON_TYPE: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json|text/json", re.IGNORECASE)

Source = Callable[[], Blocklist | None]
Reason = Literal["no_list", "too_large", "encoded", "invalid", "too_deep", "blocked_url"]
_STATUS: Final[dict[Reason, int]] = {
    "no_list": 503,
    "too_large": 413,
    "encoded": 415,
    "invalid": 400,
    "too_deep": 400,
    "blocked_url": 403,
}

# Why a request was refused, for middlewares around this one: `request.get(REFUSED)`.
REFUSED: Final = web.RequestKey("sentra_json_guard", str)


@dataclass(frozen=True, slots=True)
class Rules:
    """Raises ValueError naming the rule that makes no sense.

    `content_types`: media types that are JSON here, beside application/json, text/json and those on +json.
    `url_fields`: names whose values are looked at, at any depth; None: every string that is a URL.
    `invalid`: what happens to a body that says it is JSON and is none. Two equal names in one object make it
    none: parsers differ in which of them counts. `pass` lets it through unread, and blocked URLs in it too.
    `on_missing`: without any list every JSON body is refused, or (`open`) none for its URLs.
    """

    maximum_bytes: int = 1_048_576
    maximum_depth: int = 64
    block_score: float = 7.0
    content_types: frozenset[str] = frozenset()
    url_fields: frozenset[str] | None = None
    invalid: Literal["refuse", "pass"] = "refuse"
    on_missing: Literal["open", "closed"] = "closed"

    def __post_init__(self) -> None:
        if not 1 <= self.maximum_bytes <= 2**31:
            raise ValueError(f"maximum_bytes must be from 1 to 2**31, is {self.maximum_bytes}")
        # Above it the standard library's parser gives up by itself.
        if not 1 <= self.maximum_depth <= 500:
            raise ValueError(f"maximum_depth must be from 1 to 500, is {self.maximum_depth}")
        if not 0 <= self.block_score <= 10:
            raise ValueError(f"block_score must be from 0 to 10, is {self.block_score}")


class Refused(Exception):  # noqa: N818  # an outcome, not a fault
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def json_guard(rules: Rules | None = None, source: Source | None = None) -> Middleware:
    """`source` returns the list to ask; by default the one that the edge has in force."""
    guard = _Guard(rules or Rules())

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not guard.concerns(request):
            return await handler(request)
        asked = source or request.app[BLOCKLIST]
        try:
            await guard.judge(request, asked())
        except Refused as refused:
            request[REFUSED] = refused.reason
            # What is left of the body is nobody's to read.
            close = not request.content.is_eof()
            return replies.problem(_STATUS[refused.reason], replies.request_id_of(request), close=close)
        return await handler(request)

    return look


@dataclass(frozen=True, slots=True)
class _Guard:
    rules: Rules
    _types: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_types", frozenset(name.lower() for name in self.rules.content_types))

    def concerns(self, request: web.Request) -> bool:
        """A body that says it is JSON. One that says nothing is not guessed at: origins do not either."""
        if not request.body_exists:
            return False
        kinds = request.headers.getall("Content-Type", [])
        names = [kind.partition(";")[0].strip().lower() for kind in kinds]
        return any(name in self._types or _JSON_TYPE.fullmatch(name) is not None for name in names)

    async def judge(self, request: web.Request, listed: Blocklist | None) -> None:
        """Raises Refused. Leaves the body where `request.read()` leaves one: it goes on from there."""
        if listed is None and self.rules.on_missing == "closed":
            raise Refused("no_list")
        codings = request.headers.getall("Content-Encoding", [])
        if any(coding.strip().lower() != "identity" for coding in codings):
            # Unpacking it would be an offer to whoever sends a bomb.
            raise Refused("encoded")
        body = await self._read(request)
        request._read_bytes = body
        if len(body) <= _ON_LOOP_BYTES:
            self.look_into(body, listed)
        else:
            await asyncio.to_thread(self.look_into, body, listed)

    async def _read(self, request: web.Request) -> bytes:
        limit = self.rules.maximum_bytes
        if request._read_bytes is not None:  # by a middleware before
            if len(request._read_bytes) > limit:
                raise Refused("too_large")
            return request._read_bytes
        if (request.content_length or 0) > limit:
            raise Refused("too_large")
        pieces: list[bytes] = []
        count = 0
        while data := await request.content.readany():
            count += len(data)
            if count > limit:
                raise Refused("too_large")
            pieces.append(data)
        return b"".join(pieces)

    def look_into(self, body: bytes, listed: Blocklist | None) -> None:
        """Raises Refused. Cost: about 60 ns a byte of ordinary JSON."""
        try:
            document = parse_strictly(body)
        except RecursionError as error:
            raise Refused("too_deep") from error
        except ValueError as error:
            if self.rules.invalid == "pass":
                return
            raise Refused("invalid") from error
        for text in self._texts(document):
            if listed is None or (host := host_of(text)) is None:
                continue
            score = score_of_host(listed, host)
            if score is not None and score >= self.rules.block_score:
                raise Refused("blocked_url")

    def _texts(self, document: object) -> Iterator[str]:
        """Strings to look at, without recursion: what is sent decides how deep this goes."""
        wanted = self.rules.url_fields
        waiting: list[tuple[object, int, bool]] = [(document, 1, wanted is None)]
        while waiting:
            value, depth, is_wanted = waiting.pop()
            if isinstance(value, str):
                if is_wanted:
                    yield value
                continue
            children: Sequence[tuple[object, bool]]
            if isinstance(value, dict):
                children = [(below, is_wanted or name in (wanted or ())) for name, below in value.items()]
            elif isinstance(value, list):
                children = [(below, is_wanted) for below in value]
            else:
                continue
            if depth > self.rules.maximum_depth:
                raise Refused("too_deep")
            waiting.extend((below, depth + 1, below_is_wanted) for below, below_is_wanted in children)


def parse_strictly(body: bytes) -> object:
    """Raises ValueError for what RFC 8259 does not allow or leaves open, RecursionError for too deep nesting.

    The standard library's parser, not orjson: only it tells of repeated names, and of the two that a lenient
    origin might read, the hidden one is the attacker's.
    """
    return _DECODER.decode(body.decode("utf-8", "strict"))


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _unread(_digits: str) -> None:
    """Numbers are not looked at: converting a long one would cost its square."""


_DECODER: Final = JSONDecoder(
    object_pairs_hook=_without_repetition,
    parse_constant=_no_constant,
    parse_int=_unread,
    parse_float=_unread,
)
