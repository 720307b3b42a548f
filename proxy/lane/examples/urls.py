"""Text from a stranger -> the host that a browser, or a fetching service, would connect to."""

import re
import socket
from ipaddress import ip_address
from typing import Final
from unicodedata import normalize
from urllib.parse import unquote

from fastmatch import Blocklist

# As the URL standard reads them: tabs and line ends are nothing, a backslash is a slash, slashes may miss.
_NOTHING: Final = re.compile(r"[\t\n\r]")
_EDGES: Final = "".join(map(chr, range(0x21)))
_SPECIAL: Final = re.compile(r"(?:https?|wss?|ftp):[/\\]*([^/\\?#]*)|[/\\]{2,}([^/\\?#]+)", re.IGNORECASE)
_OTHER: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_NUMBERS: Final = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)(?:\.(?:0[xX][0-9A-Fa-f]*|[0-9]+)){0,3}\.?")
_LONGEST: Final = 65536


def host_of(text: str) -> str | None:
    """None for what is no URL with a host. Names in lower case and without a last dot."""
    if "/" not in text and "\\" not in text and ":" not in text:
        return None
    cleaned = _NOTHING.sub("", text[:_LONGEST].strip(_EDGES))
    match = _SPECIAL.match(cleaned) or _OTHER.match(cleaned)
    if match is None:
        return None
    authority = next((group for group in match.groups() if group is not None), "")
    host = normalize("NFKC", unquote(authority.rpartition("@")[2]))
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    host = host.rstrip(".").lower()
    if _NUMBERS.fullmatch(host) is not None:
        # 2130706433, 0x7f.1 and 127.1 are all 127.0.0.1 to whoever connects.
        try:
            return socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            return None
    return host or None


def score_of_host(listed: Blocklist, host: str) -> float | None:
    """The blocking score of a host, None when it is not on the list or no host at all."""
    try:
        address = ip_address(host)
    except ValueError:
        try:
            verdict = listed.lookup_domain(host)
        except ValueError:
            return None
    else:
        verdict = listed.lookup(address)
    return verdict.score if verdict is not None and verdict.disposition == "block" else None
