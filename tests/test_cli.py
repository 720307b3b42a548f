"""The command line against a running control process: what it prints and how it exits."""

import http.server
import io
import json
import os
import socket
import sys
import threading
import tomllib

import pytest

from proxy import supervisor
from proxy.cli import main, printing
from proxy.cli.arguments import duration, parser
from proxy.cli.client import client_for
from proxy.errors import ConfigError
from tests.control.programs import ControlProgram

SECRET = "a-writer-s-secret-token"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """The variables and the folder of whoever runs the tests must not decide them."""
    for name in list(os.environ):
        if name.startswith("SENTRA_") or name in ("TYK_GATEWAY_URL", "LOG_LEVEL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """One list with one network, no tokens."""
    folder = tmp_path_factory.mktemp("control")
    (folder / "bad.txt").write_text("198.51.100.0/24\n")
    made = ControlProgram(folder)
    made.configure('[[lists]]\npath = "bad.txt"\nsource = "bad"\ncategories = ["scan"]\n')
    made.start()
    yield made
    made.clean_up()


@pytest.fixture
def sentra(program, monkeypatch, capsys):
    """Runs one command; returns (exit status, what it printed, what it complained)."""
    monkeypatch.setenv("SENTRA_ADMIN_URL", f"http://{program.admin_address}")

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_lookup_says_denied_and_by_which_list(sentra):
    status, printed, _ = sentra("lookup", "198.51.100.7")
    assert status == 0
    assert printed.splitlines() == [
        "198.51.100.7: denied, score 8 of 7 from bad",
        "  * 198.51.100.0/24  block 8  feed bad  (scan)",
    ]


def test_lookup_of_a_clean_address_says_so(sentra):
    assert sentra("lookup", "192.0.2.1")[:2] == (0, "192.0.2.1: forwarded, no list knows it\n")


def test_lookup_shows_a_vetoed_entry(sentra, program):
    """Why is this listed address let through?"""
    sentra("block", "good.example")
    status, printed, _ = sentra("lookup", "10.0.0.1")
    assert (status, printed.splitlines()[0]) == (0, "10.0.0.1: forwarded, no list knows it")
    assert "never-block" in printed


def test_block_and_unblock(sentra):
    status, printed, _ = sentra(
        "block", "203.0.113.7", "--score", "9", "--reason", "seen", "--ttl", "1h", "--category", "scan"
    )
    assert status == 0
    assert printed.startswith("blocked 203.0.113.7/32 until 20")
    assert printed.endswith("in force in 0 of 0 workers\n")
    _, printed, _ = sentra("lookup", "203.0.113.7")
    assert "score 9 of 7 from operator:anonymous" in printed
    assert "scan; seen" in printed
    status, printed, _ = sentra("unblock", "203.0.113.7")
    assert (status, printed) == (0, "removed 203.0.113.7/32; in force in 0 of 0 workers\n")


def test_unblock_of_what_a_list_blocks_exits_with_one(sentra):
    """Scripts must not take it for done."""
    sentra("block", "198.51.100.9")
    status, printed, complaint = sentra("unblock", "198.51.100.9")
    assert status == 1
    assert printed == "removed 198.51.100.9/32 (operator:anonymous)\n"
    assert complaint == ("198.51.100.9 is still blocked by bad; sentra-proxy allow 198.51.100.9 --ttl 3600\n")


def test_allow_lets_through(sentra):
    status, printed, _ = sentra("allow", "198.51.100.10", "--ttl", "10m")
    assert status == 0
    assert printed.startswith("allowed 198.51.100.10/32 until 20")
    _, printed, _ = sentra("lookup", "198.51.100.10")
    assert printed.startswith("198.51.100.10: forwarded, allowed by operator:anonymous\n")
    assert "  * 198.51.100.10/32  allow  operator operator:anonymous  (until 20" in printed


def test_refusal_exits_with_one_and_says_why(sentra):
    status, _, complaint = sentra("block", "127.0.0.1")
    assert status == 1
    assert "never blocked: loopback" in complaint


def test_target_that_cannot_be_read_exits_with_one(sentra):
    status, _, complaint = sentra("lookup", "a..b")
    assert status == 1
    assert "a..b" in complaint


@pytest.mark.parametrize(
    "arguments", [("lookup", "198.51.100.7"), ("block", "127.0.0.1"), ("unblock", "192.0.2.1")]
)
def test_answer_as_json_is_the_api_s(sentra, arguments):
    """For scripts; the exit status stays."""
    status, printed, complaint = sentra(*arguments, "--json")
    answer = json.loads(printed)
    assert (status == 0) == ("error" not in answer)
    assert complaint == ""


def test_kind_of_a_domain_can_be_given(sentra):
    sentra("block", "only.example", "--kind", "exact")
    assert "forwarded" in sentra("lookup", "below.only.example")[1]
    assert "denied" in sentra("lookup", "only.example")[1]


def test_top_shows_clients_with_their_bounds_and_routes_with_latencies():
    window = {"seconds": 900, "until": 0}
    measures = {name: {"count": 1200, "at_most": 1200} for name in ("requests", "denied", "limited")}
    client = {"client": "192.0.2.1", **measures, "bytes": {"count": 5, "at_most": 9}}
    by_client = {"by": "client", "order": "bytes", "pods": "1/2", "window": window, "clients": [client]}
    shown = printing.top(by_client | {"unlisted_at_most": {"bytes": 4}})
    assert "192.0.2.1     1,200    5-9   1,200    1,200" in shown
    assert "900 s up to 1970-01-01 00:00:00 UTC, pods 1/2" in shown
    assert "bytes of a client that is not listed: at most 4" in shown
    counts = dict.fromkeys(("requests", "denied", "limited", "errors", "bytes"), 7)
    routes = [
        {"route": "api", **counts, "latency_ms": {"p50": 0.5, "p99": 12.0}},
        {"route": None, **counts, "latency_ms": {"p50": None, "p99": None}},
    ]
    shown = printing.top(
        {"by": "route", "order": "errors", "pods": "1/1", "window": window, "routes": routes}
    )
    assert "api            7       7        7       7      7  0.5 ms  12 ms" in shown
    assert "(none)" in shown


def test_top_of_a_quiet_edge_says_so(sentra):
    status, printed, _ = sentra("top", "--window", "60s")
    assert status == 0
    assert "nothing" in printed
    status, _, complaint = sentra("top", "--window", "0s")
    assert (status, "give 1s to 30d" in complaint) == (1, True)


def test_unreachable_control_exits_with_three(sentra, monkeypatch):
    """Not refused: nobody was asked."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("SENTRA_ADMIN_URL", f"http://{address}")
        status, _, complaint = sentra("lookup", "192.0.2.1")
    assert status == 3
    assert f"the admin API at {address} is out of reach" in complaint
    assert "is sentra-proxy running?" in complaint


@pytest.mark.parametrize(
    "arguments",
    [(), ("nonsense",), ("lookup",), ("block", "x", "--ttl", "soon"), ("block", "x", "--kind", "network")],
)
def test_wrong_usage_exits_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: sentra-proxy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43200), ("7d", 604800)]
)
def test_durations_are_read(text, seconds):
    assert duration(text) == seconds


