"""Bearer tokens of the settings -> who is calling and what they may do."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.errors import ConfigError
from proxy.settings import Settings, TokenSettings, locate

MINIMUM_SECRET_CHARACTERS = 16
# Approving takes an authenticated person's own credential, which "no authentication" is not.
_OPEN_SCOPES = frozenset({"read", "propose", "write"})


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Token:
    """The secret's SHA-256 only: what is not kept cannot leak."""

    caller: Caller
    digest: bytes


@dataclass(frozen=True, slots=True)
class Doors:
    """Who gets in. `anonymous` is set when the admin API runs without authentication, on loopback."""

    tokens: tuple[Token, ...]
    anonymous: Caller | None

    def caller(self, authorization: str | None) -> Caller | None:
        """None: nobody we know. Every token is compared, in constant time, so timing names none of them."""
        if self.anonymous is not None:
            return self.anonymous
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            return None
        digest = hashlib.sha256(secret.strip().encode("utf-8", "surrogateescape")).digest()
        found: Caller | None = None
        for token in self.tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token.caller
        return found


def doors_from(settings: Settings, environ: Mapping[str, str], config_path: Path | None = None) -> Doors:
    """Raises ConfigError when a secret cannot be had, and when nobody could get in."""
    if settings.control.auth == "none":
        return Doors((), Caller("anonymous", _OPEN_SCOPES))
    if not settings.control.tokens:
        raise ConfigError(
            f"{locate(config_path, ('control', 'tokens'))}: there are none and control.auth is 'token':"
            ' add [[control.tokens]], or set control.auth = "none" on a loopback address'
        )
    tokens = []
    for index, token in enumerate(settings.control.tokens):
        place = locate(config_path, ("control", "tokens", index))
        caller = Caller(token.name, frozenset(token.scopes))
        tokens.append(Token(caller, _digest(token, environ, place)))
    return Doors(tuple(tokens), None)


def secret_of(token: TokenSettings, environ: Mapping[str, str]) -> str | None:
    """The plain secret; None when only its digest is configured. Raises ConfigError."""
    if token.secret is not None:
        return token.secret.get_secret_value()
    if token.secret_env is not None:
        value = environ.get(token.secret_env)
        if not value:
            raise ConfigError(f"token {token.name!r}: the environment has no {token.secret_env}")
        return value
    if token.secret_file is not None:
        try:
            return token.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"token {token.name!r}: {token.secret_file} cannot be read: {error}") from error
    return None


def _digest(token: TokenSettings, environ: Mapping[str, str], place: str) -> bytes:
    if token.sha256 is not None:
        return bytes.fromhex(token.sha256)
    try:
        secret = secret_of(token, environ)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
    if secret is None:  # the model demands exactly one kind of secret
        raise ConfigError(f"{place}: token {token.name!r} has no secret")
    if len(secret) < MINIMUM_SECRET_CHARACTERS:
        raise ConfigError(
            f"{place}: token {token.name!r}: the secret has {len(secret)} characters,"
            f" the least is {MINIMUM_SECRET_CHARACTERS}"
        )
    return hashlib.sha256(secret.encode()).digest()
