"""Settings: every refusal names file, line and key, because that is all that a person at 3 a.m. reads."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.settings import (
    LaneSettings,
    ListenerSettings,
    ListenerTlsSettings,
    ListSettings,
    RateLimitSettings,
    RouteSettings,
    Settings,
    default_config_path,
    load_settings,
    locate,
)
from proxy.settings.toml_lines import key_lines, nearest_line
from proxy.settings.upstreams import NamedUpstreamSettings, UpstreamKeys


def limit(**changed: object) -> str:
    """A rate limit as it is written in one line."""
    values = {"name": "a", "key": "client", "requests": 1, "per_seconds": 1} | changed
    pairs = (
        f"{name} = {value!r}" if isinstance(value, int) else f'{name} = "{value}"'
        for name, value in values.items()
    )
    return "{" + ", ".join(pairs) + "}"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """The variables of whoever runs the tests must not decide them."""
    for name in list(os.environ):
        if name.startswith("SENTRA_") or name in ("TYK_GATEWAY_URL", "LOG_LEVEL"):
            monkeypatch.delenv(name)


def write(folder: Path, text: str) -> Path:
    path = folder / "sentra.toml"
    path.write_text(text)
    return path


def fault_of(path: Path | None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    return str(caught.value)


def test_defaults_need_no_file():
    """The shortest way to a running edge is nothing at all."""
    settings = load_settings(None)
    assert str(settings.edge.listen) == "0.0.0.0:8080"
    assert str(settings.control.admin_listen) == "127.0.0.1:9901"
    assert settings.edge.block_score == 7.0


def test_file_values_are_taken(tmp_path):
    """One value of each shape: scalar, nested section, array, array of tables."""
    settings = load_settings(
        write(
            tmp_path,
            """
            [edge]
            block_score = 6.5
            trusted_proxies = ["10.0.0.0/8", "::ffff:192.0.2.0/120"]
            [edge.timeouts]
            head_seconds = 3
            [upstream]
            url = "http://gateway:8080/"
            [[lists]]
            path = "bad.csv"
            source = "bad"
            format = "csv"
            score_column = 1
            score_map = [[1, 4], [5, 8.5]]
            """,
        )
    )
    assert settings.edge.block_score == 6.5
    assert settings.edge.trusted_proxies == ("10.0.0.0/8", "192.0.2.0/24")
    assert settings.edge.timeouts.head_seconds == 3
    assert str(settings.upstream.url) == "http://gateway:8080"
    assert settings.lists[0].score_map == ((1, 4), (5, 8.5))


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path):
    """A service is started from anywhere; its lists lie beside its configuration."""
    settings = load_settings(
        write(
            tmp_path,
            """
            [[lists]]
            path = "lists/bad.txt"
            source = "bad"
            [state]
            directory = "data"
            """,
        )
    )
    assert settings.lists[0].path == tmp_path / "lists/bad.txt"
    assert settings.state.run == tmp_path / "data/run"


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("[edge]\nblock_scor = 6\n", 2, ["edge.block_scor", "unknown key", "did you mean 'block_score'"]),
        ("[edgy]\nx = 1\n", 1, ["edgy", "unknown key", "'edge'"]),
        ("\n[edge]\nblock_score = 11\n", 3, ["edge.block_score", "less than or equal to 10", "is 11"]),
        ("[edge]\nblock_score = nan\n", 2, ["edge.block_score"]),
        ("[edge]\nblock_score = 7.55\n", 2, ["edge.block_score", "one decimal", "7.55"]),
        ('[edge]\nlisten = "8080"\n', 2, ["edge.listen", "address:port", "'8080'"]),
        ('[edge]\nlisten = "example.com:80"\n', 2, ["edge.listen", "IP address"]),
        ('[edge]\nlisten = "::1:80"\n', 2, ["edge.listen", "brackets"]),
        ('[edge]\nlisten = "127.0.0.1:70000"\n', 2, ["edge.listen", "65535"]),
        ("[edge]\nlisten = 80\n", 2, ["edge.listen", "address:port"]),
        ('[edge]\ntrusted_proxies = [\n "10.0.0.1/8",\n]\n', 2, ["edge.trusted_proxies.0", "host bits"]),
        ("[edge]\ntrusted_proxies = [10]\n", 2, ["edge.trusted_proxies.0", "in quotes"]),
        ("[edge]\nblock_score = 8\ndrop_score = 7\n", 3, ["edge.drop_score", "below edge.block_score", "8"]),
        ('[edge]\nmode = "observe"\ndrop_score = 9\n', 3, ["edge.drop_score", "observe"]),
        ("[edge.timeouts]\nhead_seconds = 0\n", 2, ["edge.timeouts.head_seconds", "greater than 0"]),
        ("[edge.limits]\nhead_bytes = 5\n", 2, ["edge.limits.head_bytes", "1024", "is 5"]),
        ('[edge]\nvia = "a b"\n', 2, ["edge.via"]),
        ('[upstream]\nurl = "ftp://x"\n', 2, ["upstream.url", "http://", "'ftp://x'"]),
        ('[upstream]\nurl = "https://x"\ntls = { key = "k" }\n', 3, ["upstream.tls.key", "both or none"]),
        (
            '[upstream]\nurl = "https://x"\ntls = { certificate = "c" }\n',
            3,
            ["upstream.tls.key", "both or none"],
        ),
        (
            '[upstream]\nurl = "https://x"\ntls = { ca = "c", verify = false }\n',
            3,
            ["upstream.tls.verify", "of no use"],
        ),
        ("[upstream]\ntls = { verify = true }\n", 2, ["upstream.tls", "https://", "there is none"]),
        (
            '[upstream]\nhost_header = "target"\n[[routes]]\nname = "a"\nhost_header = "b"\n',
            5,
            ["routes.0.host_header", "'default'", "its own name"],
        ),
        ('[upstream]\nproxy_protocol = "v3"\n', 2, ["upstream.proxy_protocol", "'v1' or 'v2'", "is 'v3'"]),
        (
            '[upstream]\nproxy_protocol = "v1"\nhealth = { preset = "tyk" }\n',
            3,
            ["upstream.health", "proxy_protocol"],
        ),
        ('[upstream]\nurl = "unix:app.sock"\n', 2, ["upstream.url", "absolute path", "'unix:app.sock'"]),
        ('[upstream]\nurl = "unix:/%s"\n' % ("x" * 107), 2, ["upstream.url", "107 bytes"]),
        ('[upstream]\nbalance = "best"\n', 2, ["upstream.balance", "'round_robin'", "is 'best'"]),
        ("[upstream]\nhealth = {}\n", 2, ["upstream.health.path", "must be given, or a preset"]),
        ('[upstream]\nhealth = { preset = "nginx" }\n', 2, ["upstream.health.preset", "'tyk'", "is 'nginx'"]),
        ('[upstream]\nhealth = { path = "ready" }\n', 2, ["upstream.health.path", "is 'ready'"]),
        ('[upstream]\nhealth = { path = "/a b" }\n', 2, ["upstream.health.path", "is '/a b'"]),
        (
            '[upstream]\nhealth = { path = "/", statuses = [] }\n',
            2,
            ["upstream.health.statuses", "at least 1"],
        ),
        (
            "[upstream]\nejection = { maximum_percent = 101 }\n",
            2,
            ["upstream.ejection.maximum_percent", "100"],
        ),
        ("[upstream]\nejection = { statuses = [404] }\n", 2, ["upstream.ejection.statuses.0", "is 404"]),
        ("[upstream]\nretries = { count = 11 }\n", 2, ["upstream.retries.count", "equal to 10", "is 11"]),
        ("[upstream]\nretries = { counts = 1 }\n", 2, ["upstream.retries.counts", "did you mean 'count'"]),
        ("[upstream]\nqueue_seconds = 0\n", 2, ["upstream.queue_seconds", "greater than 0"]),
        ("[upstream]\nin_flight_count = -1\n", 2, ["upstream.in_flight_count", "is -1"]),
        ('[[upstreams]]\nname = "a"\n', 1, ["upstreams.0.targets", "is missing"]),
        ('[[upstreams]]\nname = "a"\ntargets = []\n', 3, ["upstreams.0.targets", "at least 1"]),
        (
            '[[upstreams]]\nname = "a"\ntargets = [{ url = "http://a", weight = 0 }]\n',
            3,
            ["upstreams.0.targets.0.weight", "greater than or equal to 1", "is 0"],
        ),
        (
            '[[upstreams]]\nname = "a"\ntargets = [{ url = "http://a" }, { url = "http://a:80/" }]\n',
            3,
            ["upstreams.0.targets", "two targets are http://a:80", "weight"],
        ),
        (
            '[[upstreams]]\nname = "a"\ntargets = [{ url = "http://a" }]\nurl = "http://a"\n',
            4,
            ["upstreams.0.url", "unknown key"],
        ),
        (
            '[[upstreams]]\nname = "a"\ntargets = [{ url = "http://a" }]\n' * 2,
            5,
            ["upstreams.1.name", "'a'", "another upstream"],
        ),
        (
            '[upstream]\nidle_count = 1\n[[upstreams]]\nname = "default"\ntargets = [{ url = "unix:/a" }]\n',
            4,
            ["upstreams.0.name", "[upstream]"],
        ),
        (
            '[edge]\nengine = "aiohttp"\n[[upstreams]]\nname = "a"\ntargets = [{ url = "http://a" }]\n',
            3,
            ["upstreams", "'native'", "'aiohttp'"],
        ),
        (
            '[edge]\nengine = "aiohttp"\n[upstream]\nidle_count = 1\nin_flight_count = 1\n',
            5,
            ["upstream.in_flight_count", "'native'"],
        ),
        (
            '[edge]\nengine = "aiohttp"\n[upstream]\nurl = "unix:/run/a"\n',
            4,
            ["upstream.url", "http://", "'aiohttp'"],
        ),
        ('[upstream]\nurl = "http://x/path"\n', 2, ["upstream.url", "path"]),
        ('[upstream]\nurl = "http://u@x"\n', 2, ["upstream.url", "nothing but"]),
        ('[upstream]\nurl = "http://x:99999"\n', 2, ["upstream.url"]),
        ("[upstream]\nurl = 1\n", 2, ["upstream.url", "URL"]),
        ('[[lists]]\npath = "a"\nsource = "a"\n[[lists]]\npath = "b"\n', 4, ["lists.1.source", "is missing"]),
        ('[[lists]]\npath = "a"\nsource = "a b"\n', 3, ["lists.0.source"]),
        (
            '[[lists]]\npath = "a"\nsource = "a"\nscore_column = 1\n',
            4,
            ["lists.0.score_column", "'csv'", "'plain'"],
        ),
        (
            '[[lists]]\npath = "a"\nsource = "a"\n[[lists]]\npath = "b"\nsource = "a"\n',
            1,
            ["lists", "two lists", "'a'"],
        ),
        ('[[routes]]\nhosts = ["a"]\n', 1, ["routes.0.name", "is missing"]),
        ('[[lanes]]\nname = "A"\nmiddlewares = ["a:b"]\n', 2, ["lanes.0.name", "is 'A'"]),
        ('[[lanes]]\nname = "a"\n', 1, ["lanes.0.middlewares", "is missing"]),
        ('[[lanes]]\nname = "a"\nmiddlewares = []\n', 3, ["lanes.0.middlewares"]),
        ('[[lanes]]\nname = "a"\nmiddlewares = ["a.b"]\n', 3, ["lanes.0.middlewares.0", "is 'a.b'"]),
        ('[[lanes]]\nname = "a"\nmiddlewares = ["a:b"]\nprocesses = 0\n', 4, ["lanes.0.processes"]),
        (
            '[[lanes]]\nname = "a"\nmiddlewares = ["a:b"]\nupstream = "x"\n',
            4,
            ["lanes.0.upstream", "there is no upstream 'x'"],
        ),
        (
            '[upstream]\nurl = "https://t"\n[[lanes]]\nname = "a"\nmiddlewares = ["a:b"]\n',
            3,
            ["lanes.0.upstream", "over TLS"],
        ),
        (
            '[[lanes]]\nname = "a"\nmiddlewares = ["a:b"]\n[[lanes]]\nname = "a"\nmiddlewares = ["a:b"]\n',
            5,
            ["lanes.1.name", "another lane's name"],
        ),
        (
            '[edge]\nengine = "aiohttp"\n[[lanes]]\nname = "a"\nmiddlewares = ["a:b"]\n',
            3,
            ["lanes.0", "edge.engine 'native'"],
        ),
        ('[[routes]]\nname = "a"\nlane = "x"\n', 3, ["routes.0.lane", "there is no lane 'x'"]),
        (
            '[[routes]]\nname = "a"\nupstream = "default"\nlane = "x"\n',
            1,
            ["routes.0", "lane and upstream", "one of them"],
        ),
        (
            '[[upstreams]]\nname = "lane:a"\ntargets = [{ url = "http://a" }]\n',
            2,
            ["upstreams.0.name", "must not begin with lane:"],
        ),
        ('[[routes]]\nname = "a"\nhosts = ["a.*.b"]\n', 3, ["routes.0.hosts.0", "whole labels"]),
        ('[[routes]]\nname = "a"\nhosts = ["a:80"]\n', 3, ["routes.0.hosts.0", "without a port"]),
        ('[[routes]]\nname = "a"\nhosts = [1]\n', 3, ["routes.0.hosts.0", "in quotes"]),
        ('[[routes]]\nname = "a"\npath = "x"\n', 3, ["routes.0.path", "begins with /"]),
        ('[[routes]]\nname = "a"\npath_prefix = "/x?y"\n', 3, ["routes.0.path_prefix", "queries"]),
        ('[[routes]]\nname = "a"\npath = "/x"\npath_prefix = "/"\n', 1, ["routes.0", "one of them"]),
        (
            '[[routes]]\nname = "a"\nredirect = { location = "/b" }\nrespond = { body = "c" }\n',
            1,
            ["routes.0", "redirect and respond"],
        ),
        ('[[routes]]\nname = "a"\nredirect = { status = 300, location = "/b" }\n', 3, ["redirect.status"]),
        ('[[routes]]\nname = "a"\nrespond = { status = 101 }\n', 3, ["routes.0.respond.status", "200"]),
        (
            '[[routes]]\nname = "a"\nrequest_headers = { set = { X-A = "b\\nc" } }\n',
            3,
            ["routes.0.request_headers.set.X-A"],
        ),
        ('[[routes]]\nname = "a"\nmethods = ["G T"]\n', 3, ["routes.0.methods.0"]),
        ('[[routes]]\nname = "a"\nheaders = [{ name = "a b" }]\n', 3, ["routes.0.headers.0.name"]),
        ('[[routes]]\nname = "a"\nblock_score = 0\n', 3, ["routes.0.block_score", "above 0"]),
        ('[[routes]]\nname = "a"\n[[routes]]\nname = "a"\n', 4, ["routes.1.name", "another route's"]),
        ('[[routes]]\nname = "a"\nupstream = "b"\n', 3, ["routes.0.upstream", "no upstream 'b'", "default"]),
        (
            '[edge]\ndrop_score = 8\n[[routes]]\nname = "a"\nblock_score = 9\n',
            5,
            ["routes.0.block_score", "edge.drop_score, which is 8", "is 9"],
        ),
        (
            '[edge]\ndrop_score = 8\n[[routes]]\nname = "a"\nmode = "observe"\n',
            5,
            ["routes.0.mode", "not observed"],
        ),
        (f"[edge]\nrate_limits = [{limit(key='cookie')}]\n", 2, ["edge.rate_limits.0.key", "'cookie'"]),
        (f"[edge]\nrate_limits = [{limit(requests=0)}]\n", 2, ["edge.rate_limits.0.requests", "is 0"]),
        (f"[edge]\nrate_limits = [{limit(per_seconds=86401)}]\n", 2, ["edge.rate_limits.0.per_seconds"]),
        (f"[edge]\nrate_limits = [{limit(burst=86401)}]\n", 2, ["edge.rate_limits.0", "'a'", "a day, 86400"]),
        (f"[edge]\nrate_limits = [{limit(requests=100001)}]\n", 2, ["edge.rate_limits.0", "100000 a second"]),
        (f"[edge]\nrate_limits = [{limit()}, {limit()}]\n", 2, ["edge.rate_limits", "two", "'a'"]),
        (f"[edge]\nrate_limits = [{', '.join([limit()] * 5)}]\n", 2, ["edge.rate_limits", "4 items"]),
        ("[edge.rate_limiting]\nentry_count = 10\n", 2, ["edge.rate_limiting.entry_count", "1024", "is 10"]),
        ('[edge.rate_limiting]\nwhen_full = "deny"\n', 2, ["edge.rate_limiting.when_full", "'deny'"]),
        (
            f'[edge]\nrate_limits = [{limit()}]\n[[routes]]\nname = "r"\nrate_limits = [{limit()}]\n',
            5,
            ["routes.0.rate_limits.0.name", "'a' is a limit of [edge] too"],
        ),
        ('[blocklist]\nnever_block = ["exa mple"]\n', 2, ["blocklist.never_block.0", "domain"]),
        ('[blocklist]\nnever_block = ["10.0.0.0/33"]\n', 2, ["blocklist.never_block.0"]),
        ("[blocklist]\nnever_block = [1]\n", 2, ["blocklist.never_block.0", "in quotes"]),
        ("[blocklist]\nreload_seconds = 0\n", 2, ["blocklist.reload_seconds", "0.05"]),
        (
            '[control]\nadmin_listen = "0.0.0.0:9901"\nauth = "none"\n',
            3,
            ["control.auth", "loopback only", "0.0.0.0:9901"],
        ),
        (
            '[[control.tokens]]\nname = "ops"\nscopes = ["read"]\n',
            1,
            ["control.tokens.0", "exactly one of secret", "it has none"],
        ),
        (
            '[[control.tokens]]\nname = "ops"\nscopes = ["read"]\nsecret_env = "A"\nsha256 = "%s"\n'
            % ("0" * 64),
            1,
            ["control.tokens.0", "it has secret_env, sha256"],
        ),
        (
            '[[control.tokens]]\nname = "ops"\nscopes = ["all"]\nsecret_env = "A"\n',
            3,
            ["control.tokens.0.scopes.0"],
        ),
        (
            """[control]\ntokens = [
            {name = "a", scopes = ["read"], secret_env = "A"},
            {name = "a", scopes = ["read"], secret_env = "B"}]
            """,
            2,
            ["control.tokens", "two tokens are named 'a'"],
        ),
        ('[log]\nlevel = "loud"\n', 2, ["log.level", "'loud'"]),
        ("[edge\n", 1, ["column"]),
        ("[edge]\nblock_score = 1\nblock_score = 2\n", 3, ["column"]),
        ("edge = 3\n", 1, ["edge"]),
    ],
)
def test_fault_names_file_line_and_key(tmp_path, text, line, parts):
    """The promise of `sentra-proxy check`: go to that line, change that key."""
    path = write(tmp_path, text)
    message = fault_of(path)
    assert message.startswith(f"{path}:{line}: "), message
    for part in parts:
        assert part in message


def test_every_fault_is_named_at_once(tmp_path):
    """One fault per start is a tour of the file."""
    message = fault_of(write(tmp_path, "[edge]\nblock_score = 11\n\n[state]\nfolder = 'x'\n"))
    assert [line.split(": ")[1] for line in message.splitlines()] == ["edge.block_score", "state.folder"]


def test_secret_is_never_printed(tmp_path):
    """A refused secret stands in a log otherwise."""
    path = write(tmp_path, '[[control.tokens]]\nname = "a"\nscopes = ["read"]\nsecret = "shortish"\n')
    message = fault_of(path)
    assert "control.tokens.0.secret" in message
    assert "16 characters" in message
    assert "shortish" not in message


def test_settings_do_not_show_secrets(tmp_path):
    path = write(
        tmp_path, '[[control.tokens]]\nname = "a"\nscopes = ["read"]\nsecret = "a-long-enough-secret"\n'
    )
    assert "a-long-enough-secret" not in repr(load_settings(path))


def test_unreadable_file_is_named(tmp_path):
    assert f"{tmp_path / 'none.toml'}: cannot be read: No such file" in fault_of(tmp_path / "none.toml")


def test_file_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "sentra.toml"
    path.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in fault_of(path)


def test_environment_wins_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SENTRA_EDGE__BLOCK_SCORE", "5")
    assert load_settings(write(tmp_path, "[edge]\nblock_score = 6\nworkers = 3\n")).edge.block_score == 5


def test_environment_leaves_other_keys_of_the_section_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SENTRA_EDGE__BLOCK_SCORE", "5")
    assert load_settings(write(tmp_path, "[edge]\nblock_score = 6\nworkers = 3\n")).edge.workers == 3


def test_fault_of_the_environment_names_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("SENTRA_EDGE__BLOCK_SCORE", "12")
    assert fault_of(write(tmp_path, "[edge]\nblock_score = 6\n")).startswith(
        "environment: SENTRA_EDGE__BLOCK_SCORE: edge.block_score: "
    )


def test_mistyped_variable_stops_the_start(monkeypatch):
    """pydantic-settings would pass over it in silence."""
    monkeypatch.setenv("SENTRA_EGDE__BLOCK_SCORE", "5")
    assert "SENTRA_EGDE__BLOCK_SCORE: unknown name" in fault_of(None)


def test_mistyped_key_of_a_variable_stops_the_start(monkeypatch):
    monkeypatch.setenv("SENTRA_EDGE__BLOK_SCORE", "5")
    assert "SENTRA_EDGE__BLOK_SCORE" in fault_of(None)


@pytest.mark.parametrize(
    "name",
    [
        "SENTRA_MCP_SERVICE_HOST",
        "SENTRA_MCP_SERVICE_PORT_HTTP",
        "SENTRA_MCP_PORT",
        "SENTRA_MCP_PORT_8080_TCP_ADDR",
    ],
)
def test_service_variables_of_kubernetes_are_no_mistakes(monkeypatch, name):
    """Every pod gets them for a Service that is named sentra-mcp."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:8080")
    load_settings(None)


