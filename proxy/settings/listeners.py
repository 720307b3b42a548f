"""[[listeners]]: where clients come in, and what is particular to each door."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from proxy.settings.section import Section
from proxy.settings.types import (
    BindAddress,
    FileMode,
    ListenBind,
    Network,
    Score,
    Seconds,
    SizeBytes,
    UnixBind,
)

# What `[edge] listen` makes; the worker knows its socket by having no name.
DEFAULT_NAME = "default"
# sun_path holds 108 bytes with the closing zero, and the socket is bound under a name with a process id.
_SOCKET_PATH_BYTES = 99


class CertificateSettings(Section):
    """A chain in PEM, the server's own first, and its key without a passphrase."""

    certificate: Path
    key: Path


class ListenerTlsSettings(Section):
    """[listeners.tls]: which certificate a client gets is told by the names in it."""

    certificates: Annotated[tuple[CertificateSettings, ...], Field(min_length=1, max_length=1000)]
    client_certificates: Literal["none", "optional", "required"] = "none"
    client_ca: Path | None = None
    minimum_version: Literal["1.2", "1.3"] | None = None

    @field_validator("client_ca")
    @classmethod
    def _belongs_to_client_certificates(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        asked = info.data.get("client_certificates", "none")
        if value is None and asked != "none":
            raise ValueError(f"is missing, but client_certificates is {asked!r}")
        if value is not None and asked == "none":
            raise ValueError("is of no use while client_certificates is 'none'")
        return value

    @field_validator("minimum_version")
    @classmethod
    def _looks_at_every_certificate(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value == "1.2" and info.data.get("client_certificates", "none") != "none":
            raise ValueError(
                "must be '1.3' with client_certificates: a session of 1.2 can be resumed without its"
                " certificate being looked at again, and Python's ssl cannot forbid that"
            )
        return value

    @property
    def lowest_version(self) -> Literal["1.2", "1.3"]:
        return self.minimum_version or ("1.2" if self.client_certificates == "none" else "1.3")


class ListenerSettings(Section):
    """One listening address. What is left out is as in [edge]."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}$")]
    listen: ListenBind
    unix_mode: FileMode | None = None
    drop_score: Score | None = None
    half_close: Literal["cancel", "serve"] | None = None
    tls: ListenerTlsSettings | None = None
    handshake_seconds: Seconds = 5.0
    proxy_protocol: Literal["off", "required"] = "off"
    proxy_protocol_from: tuple[Network, ...] = ()
    proxy_protocol_others: Literal["refuse", "plain"] = "refuse"
    proxy_header_seconds: Seconds = 5.0
    connection_count: Annotated[int, Field(ge=0, le=1000000)] = 0
    connections_per_address: Annotated[int, Field(ge=0, le=1000000)] = 0
    minimum_body_bytes_per_second: SizeBytes = 0
    minimum_send_bytes_per_second: SizeBytes = 0
    minimum_rate_seconds: Annotated[float, Field(ge=1, le=3600)] = 5.0

    @field_validator("name")
    @classmethod
    def _is_its_own(cls, value: str) -> str:
        if value == DEFAULT_NAME:
            raise ValueError(f"{DEFAULT_NAME!r} is the name of the listener that [edge] listen makes")
        return value

    @field_validator("connections_per_address")
    @classmethod
    def _has_addresses(cls, value: int, info: ValidationInfo) -> int:
        is_unix = isinstance(info.data.get("listen"), UnixBind)
        if value and is_unix and info.data.get("proxy_protocol") == "off":
            raise ValueError("has no meaning for a unix socket, whose clients have no addresses")
        return value

    @field_validator("unix_mode")
    @classmethod
    def _belongs_to_unix(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and isinstance(info.data.get("listen"), BindAddress):
            raise ValueError("belongs to a unix socket, but listen is an address and a port")
        return value

    @field_validator("proxy_protocol_from")
    @classmethod
    def _says_who_is_believed(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        is_required = info.data.get("proxy_protocol") == "required"
        is_unix = isinstance(info.data.get("listen"), UnixBind)
        if value and not is_required:
            raise ValueError("is of no use while proxy_protocol is 'off'")
        if value and is_unix:
            raise ValueError("must be empty for a unix socket: unix_mode says who may connect")
        if is_required and not value and not is_unix:
            raise ValueError("must name the proxies: whoever may send the header chooses its address")
        return value

    @field_validator("proxy_protocol_others")
    @classmethod
    def _has_others(cls, value: str, info: ValidationInfo) -> str:
        if value == "plain" and not info.data.get("proxy_protocol_from", ("",)):
            raise ValueError("has no meaning without proxy_protocol_from")
        return value


def at(listener: ListenerSettings, base: Path) -> ListenerSettings:
    """With its paths starting at `base`. Raises ValueError when a socket's path becomes too long."""
    if listener.tls is not None:
        listener = listener.model_copy(update={"tls": _tls_at(listener.tls, base)})
    if isinstance(listener.listen, BindAddress):
        return listener
    path = str(base / listener.listen.path)
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise ValueError(f"{path!r} is too long for a unix socket: at most {_SOCKET_PATH_BYTES} bytes")
    return listener.model_copy(update={"listen": UnixBind(path)})


def _tls_at(tls: ListenerTlsSettings, base: Path) -> ListenerTlsSettings:
    pairs = tuple(
        CertificateSettings(certificate=base / pair.certificate, key=base / pair.key)
        for pair in tls.certificates
    )
    ca = None if tls.client_ca is None else base / tls.client_ca
    return tls.model_copy(update={"certificates": pairs, "client_ca": ca})