def test_check_of_a_good_file_exits_with_zero(tmp_path, capsys):
    (tmp_path / "good.toml").write_text('[control]\nauth = "none"\n')
    assert main(["check", "--config", "good.toml"]) == 0
    assert "good.toml: in order" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[edge]\nblok_score = 7\n",
            "sentra.toml:2: edge.blok_score: unknown key; did you mean 'block_score'?",
        ),
        ("[control]\n", "sentra.toml:1: control.tokens: there are none"),
        (
            '[upstream]\nurl = "https://a"\ntls = { ca = "gone.pem" }\n[control]\nauth = "none"\n',
            "sentra.toml:3: upstream.tls.ca:",
        ),
        ('[control]\nauth = "none"\nadmin_listen = "0.0.0.0:1"\n', "sentra.toml:2: control.auth: 'none'"),
    ],
)
def test_check_of_a_bad_file_exits_with_two_and_names_the_line(tmp_path, capsys, text, message):
    """The default file is found without a flag."""
    (tmp_path / "sentra.toml").write_text(text)
    assert main(["check"]) == 2
    assert message in capsys.readouterr().err


ROUTES = """
[upstream]
protect_tyk = true
[[routes]]
name = "api"
hosts = ["api.example"]
path_prefix = "/v1"
strip_prefix = "/v1"
host_header = "inner.example"
[[routes]]
name = "puts"
hosts = ["api.example"]
methods = ["PUT"]
headers = [{ name = "X-Key" }]
[[routes]]
name = "old"
path = "/old"
redirect = { location = "https://{host}/new" }
[[routes]]
name = "deep"
path_prefix = "/v1/deep"
"""


