"""Text of a setting -> a checked value. Every refusal says what was expected."""

import ipaddress
import math
import re
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, SecretStr
from pydantic_settings import NoDecode

_UNIX_PATH_BYTES = 107
_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"^(?!-)[a-z0-9_-]{1,63}(?<!-)$")


class BindAddress(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixBind(NamedTuple):
    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class UpstreamUrl(NamedTuple):
    """A host with a port, or the path of a unix socket."""

    host: str
    port: int
    scheme: Literal["http", "https", "unix"] = "http"
    path: str = ""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.path}"
        return f"{self.scheme}://{BindAddress(self.host, self.port)}"


def is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback


def _split_host_port(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be address:port with a port from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise ValueError("must have its IPv6 address in brackets, as in [::1]:9901")
    return host, int(port)


def _bind_address(value: object) -> BindAddress:
    if isinstance(value, BindAddress):
        return value
    if not isinstance(value, str):
        raise ValueError("must be address:port")
    host, port = _split_host_port(value)
    try:
        address = ipaddress.ip_address({"localhost": "127.0.0.1"}.get(host, host))
    except ValueError as error:
        # A name could resolve to something else than the author of the file meant to open.
        raise ValueError("must begin with an IP address to bind, such as 127.0.0.1 or [::]") from error
    return BindAddress(str(address), port)


def _listen_bind(value: object) -> BindAddress | UnixBind:
    if isinstance(value, UnixBind):
        return value
    if isinstance(value, str) and value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path or "\0" in path:
            raise ValueError("must name a path behind unix:, such as unix:/run/edge.sock")
        return UnixBind(path)
    try:
        return _bind_address(value)
    except ValueError as error:
        raise ValueError(f"{error}, or unix: and a path") from error


def _file_mode(value: object) -> int:
    """Octal, as chmod takes it; in quotes, because TOML's 0660 is no number and 660 would be another."""
    if isinstance(value, int):
        mode = value
    elif isinstance(value, str) and re.fullmatch(r"0?[0-7]{3}", value):
        mode = int(value, 8)
    else:
        raise ValueError('must be an octal mode in quotes, such as "0660"')
    return mode


def _upstream_url(value: object) -> UpstreamUrl:
    if isinstance(value, UpstreamUrl):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a URL such as http://gateway:8080")
    if value.startswith("unix:"):
        return _unix_url(value.removeprefix("unix:"))
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"must be a URL such as http://gateway:8080 ({error})") from error
    if parts.scheme not in _PORTS:
        raise ValueError("must begin with http://, https:// or unix:/")
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must name a host and nothing but a host and a port")
    if parts.path not in ("", "/"):
        raise ValueError("must not have a path: paths travel to the upstream as they are")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return UpstreamUrl(parts.hostname, port if port is not None else _PORTS[scheme], scheme)


def _unix_url(path: str) -> UpstreamUrl:
    if not path.startswith("/") or "\0" in path:
        raise ValueError("must be unix: and an absolute path, such as unix:/run/app.sock")
    if len(path.encode()) > _UNIX_PATH_BYTES:
        raise ValueError(
            f"must have a path of at most {_UNIX_PATH_BYTES} bytes: the kernel takes no longer one"
        )
    return UpstreamUrl("", 0, "unix", path)


def _score(value: float) -> float:
    tenths = value * 10
    if not math.isclose(tenths, round(tenths), abs_tol=1e-6):
        raise ValueError("must have at most one decimal")
    return round(tenths) / 10


def _network(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be an address or a network in quotes")
    try:
        network = ipaddress.ip_network(value, strict=True)
    except ValueError as error:
        raise ValueError(f"must be an address or a network without host bits ({error})") from error
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            network = ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return str(network)


def _network_or_domain(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a network or a domain in quotes")
    labels = value.lower().rstrip(".").split(".")
    if "/" in value or ":" in value or labels[-1].isdigit():
        return _network(value)
    if len(value) > 253 or not all(_LABEL.match(label) for label in labels):
        raise ValueError("must be an address, a network or a domain")
    return ".".join(labels)


def _host_pattern(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a host in quotes")
    name = value.removeprefix("*.").lower()
    if "*" in name:
        raise ValueError(
            "must be a host name, or *. and a host name: a star stands for whole labels at the front"
        )
    if ":" in name and not name.startswith("["):
        raise ValueError("must be a host without a port, an IPv6 address in brackets")
    return value.lower()


def _route_path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("must be a path that begins with /")
    if "?" in value or "#" in value:
        raise ValueError("must be a path alone: queries decide nothing")
    return value


def _secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 16:
        raise ValueError("must have at least 16 characters")
    return value


Score = Annotated[float, Field(ge=0, le=10), AfterValidator(_score)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
SizeBytes = Annotated[int, Field(ge=0, le=2**40)]
Network = Annotated[str, BeforeValidator(_network)]
NetworkOrDomain = Annotated[str, BeforeValidator(_network_or_domain)]
SourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")]
HeaderToken = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
# Visible ASCII with blanks within.
HeaderValue = Annotated[str, Field(pattern=r"^([!-~]([ -~\t]*[!-~])?)?$", max_length=4096)]
HostHeader = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:\[\]-]{1,255}$")]
HostPattern = Annotated[str, BeforeValidator(_host_pattern)]
MethodToken = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}$")]
RoutePath = Annotated[str, BeforeValidator(_route_path)]
CheckPath = Annotated[str, Field(pattern=r"^/[!-\"$-~]*$", max_length=2048)]
Hex256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
TokenSecret = Annotated[SecretStr, AfterValidator(_secret)]
ListKind = Literal["exact", "suffix", "below"]
DomainSubject = Literal["host", "origin", "referer"]
# NoDecode: in the environment these are text too, not the JSON array that a tuple would be.
Bind = Annotated[BindAddress, PlainValidator(_bind_address), PlainSerializer(str, return_type=str), NoDecode]
ListenBind = Annotated[
    BindAddress | UnixBind, PlainValidator(_listen_bind), PlainSerializer(str, return_type=str), NoDecode
]
FileMode = Annotated[
    int, PlainValidator(_file_mode), PlainSerializer(lambda mode: f"{mode:04o}", return_type=str)
]
Upstream = Annotated[
    UpstreamUrl, PlainValidator(_upstream_url), PlainSerializer(str, return_type=str), NoDecode
]
