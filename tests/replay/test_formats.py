"""Lines as the programs write them -> who asked for what, and when."""

import pytest

from proxy.replay import formats, moments
from proxy.replay.formats import AnyFormat, Asked

NGINX = '203.0.113.7 - - [22/Nov/2026:21:15:02 +0000] "GET /a?b=1 HTTP/1.1" 200 615 "-" "curl/7.88.1"'
NGINX_MAIN = (
    '10.0.0.9 - alice [22/Nov/2026:21:15:02 +0100] "POST /login HTTP/2.0" 302 0 "https://shop.example/"'
    ' "Mozilla/5.0 (X11; Linux x86_64)" "203.0.113.7, 10.1.2.3"'
)
APACHE_HOST = (
    'shop.example:443 2001:db8::7 - - [22/Nov/2026:21:15:02 +0000] "GET / HTTP/1.1" 200 5 "-" "a \\"b\\" c"'
)
COMMON = '203.0.113.7 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326'
ABSOLUTE = '203.0.113.7 - - [22/Nov/2026:21:15:02 +0000] "GET http://Shop.example/x HTTP/1.1" 200 1 "-" "-"'
BAD_REQUEST = '203.0.113.7 - - [22/Nov/2026:21:15:02 +0000] "\\x16\\x03\\x01" 400 157 "-" "-"'
HAPROXY = (
    "Feb  6 12:14:14 localhost haproxy[14389]: 10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in"
    ' static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html HTTP/1.1"'
)
HAPROXY_V6 = (
    "2001:db8::7:51234 [22/Nov/2026:21:15:02.101] web web/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/0/0/3 0/0"
    ' "<BADREQ>"'
)
HAPROXY_TWO = (
    "203.0.113.7:40000 [22/Nov/2026:21:15:02.101] web~ app/a 0/0/1/2/3 200 +300 - - ---- 9/9/0/0/0 0/0"
    ' {curl/7.88.1|shop.example:8443} "GET /a HTTP/1.1"'
)
ENVOY = (
    '[2026-11-22T21:15:02.583Z] "GET /status/200 HTTP/1.1" 200 - 0 5 3 2 "203.0.113.7,10.0.0.4"'
    ' "curl/8.5.0" "5a1b6f0e-4c3a-9e7e-9d1b-0d2c5b1f7a10" "shop.example" "10.4.5.6:8080"'
)
ENVOY_BARE = '[2026-11-22T21:15:02.583Z] "- - HTTP/1.1" 400 DPE 0 11 0 - "-" "-" "-" "-" "-"'
ISTIO = (
    '[2026-11-22T21:15:02.583Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 5 3 2 "203.0.113.7" "curl"'
    ' "5a1b" "shop.example:80" "10.4.5.6:8080" outbound|80 10.1.1.1:1 10.1.1.1:80 198.51.100.9:4321 - default'
)
CADDY = (
    '{"level":"info","ts":1795382102.5,"logger":"http.log.access","request":{"remote_ip":"203.0.113.7",'
    '"client_ip":"203.0.113.7","method":"GET","host":"shop.example","uri":"/"},"status":200}'
)
TRAEFIK = (
    '{"ClientAddr":"203.0.113.7:5050","ClientHost":"203.0.113.7","RequestHost":"shop.example",'
    '"StartUTC":"2026-11-22T21:15:02.5Z","DownstreamStatus":200}'
)
NGINX_JSON = (
    '{"time_iso8601":"2026-11-22T21:15:02+00:00","remote_addr":"203.0.113.7","http_x_forwarded_for":"-",'
    '"host":"shop.example","status":"200"}'
)
DOCKER = (
    '{"log":"203.0.113.7 - - [22/Nov/2026:21:15:02 +0000] \\"GET / HTTP/1.1\\" 200 615 \\"-\\" \\"x\\"\\n",'
    '"stream":"stdout","time":"2026-11-22T21:15:03Z"}'
)

LINES = [
    ("combined", NGINX, ("203.0.113.7", "", "")),
    ("combined", NGINX_MAIN, ("10.0.0.9", "203.0.113.7, 10.1.2.3", "")),
    ("combined", APACHE_HOST, ("2001:db8::7", "", "shop.example:443")),
    ("combined", COMMON, ("203.0.113.7", "", "")),
    ("combined", ABSOLUTE, ("203.0.113.7", "", "Shop.example")),
    ("combined", BAD_REQUEST, ("203.0.113.7", "", "")),
    ("haproxy", HAPROXY, ("10.0.1.2", "", "1wt.eu")),
    ("haproxy", HAPROXY_V6, ("2001:db8::7", "", "")),
    ("haproxy", HAPROXY_TWO, ("203.0.113.7", "", "shop.example:8443")),
    ("envoy", ENVOY, ("", "203.0.113.7,10.0.0.4", "shop.example")),
    ("envoy", ENVOY_BARE, ("", "", "")),
    ("envoy", ISTIO, ("198.51.100.9:4321", "203.0.113.7", "shop.example:80")),
    ("json", CADDY, ("203.0.113.7", "", "shop.example")),
    ("json", TRAEFIK, ("203.0.113.7", "", "shop.example")),
    ("json", NGINX_JSON, ("203.0.113.7", "", "shop.example")),
    ("json", DOCKER, ("203.0.113.7", "", "")),
]


@pytest.mark.parametrize(("form", "line", "expected"), LINES, ids=range(len(LINES)))
def test_line_is_read_and_its_format_told(form: str, line: str, expected: tuple[str, str, str]):
    """Each by its own reader, and by the one that tells the format by itself."""
    asked = formats.READERS[form](line)
    assert asked is not None
    assert tuple(asked[:3]) == expected
    assert AnyFormat()(line) == asked
    moment = moments.seconds(asked.time)
    assert moment is not None


@pytest.mark.parametrize(("form", "line", "_"), LINES, ids=range(len(LINES)))
def test_line_is_not_mistaken_for_another_format(form: str, line: str, _: object):
    for name, reader in formats.READERS.items():
        assert (reader(line) is not None) == (name == form), name


def test_formats_may_change_within_a_log():
    """A log that was rotated over a change of configuration."""
    reader = AnyFormat()
    assert [reader(line) is not None for _, line, _ in LINES * 2] == [True] * (2 * len(LINES))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# comment",
        "{",
        "[]",
        "{}",
        '{"a": 1}',
        "null",
        '"x"',
        "[2026] x",
        "- - - [",
        "203.0.113.7",
        "\x00" * 9,
    ],
)
def test_other_lines_are_none(line: str):
    assert AnyFormat()(line) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10/Oct/2000:13:55:36 -0700", 971211336),
        ("06/Feb/2009:12:14:14.655", 1233922454.655),
        ("2026-11-22T21:15:02.583Z", 1795382102.583),
        ("2026-11-22T21:15:02+01:00", 1795378502),
        (1795382102.5, 1795382102.5),
        ("1795382102.500", 1795382102.5),
        (1795382102500, 1795382102.5),
        ("yesterday", None),
        ("", None),
        ("nan", None),
        (-1, None),
    ],
)
def test_times_are_unix_seconds(text: str | float, expected: float | None):
    assert moments.seconds(text) == expected


def test_wrong_json_values_are_no_text():
    """What a client can write into a log must not break the reader."""
    assert formats.json_line('{"client": 7, "ip": "203.0.113.7", "host": ["x"], "time": null}') == Asked(
        "203.0.113.7", "", "", ""
    )
