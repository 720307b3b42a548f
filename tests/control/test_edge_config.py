"""Settings reach the workers whole."""

from dataclasses import fields

import orjson
import pytest

from proxy.control.edge_config import check_edge_config, to_edge_config
from proxy.edge.config import EdgeConfig
from proxy.edge.config_rate_limits import RateLimitConfig
from proxy.edge.config_routes import FixedResponse, HeaderChanges, HeaderMatch, Redirect, RouteConfig
from proxy.edge.config_upstreams import TargetConfig, UpstreamConfig
from proxy.edge.context import gate_config
from proxy.errors import ConfigError
from proxy.settings import load_settings

# Every key that a worker works by, none at its default.
_ALL_DIFFERENT = """
[edge]
mode = "observe"
block_score = 6
domains = ["host", "origin"]
trusted_proxies = ["10.0.0.0/8"]
on_block = "finish"
half_close = "serve"
via = "other"
rate_limits = [{ name = "one", key = "header:X-Key", requests = 20, per_seconds = 21, burst = 22 }]
[edge.rate_limiting]
when_full = "pass"
fields = "always"
[edge.timeouts]
head_seconds = 1
keepalive_seconds = 2
body_idle_seconds = 3
send_idle_seconds = 4
tunnel_idle_seconds = 5
linger_seconds = 6
drain_seconds = 7
[edge.limits]
head_bytes = 2048
target_bytes = 512
header_count = 50
body_bytes = 9
response_head_bytes = 4096
linger_bytes = 10
write_buffer_bytes = 16384
pipelined_bytes = 2048
receive_buffer_bytes = 8192
connection_count = 11
backlog_count = 18
buffer_bytes = 20
[upstream]
url = "http://gateway:81"
host_header = "api.example"
idle_count = 12
idle_seconds = 13
connect_seconds = 14
head_seconds = 15
read_idle_seconds = 16
write_idle_seconds = 17
protect_tyk = true
tyk_paths = ["/tyk", "/live"]
[blocklist]
on_missing = "open"
[[routes]]
name = "api"
hosts = ["api.example", "*.API.example"]
path_prefix = "/v1"
methods = ["GET"]
headers = [{ name = "X-Tenant", value = "a" }, { name = "X-Key" }]
block_score = 5
mode = "enforce"
domains = ["referer"]
body_bytes = 19
host_header = "inner.example"
rate_limits = [{ name = "two", key = "route", requests = 23, per_seconds = 24 }]
strip_prefix = "/v1"
add_prefix = "/api"
request_headers = { set = { X-A = "1" }, add = { X-B = "2" }, remove = ["X-C"] }
response_headers = { set = { Server = "edge" } }
redirect = { status = 301, location = "https://{host}{path}" }
[[routes]]
name = "page"
path = "/page"
respond = { status = 418, content_type = "text/html", body = "<p>tea</p>" }
upstream = "app"
[[upstreams]]
name = "app"
protect_tyk = true
targets = [{ url = "https://[::1]:82", weight = 3 }, { url = "unix:/run/app.sock" }]
tls = { ca = "/ca", server_name = "in.example", certificate = "/own", key = "/key" }
balance = "client_hash"
host_header = "target"
idle_count = 20
idle_seconds = 21
connect_seconds = 22
head_seconds = 23
read_idle_seconds = 24
write_idle_seconds = 25
resolve_seconds = 26
receive_buffer_bytes = 4097
in_flight_count = 27
queue_count = 28
queue_seconds = 29
retries = { count = 2, budget_percent = 31, minimum_per_second = 32 }
health = { preset = "tyk" }
[upstreams.ejection]
consecutive_failures = 33
window_seconds = 34
seconds = 35
maximum_percent = 36
statuses = [500]
[[listeners]]
name = "public"
listen = "127.0.0.1:1"

[access_log]
enabled = true
path = "access.log"
share = 0.5
query = true
buffer_bytes = 70000
"""


def test_defaults_are_the_same_on_both_sides():
    """A worker that starts before control behaves as it will behind it."""
    assert to_edge_config(load_settings(None)) == EdgeConfig()


