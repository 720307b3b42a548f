"""What a worker knows of one listener, in the form that travels within a CONFIGURE frame."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Paths: keys never travel. A worker reads them itself, as the user it runs as."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """`certificates`: the first is for clients that ask for no name, or for one that none has."""

    certificates: tuple[CertificateFiles, ...]
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    client_certificates: Literal["none", "optional", "required"] = "none"
    client_ca: str | None = None


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """Plain values only. `name` is what the supervisor calls the socket. A new field needs a default."""

    name: str = ""
    drop_score: float | None = None
    half_close: Literal["cancel", "serve"] = "cancel"
    tls: TlsConfig | None = None
    handshake_seconds: float = 5.0
    proxy_protocol: Literal["off", "required"] = "off"
    proxy_protocol_from: tuple[str, ...] = ()
    proxy_protocol_others: Literal["refuse", "plain"] = "refuse"
    proxy_header_seconds: float = 5.0
    connection_count: int = 0
    connections_per_address: int = 0
    minimum_body_bytes_per_second: int = 0
    minimum_send_bytes_per_second: int = 0
    minimum_rate_seconds: float = 5.0
