"""One line of an access log -> who asked for which host, and when.

combined: nginx and Apache, common and combined, with a virtual host in front and X-Forwarded-For behind
haproxy:  `option httplog`, also behind a syslog header; the first captured request header is the host
envoy:    the default format and Istio's
json:     an object per line; the names that nginx, Caddy, Traefik, Envoy and this proxy use
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson


class Asked(NamedTuple):
    """As written: nothing here has been checked. `peer` and `host` are empty when the line has none.

    `forwarded` is the X-Forwarded-For that came along.
    """

    peer: str
    forwarded: str
    host: str
    time: str | float


Reader = Callable[[str], Asked | None]

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_COMBINED = re.compile(rf"^(\S+) ([^\[\"]*)\[([^\]]{{1,40}})\] {_QUOTED} (?:\d{{3}}|-)(?: (.*))?$")
_HAPROXY = re.compile(
    r"(?:^|\s)([0-9A-Fa-f.:]{3,45}|unix):(\d+) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d(?:\.\d{1,6})?)\]"
    r" \S+ \S+ [-+\d/]+ (?:\d{3}|-1) \+?\d+ \S+ \S+ \S{4} [-+\d/]+ [\d/]+"
    rf"(?: \{{([^}}]*)\}})?(?: \{{[^}}]*\}})? {_QUOTED}"
)
_ENVOY = re.compile(rf"^\[([^\]]{{1,40}})\] {_QUOTED} \d{{1,3}} (.*)$")
_EACH_QUOTED = re.compile(_QUOTED)
_ABSOLUTE = re.compile(r"^\S+ https?://([^/?#\s]+)", re.IGNORECASE)
_HOST_LIKE = re.compile(r"^(?=.{4,255}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+\.?(:\d{1,5})?$")
_ADDRESSES = re.compile(r"^[0-9A-Fa-f.:\[\]%, ]{2,}$")
# Envoy's last five quoted fields: X-Forwarded-For, User-Agent, request id, authority, upstream host.
_ENVOY_FIELDS: Final = 5
# Istio's tail: cluster, local, downstream local, downstream remote, server name, route.
_ISTIO_PEER, _ISTIO_FIELDS = 3, 6

_PEER_KEYS = (
    "remote_addr", "remote_ip", "client_ip", "clientip", "client", "ClientHost", "ClientAddr", "client_addr",
    "downstream_remote_address", "source_ip", "src_ip", "ip",
)  # fmt: skip
_FORWARDED_KEYS = ("http_x_forwarded_for", "x_forwarded_for", "x-forwarded-for", "xff")
_HOST_KEYS = (
    "http_host", "host", "authority", ":authority", "RequestHost", "RequestAddr", "vhost", "request_host",
    "server_name",
)  # fmt: skip
_TIME_KEYS = (
    "time_iso8601", "time", "ts", "timestamp", "@timestamp", "msec", "start_time", "StartUTC", "time_local",
)  # fmt: skip
# Where a wrapper (Docker, Kubernetes) keeps the line itself.
_LINE_KEYS = ("log", "message")


def combined(line: str) -> Asked | None:
    match = _COMBINED.match(line)
    if match is None:
        return None
    first, before, moment, request, rest = match.groups()
    fields = before.split()
    host, peer = "", first
    # `host:port client - user`: without a virtual host the second word is a dash.
    if len(fields) >= 3 and (_ADDRESSES.match(fields[0]) or fields[0] == "unix:"):
        host, peer = first, fields[0]
    behind = _EACH_QUOTED.findall(rest or "")
    forwarded = next((text for text in behind[2:] if _ADDRESSES.match(text)), "")
    return Asked(peer, forwarded, _absolute_host(request) or host, moment)


def haproxy(line: str) -> Asked | None:
    match = _HAPROXY.search(line)
    if match is None:
        return None
    peer, _, moment, captured, request = match.groups()
    host = next((text for text in (captured or "").split("|") if _HOST_LIKE.match(text)), "")
    return Asked("" if peer == "unix" else peer, "", _absolute_host(request) or host, moment)


def envoy(line: str) -> Asked | None:
    match = _ENVOY.match(line)
    if match is None:
        return None
    moment, request, rest = match.groups()
    quoted = _EACH_QUOTED.findall(rest)
    if len(quoted) < _ENVOY_FIELDS:
        return None
    forwarded, _, _, authority, _ = quoted[-_ENVOY_FIELDS:]
    tail = rest.rpartition('"')[2].split()
    peer = tail[_ISTIO_PEER] if len(tail) >= _ISTIO_FIELDS else ""
    return Asked(_given(peer), _given(forwarded), _absolute_host(request) or _given(authority), moment)


def json_line(line: str) -> Asked | None:
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(values, dict):
        return None
    asked = _from_object(values)
    if asked is not None:
        return asked
    inner = next((values[key] for key in _LINE_KEYS if isinstance(values.get(key), str)), None)
    return None if inner is None else _first(inner.rstrip("\r\n"), (combined, haproxy, envoy))


READERS: Final[dict[str, Reader]] = {
    "combined": combined,
    "haproxy": haproxy,
    "envoy": envoy,
    "json": json_line,
}


class AnyFormat:
    """Tells the format by itself: what read the line before is tried first."""

    def __init__(self) -> None:
        self._readers: list[Reader] = list(READERS.values())

    def __call__(self, line: str) -> Asked | None:
        for index, reader in enumerate(self._readers):
            asked = reader(line)
            if asked is not None:
                if index:
                    self._readers.insert(0, self._readers.pop(index))
                return asked
        return None


def _first(line: str, readers: tuple[Reader, ...]) -> Asked | None:
    return next((asked for reader in readers if (asked := reader(line)) is not None), None)


def _from_object(values: dict[str, Any]) -> Asked | None:
    """None when it names neither a client nor a host."""
    request = values.get("request")
    if isinstance(request, dict):  # Caddy
        values = {**values, **request}
    peer, forwarded = _text(values, _PEER_KEYS), _text(values, _FORWARDED_KEYS)
    if not (peer or forwarded):
        return None
    moment = next((values[key] for key in _TIME_KEYS if isinstance(values.get(key), (str, int, float))), "")
    return Asked(peer, forwarded, _text(values, _HOST_KEYS), moment)


def _text(values: dict[str, Any], keys: tuple[str, ...]) -> str:
    found = (values.get(key) for key in keys)
    return next((_given(value) for value in found if isinstance(value, str) and _given(value)), "")


def _given(text: str) -> str:
    return "" if text == "-" else text


def _absolute_host(request: str) -> str:
    """Of `GET http://host/path HTTP/1.1`, which a proxy is asked with."""
    match = _ABSOLUTE.match(request)
    return match[1].rpartition("@")[2] if match else ""
