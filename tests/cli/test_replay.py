"""`sentra-proxy replay`: what is printed, for which lists, and what nginx and HAProxy really write."""

import gzip
import http.client
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastmatch._native import Builder, Entry, pack_entries
from proxy import frames
from proxy.edge.config import EdgeConfig
from proxy.frames import Kind
from tests.e2e.processes import Process, clean_environment, free_ports, wait_until

BAD = '198.51.100.1 - - [22/Nov/2026:21:15:02 +0000] "GET /wp-login.php HTTP/1.1" 200 1 "-" "x"\n'
GOOD = '203.0.113.7 - - [22/Nov/2026:21:16:02 +0000] "GET / HTTP/1.1" 200 1 "-" "x"\n'


@pytest.fixture(autouse=True)
def decision(tmp_path) -> None:
    write_decision(tmp_path / "out.bin")


def write_decision(path: Path) -> None:
    builder = Builder()
    builder.add(Entry("198.51.100.0/24", score=8, sources=["scanners"], categories=["scan"]))
    builder.add(Entry("127.0.0.1", score=9, sources=["loop"]))
    builder.add(Entry("evil.example", score=10, sources=["names"]))
    builder.write(str(path), str(path.with_suffix(".evidence")), epoch=1, sequence=1)


def test_report_reads_like_a_report(sentra):
    Path("access.log").write_text(BAD * 3 + GOOD + "rubbish \x1b[2J\n")
    status, printed, complaint = sentra("replay", "access.log", "--decision", "out.bin")
    assert (status, complaint) == (0, "")
    assert printed == (
        "access.log: 4 requests, 2026-11-22 21:15:02 UTC to 2026-11-22 21:16:02 UTC\n"
        "judged by out.bin, denied from score 7\n"
        "\n"
        "would deny 3 (75.0 %), 3 by client\n"
        "\nby source:\n  3  100.0 %  scanners\n"
        "\nby category:\n  3  100.0 %  scan\n"
        "\nby score:\n  3  100.0 %  8\n"
        "\ntop addresses (of 1):\n  3  198.51.100.1\n"
        "\n1 line could not be read, the first:\n"
        "  line 5: not a line of this format: 'rubbish \\x1b[2J'\n"
    )


def test_report_as_json_and_by_another_score(sentra):
    Path("access.log.gz").write_bytes(gzip.compress((BAD + GOOD).encode()))
    options = ("--decision", "out.bin", "--score", "8.5", "--json")
    answer = json.loads(sentra("replay", "access.log.gz", *options)[1])
    assert (answer["requests"], answer["would_deny"], answer["known_below"]) == (2, 0, 1)
    assert answer["unreadable"] == {"count": 0, "first": []}


def test_log_of_nothing_readable_exits_with_one(sentra):
    """The wrong file, or the wrong format."""
    Path("access.log").write_text("rubbish\n")
    status, printed, complaint = sentra("replay", "access.log", "--decision", "out.bin")
    assert status == 1
    assert "rubbish" in printed
    assert "no line could be read" in complaint


def test_log_that_ends_in_the_middle_is_reported_and_exits_with_one(sentra):
    Path("access.log.gz").write_bytes(gzip.compress((BAD * 100_000).encode())[:-200])
    status, printed, complaint = sentra("replay", "access.log.gz", "--decision", "out.bin")
    assert status == 1
    assert "would deny" in printed
    assert "access.log.gz: cannot be read" in complaint


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("no.log", "--decision", "out.bin"), 1),
        (("access.log", "--decision", "no.bin"), 1),
        (("access.log", "--decision", "access.log"), 1),
        (("access.log",), 1),
        (("access.log", "--decision", "out.bin", "--score", "12"), 2),
        (("access.log", "--decision", "out.bin", "--trusted", "x y"), 2),
        (("access.log", "--decision", "out.bin", "--top", "-1"), 2),
    ],
    ids=["log", "file", "no list", "nothing runs", "score", "trusted", "top"],
)
def test_what_is_not_there_is_named(sentra, arguments, expected):
    Path("access.log").write_text(GOOD)
    status, printed, complaint = sentra("replay", *arguments)
    assert (status, printed) == (expected, "")
    assert complaint


