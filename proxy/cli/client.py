"""One call of the admin API, by the standard library: aiohttp takes longer to import than the call takes."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from proxy.errors import ConfigError, ProxyError

TIMEOUT_SECONDS = 10.0
MAXIMUM_ANSWER_BYTES = 16 * 1024 * 1024


class UnreachableError(ProxyError):
    """The admin API did not answer; the fault may lie anywhere between."""


@dataclass(frozen=True, slots=True)
class AdminClient:
    is_tls: bool
    host: str
    port: int
    token: str | None

    def call(
        self, method: str, path: str, *, target: str | None = None, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """(status, answer). Raises UnreachableError."""
        kind = http.client.HTTPSConnection if self.is_tls else http.client.HTTPConnection
        connection = kind(self.host, self.port, timeout=TIMEOUT_SECONDS)
        headers = {"Accept": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        content = None
        if body is not None:
            content = json.dumps(body)
            headers["Content-Type"] = "application/json"
        url = path if target is None else f"{path}?{urlencode({'target': target})}"
        try:
            connection.request(method, url, body=content, headers=headers)
            response = connection.getresponse()
            answer = json.loads(response.read(MAXIMUM_ANSWER_BYTES))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnreachableError(
                f"the admin API at {self.host}:{self.port} is out of reach: {error or type(error).__name__};"
                " is sentra-proxy running? --admin-url or SENTRA_ADMIN_URL names another address"
            ) from error
        finally:
            connection.close()
        if not isinstance(answer, dict):
            raise UnreachableError(f"what answers at {self.host}:{self.port} is not the admin API")
        return response.status, answer


def client_for(
    config: Path | None,
    admin_url: str | None,
    token_file: Path | None,
    scope: str,
    environ: Mapping[str, str],
) -> AdminClient:
    """Flags before environment before configuration. Raises ConfigError."""
    url = admin_url or environ.get("SENTRA_ADMIN_URL") or None
    token = _given_token(token_file, environ)
    if url is not None and (token is not None or config is None):
        return _from_url(url, token)
    from proxy.settings import default_config_path, load_settings  # with both given, no settings are loaded

    settings = load_settings(config or default_config_path(environ))
    if token is None:
        token = _configured_token(settings.control.tokens, scope, environ)
    if url is not None:
        return _from_url(url, token)
    host, port = settings.control.admin_listen
    # A wildcard is an address to bind, not one to call.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return AdminClient(False, host, port, token)


def _from_url(url: str, token: str | None) -> AdminClient:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"admin URL {url!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigError(f"admin URL {url!r}: write it like http://127.0.0.1:9901")
    is_tls = parts.scheme == "https"
    return AdminClient(is_tls, parts.hostname, port or (443 if is_tls else 80), token)


def _given_token(token_file: Path | None, environ: Mapping[str, str]) -> str | None:
    if token_file is None:
        return environ.get("SENTRA_ADMIN_TOKEN") or None
    try:
        return token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"--token-file {token_file}: cannot be read: {reason}") from error


def _configured_token(tokens: Any, scope: str, environ: Mapping[str, str]) -> str | None:  # noqa: ANN401 a type of settings, which load lazily
    """The first token of the configuration that has the scope and whose secret can be had."""
    from proxy.control.auth import secret_of  # only now settings are loaded anyway

    for token in tokens:
        if scope in token.scopes:
            try:
                secret = secret_of(token, environ)
            except ConfigError:
                continue
            if secret is not None:
                return secret
    return None