def test_variable_that_should_be_json_is_named(monkeypatch):
    monkeypatch.setenv("SENTRA_CONTROL__TOKENS", "x")
    message = fault_of(None)
    assert "control" in message
    assert "JSON" in message


def test_gateway_url_sets_the_upstream(tmp_path, monkeypatch):
    """The name that every other tool around Tyk uses."""
    monkeypatch.setenv("TYK_GATEWAY_URL", "http://tyk:8080")
    path = write(tmp_path, '[upstream]\nurl = "http://other"\nidle_count = 1\n')
    settings = load_settings(path)
    assert str(settings.upstream.url) == "http://tyk:8080"
    assert settings.upstream.idle_count == 1


def test_gateway_url_hides_the_control_paths_of_tyk(tmp_path, monkeypatch):
    """Who names Tyk means Tyk; who says no is heard."""
    assert load_settings(None).upstream.hidden_paths == ()
    monkeypatch.setenv("TYK_GATEWAY_URL", "http://tyk:8080")
    assert load_settings(None).upstream.hidden_paths == ("/tyk", "/hello", "/ready")
    path = write(tmp_path, "[upstream]\nprotect_tyk = false\n")
    assert load_settings(path).upstream.hidden_paths == ()
    monkeypatch.delenv("TYK_GATEWAY_URL")
    path = write(tmp_path, '[upstream]\nhealth = { preset = "tyk" }\ntyk_paths = ["/tyk"]\n')
    assert load_settings(path).upstream.hidden_paths == ("/tyk",)