def test_running_lists_are_those_of_the_workers(sentra):
    """Base, entries by hand, block score and trusted proxies: what a starting worker would take over."""
    Path("var/run").mkdir(parents=True)
    config = EdgeConfig(block_score=8.5, trusted_proxies=("10.0.0.0/8",))
    packed = pack_entries([Entry("203.0.113.7", score=9, origin="operator", sources=["operator:me"])])
    Path("var/run/attach.frames").write_bytes(
        frames.encode(Kind.CONFIGURE, config.to_wire())
        + frames.encode_install(1, 1, str(Path("out.bin").absolute()))
        + frames.encode_overlay(1, 2, packed)
    )
    forwarded = GOOD.replace("203.0.113.7", "10.0.0.1").replace('"x"', '"x" "203.0.113.7"')
    Path("access.log").write_text(BAD + GOOD + forwarded)
    answer = json.loads(sentra("replay", "access.log", "--json")[1])
    assert (answer["requests"], answer["by_source"], answer["block_score"]) == (3, {"operator:me": 2}, 8.5)
    assert answer["version"] == [1, 2]


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                  '"$http_referer" "$http_user_agent" "$http_x_forwarded_for"';
  log_format object escape=json '{{"time_iso8601":"$time_iso8601","remote_addr":"$remote_addr",'
                    '"host":"$host","request":"$request","status":"$status"}}';
  log_format vhost '$host:$server_port $remote_addr - - [$time_local] "$request" $status 1 "-" "-"';
  access_log {folder}/combined.log combined;
  access_log {folder}/main.log main;
  access_log {folder}/object.log object;
  access_log {folder}/vhost.log vhost;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; return 204; }}
}}
"""
HAPROXY = """
global
  log stdout format raw local0
defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
frontend web
  bind 127.0.0.1:{port}
  log global
  option httplog
  capture request header Host len 80
  capture request header User-Agent len 80
  http-request return status 204
"""
REQUESTS = 5


@contextmanager
def started(command: list[str], folder: Path, port: int) -> Iterator[Process]:
    process = Process(command, folder / "output", clean_environment(), folder)
    try:
        wait_until(lambda: is_answering(port), "it answers")
        yield process
    finally:
        process.end()


def is_answering(port: int) -> bool:
    try:
        ask(port, "warm.example", "/")
    except OSError:
        return False
    return True


def ask(port: int, host: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {
        "Host": host,
        "User-Agent": 'quote " and \\ tab \t',
        "Referer": "\xe4",
        "X-Forwarded-For": "198.51.100.1",
    }
    connection.request("GET", path, headers=headers)
    connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize(
    ("name", "has_host"), [("combined", False), ("main", False), ("object", True), ("vhost", True)]
)
def test_nginx_s_own_lines_are_read(sentra, tmp_path: Path, name: str, has_host: bool):
    (port,) = free_ports(1)
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(folder=tmp_path, port=port))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    with started([program, "-p", str(tmp_path), "-c", str(config), "-e", "stderr"], tmp_path, port):
        for number in range(REQUESTS):
            ask(port, "www.evil.example", f"/{number}?q=%22")
        log = tmp_path / f"{name}.log"
        # It writes the line when the answer has gone.
        wait_until(lambda: f"/{REQUESTS - 1}?q" in log.read_text(), "its last line")
    answer = json.loads(sentra("replay", log, "--decision", "out.bin", "--json")[1])
    assert answer["unreadable"]["count"] == 0
    assert answer["would_deny"] == answer["requests"] == len(log.read_text().splitlines())
    assert answer["by_source"].get("names", 0) == (REQUESTS if has_host else 0)
    trusted = ("--trusted", "127.0.0.0/8")
    answer = json.loads(sentra("replay", log, "--decision", "out.bin", *trusted, "--json")[1])
    assert answer["by_source"].get("scanners", 0) == (REQUESTS + 1 if name == "main" else 0)


def test_haproxy_s_own_lines_are_read(sentra, tmp_path: Path):
    (port,) = free_ports(1)
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port))
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    with started([program, "-db", "-f", str(config)], tmp_path, port) as process:
        for number in range(REQUESTS):
            ask(port, "www.evil.example", f"/{number}?q=%22")
        wait_until(lambda: process.log().count("evil.example") == REQUESTS, "its log lines")
    lines = [line for line in process.log().splitlines() if "GET /" in line]
    Path("access.log").write_text("\n".join(lines) + "\n")
    answer = json.loads(sentra("replay", "access.log", "--decision", "out.bin", "--json")[1])
    assert (answer["unreadable"]["count"], answer["requests"]) == (0, len(lines))
    assert answer["by_source"] == {"names": REQUESTS, "loop": len(lines) - REQUESTS}