@pytest.mark.parametrize(
    ("arguments", "status", "taken", "result"),
    [
        (
            ["http://api.example/v1/a%2Fb?c#d"],
            0,
            "api",
            "'default': GET /a%2Fb?c HTTP/1.1, Host: inner.example",
        ),
        (["http://api.example", "--method", "PUT", "--header", "X-Key: 1"], 0, "puts", "PUT / HTTP/1.1"),
        (
            ["https://b.example/old"],
            0,
            "old",
            "HTTP/1.1 308 Permanent Redirect, location: https://b.example/new",
        ),
        (
            ["http://x.example", "--header", "Host: api.example", "--method", "PUT"],
            1,
            None,
            "no route fits: 404",
        ),
        (["http://b.example/v1"], 1, None, "no route fits: 404"),
        (["http://b.example/v1/deep/..%2f..%2f..%2fold"], 1, None, "refused with 400"),
        (["http://b.example/", "--method", "TRACE"], 1, None, "refused with 405"),
        (["b.example/v1"], 1, None, "is not a URL"),
    ],
)
def test_check_explains_which_route_a_request_takes(tmp_path, capsys, arguments, status, taken, result):
    """By the tables and the codec of the workers, so that it cannot say something else than they do."""
    (tmp_path / "sentra.toml").write_text('control.auth = "none"\n' + ROUTES)
    assert main(["check", "--explain", *arguments]) == status
    printed = capsys.readouterr()
    assert result in printed.out + printed.err
    lines = [line.split()[1] for line in printed.out.splitlines() if line.lstrip().startswith("->")]
    assert lines == ([taken] if taken else [])


