"""Certificate files of a listener -> the TLS contexts of its connections.

Every worker has its own: Python cannot share the keys of session tickets, so a client resumes only with the
worker that it met before. A context lives as long as its files stay as they are, and with it its sessions.
"""

import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from proxy.edge.certificate_names import dns_names
from proxy.edge.config_listeners import CertificateFiles, ListenerConfig, TlsConfig

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# TLS 1.2 with forward secrecy and authenticated encryption only; 1.3 has nothing else.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

KeyPath = tuple[str | int, ...]


class CertificateFault(ValueError):  # noqa: N818 - what is at fault is a file
    """`key`: where in the listener's `tls` table the file at fault stands."""

    def __init__(self, key: KeyPath, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Keyring:
    """What one listener proves itself with. `stamps` tells whether files or configuration have changed."""

    context: ssl.SSLContext
    tls: TlsConfig
    stamps: tuple[tuple[int, ...], ...]


def load_keyrings(listeners: Iterable[ListenerConfig], present: Mapping[str, Keyring]) -> dict[str, Keyring]:
    """By the listener's name; what has not changed is taken over. Reads files: not on the loop.

    Raises CertificateFault, with listener and file in its message.
    """
    found = {}
    for listener in listeners:
        if listener.tls is not None:
            try:
                found[listener.name] = load_keyring(listener.tls, present.get(listener.name))
            except CertificateFault as fault:
                raise CertificateFault(fault.key, f"listener {listener.name!r}: {fault}") from fault
    return found


def load_keyring(tls: TlsConfig, present: Keyring | None = None) -> Keyring:
    """Raises CertificateFault."""
    stamps = tuple(_stamp(key, path) for key, path in _files(tls))
    if present is not None and (present.tls, present.stamps) == (tls, stamps):
        return present
    by_name: dict[str, ssl.SSLContext] = {}
    contexts = []
    for index, files in enumerate(tls.certificates):
        names = _names(index, files)
        context = _context(tls, index, files)
        contexts.append(context)
        for name in names:
            by_name.setdefault(name, context)
    if len(contexts) > 1:
        contexts[0].sni_callback = _chooser(by_name)
    return Keyring(contexts[0], tls, stamps)


def _chooser(
    by_name: Mapping[str, ssl.SSLContext],
) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """The certificate of exactly that name, else the one with a wildcard for its first label."""

    def choose(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower()
        found = by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")
        if found is not None:
            connection.context = found

    return choose


def _context(tls: TlsConfig, index: int, files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    if tls.client_certificates != "none":
        _ask_for_certificate(context, tls)
    key: KeyPath = ("certificates", index, "key")
    try:
        context.load_cert_chain(files.certificate, files.key, _refuse_password)
    except _PasswordWantedError:
        raise CertificateFault(
            key, f"{files.key}: is encrypted: nobody is there to type a password"
        ) from None
    except ssl.SSLError as error:
        is_foreign = error.reason == "KEY_VALUES_MISMATCH"
        reason = (
            f"does not belong to the certificate {files.certificate}" if is_foreign else "is no private key"
        )
        raise CertificateFault(key, f"{files.key}: {reason}") from error
    return context


def _ask_for_certificate(context: ssl.SSLContext, tls: TlsConfig) -> None:
    """No session is resumed: it would stand for a certificate that nobody looks at again (CVE-2025-23419)."""
    is_required = tls.client_certificates == "required"
    context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_verify_locations(tls.client_ca)
    except (ssl.SSLError, TypeError) as error:
        raise CertificateFault(("client_ca",), f"{tls.client_ca}: is no certificate in PEM form") from error


def _names(index: int, files: CertificateFiles) -> tuple[str, ...]:
    try:
        return dns_names(Path(files.certificate).read_text(encoding="ascii"))
    except ValueError as error:
        raise CertificateFault(
            ("certificates", index, "certificate"), f"{files.certificate}: {error}"
        ) from error


def _files(tls: TlsConfig) -> Iterable[tuple[KeyPath, str]]:
    for index, files in enumerate(tls.certificates):
        yield ("certificates", index, "certificate"), files.certificate
        yield ("certificates", index, "key"), files.key
    if tls.client_ca is not None:
        yield ("client_ca",), tls.client_ca


def _stamp(key: KeyPath, path: str) -> tuple[int, ...]:
    """Differs when the file has been written or replaced; a mounted secret changes by its link's target."""
    try:
        with Path(path).open("rb") as opened:
            facts = os.fstat(opened.fileno())
    except OSError as error:
        raise CertificateFault(key, f"{path}: cannot be read: {error.strerror}") from error
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


class _PasswordWantedError(Exception):
    """OpenSSL has asked for one."""


def _refuse_password() -> NoReturn:
    raise _PasswordWantedError
