"""A MISP warning list (JSON) -> plain lines."""

import orjson

from proxy.errors import ListError

# The other types (regex, substring of a URL) say nothing about a whole network or domain.
_TYPES = frozenset({"cidr", "hostname", "string"})


def misp_to_plain(data: bytes) -> bytes:
    """`.example.com` means the name and what is below it, as a plain line does. Raises ListError."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ListError(f"is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("list"), list):
        raise ListError("is not a MISP warning list: it has no array 'list'")
    if document.get("type") not in _TYPES:
        raise ListError(
            f"is a warning list of type {document.get('type')!r}; readable are {', '.join(sorted(_TYPES))}"
        )
    lines = [str(item).strip().removeprefix(".") for item in document["list"]]
    return "\n".join(lines).encode()