def test_every_setting_reaches_the_workers(tmp_path):
    """A key that is read and not passed on would be worse than an unknown one."""
    path = tmp_path / "sentra.toml"
    path.write_text(_ALL_DIFFERENT)
    made, default = to_edge_config(load_settings(path)), EdgeConfig()
    # Observing forbids dropping, so this one is tried by itself.
    path.write_text("[edge]\ndrop_score = 9\n")
    assert to_edge_config(load_settings(path)).drop_score == 9
    same = [
        field.name
        for field in fields(EdgeConfig)
        if getattr(made, field.name) == getattr(default, field.name) and field.name != "drop_score"
    ]
    assert same == []
    assert EdgeConfig.from_wire(made.to_wire()) == made


def test_every_key_of_a_route_reaches_the_workers(tmp_path):
    """Between all routes of the example each key is set once; a route has one path and one upstream."""
    path = tmp_path / "sentra.toml"
    path.write_text(_ALL_DIFFERENT)
    made, default = to_edge_config(load_settings(path)).routes, RouteConfig()
    assert [route.name for route in made] == ["api", "page"]
    same = [
        field.name
        for field in fields(RouteConfig)
        if all(getattr(route, field.name) == getattr(default, field.name) for route in made)
    ]
    assert same == []
    assert made[0].hosts == ("api.example", "*.api.example")
    assert made[0].request_headers == HeaderChanges((("X-A", "1"),), (("X-B", "2"),), ("X-C",))
    assert made[0].redirect == Redirect(301, "https://{host}{path}")
    assert made[1].respond == FixedResponse(418, "text/html", "<p>tea</p>")
    assert (made[0].hidden_paths, made[1].hidden_paths) == (("/tyk", "/live"), ("/tyk", "/hello", "/ready"))
    assert made[0].headers == (HeaderMatch("X-Tenant", "a"), HeaderMatch("X-Key"))
    assert made[0].rate_limits == (RateLimitConfig("two", "route", 23, 24),)


def test_every_key_of_a_rate_limit_reaches_the_workers(tmp_path):
    path = tmp_path / "sentra.toml"
    path.write_text(_ALL_DIFFERENT)
    made = to_edge_config(load_settings(path)).rate_limits
    assert made == (RateLimitConfig("one", "header:X-Key", 20, 21, 22),)


@pytest.mark.parametrize(
    "limit",
    [
        'key = "client", requests = 100000, per_seconds = 1, burst = 8640000000',
        'key = "route", requests = 8640000000, per_seconds = 86400',
        'key = "header:a", requests = 7, per_seconds = 86400, burst = 7',
        'key = "client", requests = 1, per_seconds = 86400, burst = 1',
    ],
)
def test_rate_limits_at_their_bounds_are_taken_by_rust(tmp_path, limit):
    """What the settings let through must not stop a worker."""
    path = tmp_path / "sentra.toml"
    path.write_text(f'[edge]\nrate_limits = [{{ name = "a", {limit} }}]\n')
    gate_config(to_edge_config(load_settings(path)))


def test_every_key_of_an_upstream_reaches_the_workers(tmp_path):
    """[upstream] says nothing here that its plain fields do not say, so it does not travel twice."""
    path = tmp_path / "sentra.toml"
    path.write_text(_ALL_DIFFERENT)
    (made,) = to_edge_config(load_settings(path)).upstreams
    plain = UpstreamConfig(name="default", targets=())
    same = [
        field.name
        for field in fields(UpstreamConfig)
        if getattr(made, field.name) == getattr(plain, field.name)
    ]
    # It excludes checks, see below.
    assert same == ["proxy_protocol"]
    assert made.targets == (
        TargetConfig("::1", 82, weight=3, is_tls=True),
        TargetConfig(path="/run/app.sock"),
    )


@pytest.mark.parametrize(
    "line",
    ['url = "unix:/run/app.sock"', 'url = "https://a"', 'balance = "client_hash"', 'proxy_protocol = "v2"'],
)
def test_upstream_with_more_than_its_plain_fields_travels_whole(tmp_path, line: str):
    """The plain fields can not say it; the name keeps its routes."""
    path = tmp_path / "sentra.toml"
    path.write_text(f"[upstream]\n{line}\n")
    config = to_edge_config(load_settings(path))
    assert [upstream.name for upstream in config.upstreams] == ["default"]
    assert config.every_upstream() == config.upstreams
    assert EdgeConfig.from_wire(config.to_wire()) == config


