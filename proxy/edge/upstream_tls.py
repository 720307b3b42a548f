"""`tls` of an upstream -> the TLS contexts of the connections to its targets.

A context lives as long as its configuration and files stay as they are; another context makes other targets,
so no connection that was made under old rules is used under new ones.
"""

import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from proxy.edge.config_upstreams import UpstreamConfig, UpstreamTlsConfig


class TlsFileFault(ValueError):  # noqa: N818 - what is at fault is a file
    """`key`: which of the `tls` table's."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class ClientContext:
    """What connections to one upstream's https targets are made with. Equal only to itself."""

    context: ssl.SSLContext
    tls: UpstreamTlsConfig
    stamps: tuple[tuple[int, ...], ...]


def load_client_contexts(
    upstreams: Iterable[UpstreamConfig], present: Mapping[str, ClientContext]
) -> dict[str, ClientContext]:
    """By the upstream's name; what has not changed is taken over. Reads files (the system's authorities take
    20 ms): not on the loop.

    Raises TlsFileFault, with upstream and file in its message.
    """
    found = {}
    for upstream in upstreams:
        if any(target.is_tls for target in upstream.targets):
            try:
                found[upstream.name] = load_client_context(upstream.tls, present.get(upstream.name))
            except TlsFileFault as fault:
                raise TlsFileFault(fault.key, f"upstream {upstream.name!r}: {fault}") from fault
    return found


def load_client_context(tls: UpstreamTlsConfig, present: ClientContext | None = None) -> ClientContext:
    """Raises TlsFileFault."""
    stamps = tuple(
        _stamp(key, path)
        for key, path in (("ca", tls.ca), ("certificate", tls.certificate), ("key", tls.key))
        if path is not None
    )
    if present is not None and (present.tls, present.stamps) == (tls, stamps):
        return present
    return ClientContext(_context(tls), tls, stamps)


def _context(tls: UpstreamTlsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(tls.ca)
        except ssl.SSLError as error:
            raise TlsFileFault("ca", f"{tls.ca}: is no certificate in PEM form") from error
    if tls.certificate is not None and tls.key is not None:
        _prove_ourselves(context, tls.certificate, tls.key)
    return context


def _prove_ourselves(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key, _refuse_password)
    except _PasswordWantedError:
        raise TlsFileFault("key", f"{key}: is encrypted: nobody is there to type a password") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsFileFault("key", f"{key}: does not belong to {certificate}") from error
        raise TlsFileFault("certificate", f"{certificate} and {key}: are no certificate and key") from error


def _stamp(key: str, path: str) -> tuple[int, ...]:
    try:
        with Path(path).open("rb") as opened:
            facts = os.fstat(opened.fileno())
    except OSError as error:
        raise TlsFileFault(key, f"{path}: cannot be read: {error.strerror}") from error
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


class _PasswordWantedError(Exception):
    """OpenSSL has asked for one."""


def _refuse_password() -> NoReturn:
    raise _PasswordWantedError