def test_fault_of_the_gateway_url_names_its_variable(monkeypatch):
    monkeypatch.setenv("TYK_GATEWAY_URL", "tyk")
    assert fault_of(None).startswith("environment: TYK_GATEWAY_URL: upstream.url: ")


def test_log_level_is_taken_in_any_case(monkeypatch):
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    assert load_settings(None).log.level == "warning"


def test_lists_variable_names_a_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SENTRA_LISTS", str(tmp_path))
    settings = load_settings(None)
    assert settings.blocklist.folder == tmp_path
    assert settings.lists == ()


def test_lists_variable_may_be_json(monkeypatch):
    monkeypatch.setenv("SENTRA_LISTS", '[{"path": "/a.txt", "source": "a"}]')
    assert load_settings(None).lists[0].path == Path("/a.txt")


def test_settings_cannot_be_changed():
    """What was checked stays what was checked."""
    settings = load_settings(None)
    with pytest.raises(ValueError, match="frozen"):
        settings.edge.block_score = 3


def test_default_path_is_the_file_that_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_config_path({}) is None
    write(tmp_path, "")
    assert default_config_path({}) == Path("sentra.toml")
    assert default_config_path({"SENTRA_CONFIG": "/etc/x.toml"}) == Path("/etc/x.toml")


def test_place_of_a_later_fault_can_be_asked_for(tmp_path):
    path = write(tmp_path, "[control]\n\n[[control.tokens]]\nname = 'a'\n")
    assert locate(path, ("control", "tokens", 0, "name")) == f"{path}:4: control.tokens.0.name"
    assert locate(None, ("control", "tokens")) == "settings: control.tokens"


