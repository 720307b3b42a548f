"""Who gets in, and what is refused at the start."""

import hashlib

import pytest

from proxy.control.auth import doors_from, secret_of
from proxy.errors import ConfigError
from proxy.settings import load_settings

SECRET = "a-secret-of-good-length"


def doors(tmp_path, control, environ=None):
    path = tmp_path / "sentra.toml"
    path.write_text(control)
    return doors_from(load_settings(path), environ or {}, path)


def token(name="ops", scopes='["read"]', secret=f'secret = "{SECRET}"'):
    return f'[[control.tokens]]\nname = "{name}"\nscopes = {scopes}\n{secret}\n'


def test_token_opens_with_its_name_and_scopes(tmp_path):
    found = doors(tmp_path, token(scopes='["read", "write"]')).caller(f"Bearer {SECRET}")
    assert (found.name, found.scopes) == ("ops", {"read", "write"})


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {SECRET}",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        "Bearer \udcff",
    ],
)
def test_anything_else_opens_nothing(tmp_path, authorization):
    assert doors(tmp_path, token()).caller(authorization) is None


def test_scheme_is_read_in_any_case(tmp_path):
    """RFC 9110 section 11.1."""
    assert doors(tmp_path, token()).caller(f"bearer {SECRET}") is not None


def test_secret_may_come_from_environment_file_or_digest(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}-file\n")
    digest = hashlib.sha256(f"{SECRET}-sha".encode()).hexdigest()
    found = doors(
        tmp_path,
        token("a", secret='secret_env = "THE_SECRET"')
        + token("b", secret='secret_file = "secret"')
        + token("c", secret=f'sha256 = "{digest}"'),
        {"THE_SECRET": f"{SECRET}-env"},
    )
    names = [found.caller(f"Bearer {SECRET}-{kind}").name for kind in ("env", "file", "sha")]
    assert names == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("control", "parts"),
    [
        ("[control]\n", [":1: control.tokens:", "there are none"]),
        (token(secret='secret_env = "NONE"'), [":1: control.tokens.0:", "the environment has no NONE"]),
        (token(secret='secret_file = "none"'), ["control.tokens.0", "none cannot be read"]),
        (token(secret='secret_env = "SHORT"'), ["control.tokens.0", "has 5 characters, the least is 16"]),
    ],
)
def test_start_without_a_usable_secret_is_refused_with_its_place(tmp_path, control, parts):
    with pytest.raises(ConfigError) as caught:
        doors(tmp_path, control, {"SHORT": "short"})
    for part in parts:
        assert part in str(caught.value)
    assert "short" not in str(caught.value).replace("the least", "")


def test_open_door_may_not_approve(tmp_path):
    """An approval is a person's own credential."""
    found = doors(tmp_path, '[control]\nauth = "none"\n').caller(None)
    assert found.scopes == {"read", "propose", "write"}


def test_digest_gives_no_secret_back(tmp_path):
    path = tmp_path / "sentra.toml"
    path.write_text(token(secret='sha256 = "%s"' % ("0" * 64)))
    assert secret_of(load_settings(path).control.tokens[0], {}) is None