def test_verification_that_is_off_reaches_the_workers(tmp_path):
    """The one key of `tls` that the other ones exclude."""
    path = tmp_path / "sentra.toml"
    path.write_text('[upstream]\nurl = "https://a"\nproxy_protocol = "v2"\ntls = { verify = false }\n')
    (upstream,) = to_edge_config(load_settings(path)).upstreams
    assert (upstream.tls.verify, upstream.proxy_protocol) == (False, "v2")


def test_routes_reach_rust_whole(tmp_path):
    """What the settings let through, the tables take."""
    path = tmp_path / "sentra.toml"
    path.write_text(_ALL_DIFFERENT)
    gate_config(to_edge_config(load_settings(path)))


def test_what_a_worker_does_not_know_is_left_out_at_any_depth():
    """Control may be newer than a worker that has not been replaced yet."""
    sent = {"routes": [{"name": "a", "headers": [{"name": "X-A", "sign": 1}], "colour": "red"}], "speed": 9}
    assert EdgeConfig.from_wire(orjson.dumps(sent)) == EdgeConfig(
        routes=(RouteConfig(name="a", headers=(HeaderMatch("X-A"),)),)
    )
    with pytest.raises(ValueError, match="a RouteConfig is an object, not str"):
        EdgeConfig.from_wire(b'{"routes": ["a"]}')


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ('hosts = ["a_b..c"]', 2, ["routes.0.hosts", "not a host name"]),
        ('path = "/a//b"', 2, ["routes.0.path", "normal form", "/a/b"]),
        ('path = "/a%2fb"', 2, ["routes.0.path", "escaped slash"]),
        ('methods = ["TRACE"]', 2, ["routes.0.methods", "always refused"]),
        ('headers = [{ name = "X-Real-IP" }]', 2, ["routes.0.headers", "X-Real-IP"]),
        ('request_headers = { set = { Host = "a" } }', 2, ["routes.0.request_headers", "the proxy itself"]),
        ('response_headers.remove = ["Connection"]', 2, ["routes.0.response_headers", "the proxy itself"]),
        ('strip_prefix = "/v1"', 2, ["routes.0.strip_prefix", "not the beginning of path"]),
        ('redirect = { location = "//evil.example" }', 2, ["routes.0.redirect", "does not begin with"]),
        ('redirect = { location = "/a{what}" }', 2, ["routes.0.redirect", "braces"]),
        ('respond = { status = 204, body = "a" }', 2, ["routes.0.respond", "204 has no body"]),
    ],
)
def test_fault_that_only_the_tables_know_names_its_place(tmp_path, text, line, parts):
    """`sentra-proxy check` says as much of a route's host as of a missing key."""
    path = tmp_path / "sentra.toml"
    path.write_text(f'[[routes]]\n{text}\nname = "a"\n')
    with pytest.raises(ConfigError) as caught:
        check_edge_config(load_settings(path), path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: "), message
    for part in parts:
        assert part in message


def test_a_lane_is_an_upstream_on_its_socket_and_hides_what_its_own_upstream_hides(tmp_path):
    """A route through a lane must not be the way round to Tyk's control paths."""
    path = tmp_path / "sentra.toml"
    path.write_text(
        """
[upstream]
url = "http://gateway:8080"
protect_tyk = true
head_seconds = 7
[[lanes]]
name = "app"
middlewares = ["mine:middleware"]
[[routes]]
name = "through"
lane = "app"
"""
    )
    config = to_edge_config(load_settings(path))
    (route,) = config.routes
    assert route.upstream == "lane:app"
    assert "/tyk" in route.hidden_paths
    (lane,) = (upstream for upstream in config.upstreams if upstream.name == "lane:app")
    assert lane.targets == (TargetConfig(path=str(tmp_path / "var/run/lane-app.sock")),)
    # The lane's own 504 comes first.
    assert lane.head_seconds == 8