def test_keys_are_found_behind_values_that_look_like_keys():
    """Strings and arrays over several lines hold brackets, quotes, comments and equal signs."""
    lines = key_lines(
        'a = """\n[not]\nx = 1\n"""\n'
        'b = [ # ] \n  \'# [\', "\\"]",\n]\n'
        "c.d = {e = '}'}\n"
        "[t.'q.r']\nf = '''x'''\n[[u]]\n[[u.v]]\ng = 1\n[[u]]\nh = 2\n"
    )
    assert lines[("a",)] == 1
    assert lines[("b",)] == 5
    assert lines[("c", "d")] == 8
    assert lines[("t", "q.r", "f")] == 10
    assert lines[("u", 0, "v", 0, "g")] == 13
    assert lines[("u", 1, "h")] == 15
    assert ("not",) not in lines
    assert nearest_line(lines, ("u", 1, "missing")) == 14
    assert nearest_line(lines, ("nowhere",)) is None


def example_with_everything_in() -> str:
    """The documented example with its commented-out keys switched on."""
    text = (Path(__file__).resolve().parents[1] / "sentra.example.toml").read_text()
    return re.sub(r"^# (?=(\[\[?)?\w+( = |\.|\]\]))", "", text, flags=re.MULTILINE)


def test_example_is_a_valid_configuration(tmp_path):
    """The first thing that is copied."""
    example = Path(__file__).resolve().parents[1] / "sentra.example.toml"
    assert load_settings(write(tmp_path, example.read_text())).edge.block_score == 7


