"""Bodies and queries of the admin API -> checked values. The OpenAPI document is made from these models."""

from typing import Annotated, Any, Literal, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proxy.settings.types import Score

MAXIMUM_BODY_BYTES = 64 * 1024
MAXIMUM_LOOKUP_COUNT = 100
MAXIMUM_PAGE_COUNT = 1000

_Model = TypeVar("_Model", bound=BaseModel)

Target = Annotated[str, Field(min_length=1, max_length=300)]
Category = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,63}$")]
TtlSeconds = Annotated[int, Field(ge=1)]
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=128)]


class RequestRefusedError(Exception):
    """The request itself is at fault: `status`, `code` and a message for its sender."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Body(BaseModel):
    # An unknown key is refused: a mistyped ttl_seconds would make a block for ever.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AllowBody(_Body):
    """An address, a network or a domain that operators let through, whatever lists say."""

    target: Target
    reason: Annotated[str, Field(max_length=500)] = ""
    ttl_seconds: TtlSeconds | None = None
    categories: Annotated[tuple[Category, ...], Field(max_length=16)] = ()
    kind: Literal["exact", "suffix", "below"] | None = None
    idempotency_key: IdempotencyKey | None = None


class BlockBody(AllowBody):
    """An address, a network or a domain to block."""

    score: Score = 10.0


class LookupBody(_Body):
    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=MAXIMUM_LOOKUP_COUNT)]


class WishBody(_Body):
    """A block or an allow that is only thought of."""

    target: Target
    disposition: Literal["block", "allow"] = "block"
    score: Score = 10.0
    ttl_seconds: TtlSeconds | None = None
    kind: Literal["exact", "suffix", "below"] | None = None


class SimulateBody(_Body):
    """What changes would do. `subjects`: addresses and hosts to judge before and after them."""

    entries: Annotated[tuple[WishBody, ...], Field(min_length=1, max_length=MAXIMUM_LOOKUP_COUNT)]
    subjects: Annotated[tuple[Target, ...], Field(max_length=MAXIMUM_PAGE_COUNT)] = ()


async def body_of(request: web.Request, model: type[_Model]) -> _Model:
    """Raises RequestRefusedError."""
    if request.content_type != "application/json":
        raise RequestRefusedError(415, "unsupported_media_type", "send Content-Type: application/json")
    try:
        values = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RequestRefusedError(400, "invalid_json", f"the body is not JSON: {error}") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise RequestRefusedError(413, "too_large", f"a body may have {MAXIMUM_BODY_BYTES} bytes") from error
    except web.RequestPayloadError as error:
        raise RequestRefusedError(400, "invalid_body", "the body ends early or is badly encoded") from error
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RequestRefusedError(422, "invalid_body", describe(error)) from error


def describe(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_url=False)[:5]
    )


def query_target(request: web.Request) -> str:
    """Raises RequestRefusedError."""
    target = request.query.get("target", "")
    if not target or len(target) > 300:
        raise RequestRefusedError(
            400, "invalid_target", "give ?target= with an address, a network or a domain"
        )
    return target


def query_count(request: web.Request, name: str, default: int) -> int:
    """Raises RequestRefusedError."""
    text = request.query.get(name, str(default))
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAXIMUM_PAGE_COUNT))
    if not is_number or not 1 <= int(text) <= MAXIMUM_PAGE_COUNT:
        shown = text[:100]
        raise RequestRefusedError(
            400, "invalid_query", f"{name} is {shown!r}; give 1 to {MAXIMUM_PAGE_COUNT}"
        )
    return int(text)


def query_score(request: web.Request, name: str, default: float) -> float:
    """Raises RequestRefusedError."""
    text = request.query.get(name, "")
    try:
        score = float(text) if text else default
    except ValueError:
        score = -1.0
    if not 0 <= score <= 10:
        raise RequestRefusedError(400, "invalid_query", f"{name} is {text[:100]!r}; give a score, 0 to 10")
    return score


def schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(ref_template="#/components/schemas/{model}")