def test_check_explains_why_the_others_were_not_taken(tmp_path, capsys):
    """In the order in which they were considered, with the line of each."""
    (tmp_path / "sentra.toml").write_text('control.auth = "none"\n' + ROUTES)
    main(["check", "--explain", "http://api.example/v1/deep"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[:-1]]
    assert rows == [
        ["->", "api", "fits", "sentra.toml:5"],
        ["puts", "method", "differs", "sentra.toml:11"],
        ["deep", "fits", "sentra.toml:20"],
        ["old", "path", "differs", "sentra.toml:16"],
    ]


def test_check_explains_that_a_path_is_hidden(tmp_path, capsys):
    (tmp_path / "sentra.toml").write_text('control.auth = "none"\n[upstream]\nprotect_tyk = true\n')
    assert main(["check", "--explain", "http://a.example//TYK/apis"]) == 1
    assert "route 'default' keeps this path of its upstream from outside: 404" in capsys.readouterr().out


def test_check_notes_a_list_that_is_not_there_yet(tmp_path, capsys):
    """A volume may be mounted later; it is no fault of the configuration."""
    (tmp_path / "sentra.toml").write_text(
        '[control]\nauth = "none"\n[[lists]]\npath = "none.txt"\nsource = "a"\n'
    )
    assert main(["check"]) == 0
    assert "none.txt is not there" in capsys.readouterr().err


LANES = """
[control]
auth = "none"
[[lanes]]
name = "app"
python_path = ["modules"]
middlewares = ["mine:middleware"]
[[routes]]
name = "all"
path_prefix = "/a"
lane = "app"
[[routes]]
name = "posts"
methods = ["POST"]
lane = "app"
[[routes]]
name = "direct"
path = "/direct"
"""


def write_lane(folder, source):
    (folder / "modules").mkdir()
    (folder / "modules/mine.py").write_text(source)
    (folder / "sentra.toml").write_text(LANES)


def test_check_names_what_routes_through_a_lane_go_without(tmp_path, capsys):
    """It shows before somebody misses it."""
    write_lane(tmp_path, "async def middleware(request, handler): ...\n")
    assert main(["check"]) == 0
    every, posts = capsys.readouterr().err.splitlines()
    assert every.startswith("note: route 'all' goes through lane 'app': WebSocket is answered 501, trailers")
    assert posts.startswith("note: route 'posts' goes through lane 'app': trailers are dropped, 100 Continue")


def test_check_imports_the_middlewares_of_a_lane(tmp_path, capsys):
    """In a process of its own: what a module does at import is not done to us."""
    write_lane(tmp_path, "import os\nos.environ['LEFT'] = '1'\nraise KeyError('wrong')\n")
    assert main(["check"]) == 2
    message = capsys.readouterr().err
    assert "sentra.toml:7: lanes.0.middlewares.0: cannot be imported: KeyError: 'wrong'" in message
    assert "mine.py:3" in message
    assert "LEFT" not in os.environ


def test_run_with_a_bad_file_starts_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(supervisor, "become", lambda *_: pytest.fail("started"))
    (tmp_path / "sentra.toml").write_text("[edge]\nblock_score = 99\n")
    assert main(["run"]) == 2
    assert "sentra.toml:2: edge.block_score" in capsys.readouterr().err


def test_show_config_prints_a_file_that_means_the_same(tmp_path, capsys):
    """Every key with its value in force; secrets masked."""
    (tmp_path / "sentra.toml").write_text(
        f'[edge]\nblock_score = 6\n[[lists]]\npath = "a"\nsource = "a"\n'
        f'[[control.tokens]]\nname = "t"\nscopes = ["read"]\nsecret = "{SECRET}"\n'
        f'[[control.tokens]]\nname = "u"\nscopes = ["read"]\nsha256 = "{"ab" * 32}"\n'
    )
    assert main(["show-config"]) == 0
    printed = capsys.readouterr().out
    assert SECRET not in printed
    assert "ab" * 32 not in printed
    shown = tomllib.loads(printed)
    assert shown["edge"]["block_score"] == 6
    assert shown["edge"]["listen"] == "0.0.0.0:8080"
    assert shown["edge"]["timeouts"]["head_seconds"] == 10
    assert shown["lists"][0]["path"] == str(tmp_path / "a")
    assert [token["name"] for token in shown["control"]["tokens"]] == ["t", "u"]
    assert main(["show-config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["edge"] == shown["edge"] | {"drop_score": None}


def test_address_and_token_come_from_flags_environment_then_configuration(tmp_path):
    """In this order; the flag is what the operator typed last."""
    (tmp_path / "sentra.toml").write_text(
        '[control]\nadmin_listen = "0.0.0.0:1234"\n'
        '[[control.tokens]]\nname = "r"\nscopes = ["read"]\nsecret = "a-reader-s-secret-token"\n'
        '[[control.tokens]]\nname = "x"\nscopes = ["write"]\nsecret_env = "NOT_SET"\n'
        f'[[control.tokens]]\nname = "w"\nscopes = ["write"]\nsecret = "{SECRET}"\n'
    )
    (tmp_path / "token").write_text("from-file\n")
    environ = {"SENTRA_ADMIN_URL": "https://edge:9", "SENTRA_ADMIN_TOKEN": "from-environment"}
    flags = client_for(None, "http://[::1]:5", tmp_path / "token", "write", environ)
    assert (flags.is_tls, flags.host, flags.port, flags.token) == (False, "::1", 5, "from-file")
    named = client_for(None, None, None, "write", environ)
    assert (named.is_tls, named.host, named.port, named.token) == (True, "edge", 9, "from-environment")
    configured = client_for(None, None, None, "write", {})
    assert (configured.host, configured.port, configured.token) == ("127.0.0.1", 1234, SECRET)
    assert client_for(None, None, None, "read", {}).token == "a-reader-s-secret-token"


@pytest.mark.parametrize("url", ["9901", "ftp://x", "http://", "http://x/v1", "http://x:y"])
def test_admin_url_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="admin URL"):
        client_for(None, url, None, "read", {})


def test_token_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"--token-file .*/none: cannot be read: No such file"):
        client_for(None, "http://x", tmp_path / "none", "read", {})


def test_something_else_on_the_port_is_no_admin_api(sentra, monkeypatch):
    """Another service listens there and speaks JSON of its own."""

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        monkeypatch.setenv("SENTRA_ADMIN_URL", f"http://127.0.0.1:{other.server_address[1]}")
        status, _, complaint = sentra("lookup", "192.0.2.1")
        thread.join()
    assert status == 3
    assert "is not the admin API" in complaint


def test_reader_that_leaves_early_is_no_fault(sentra, monkeypatch):
    """`sentra-proxy lookup ... | head -0`."""

    class Gone(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(["lookup", "192.0.2.1"]) == 0


def test_every_command_has_a_help_line():
    """`sentra-proxy --help` is where a newcomer begins."""
    text = parser().format_help()
    for command in ("run", "quickstart", "check", "show-config", "lookup", "block", "unblock", "allow"):
        assert command in text