def test_example_may_be_copied_whole_for_either_engine(tmp_path):
    """What an engine does not know is refused only where it was changed."""
    text = (Path(__file__).resolve().parents[1] / "sentra.example.toml").read_text()
    changed = text.replace('engine = "native" ', 'engine = "aiohttp" ')
    assert load_settings(write(tmp_path, changed)).edge.engine == "aiohttp"


def test_example_shows_every_key_and_its_default(tmp_path):
    """A key that is not in the example is not found; a wrong default there misleads."""
    text = example_with_everything_in()
    shown = tomllib.loads(text)
    defaults = Settings().model_dump(mode="json")
    for section, keys in defaults.items():
        if section not in ("lists", "listeners", "routes", "upstreams", "lanes"):
            assert set(shown[section]) == set(keys), section
    assert set(shown["edge"]["timeouts"]) == set(defaults["edge"]["timeouts"])
    assert set(shown["edge"]["limits"]) == set(defaults["edge"]["limits"])
    assert set(shown["edge"]["rate_limiting"]) == set(defaults["edge"]["rate_limiting"])
    assert set(shown["edge"]["rate_limits"][0]) == set(RateLimitSettings.model_fields)
    assert set(shown["lists"][0]) == set(ListSettings.model_fields)
    assert set().union(*shown["routes"]) == set(RouteSettings.model_fields)
    assert set(shown["lanes"][0]) == set(LaneSettings.model_fields)
    assert set().union(*shown["listeners"]) == set(ListenerSettings.model_fields)
    assert set(shown["listeners"][0]["tls"]) == set(ListenerTlsSettings.model_fields)
    keys = set().union(*shown["upstreams"], set(UpstreamKeys.model_fields))
    assert keys == set(NamedUpstreamSettings.model_fields)
    uncommented = (Path(__file__).resolve().parents[1] / "sentra.example.toml").read_text()
    plain = load_settings(write(tmp_path, uncommented)).model_copy(update={"state": Settings().state})
    assert plain == Settings()


def test_template_of_the_environment_names_what_exists(monkeypatch):
    """Filled in as it stands it must not stop the start."""
    template = Path(__file__).resolve().parents[1] / ".env.template"
    for line in template.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value)
    assert load_settings(None).edge.block_score == 7


def test_files_of_upstreams_start_at_the_folder_of_the_file(tmp_path):
    """As those of listeners do."""
    settings = load_settings(
        write(
            tmp_path,
            """
            [upstream]
            url = "https://gateway"
            tls = { ca = "ca.pem" }
            [[upstreams]]
            name = "app"
            targets = [{ url = "https://app:8443" }]
            tls = { certificate = "own.pem", key = "/keys/own.key" }
            """,
        )
    )
    assert str(settings.upstream.url) == "https://gateway:443"
    assert settings.upstream.tls.ca == tmp_path / "ca.pem"
    assert settings.upstreams[0].tls.certificate == tmp_path / "own.pem"
    assert settings.upstreams[0].tls.key == Path("/keys/own.key")
