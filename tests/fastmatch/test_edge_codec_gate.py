"""The gate: one swap of list and configuration, seen by the next request of every connection."""

import orjson
import pytest

from fastmatch import Blocklist, Entry
from fastmatch import _native as native
from fastmatch._native import Downstream, Gate, GateConfig, Segment

GET = b"GET /path?secret HTTP/1.1\r\nHost: a.example\r\n\r\n"
NOW = 1_700_000_000


def a_gate(**settings) -> Gate:
    gate = Gate(GateConfig(**settings), Segment.create(1), 0)
    gate.tick(NOW)
    return gate


def kind(client: Downstream, data: bytes = GET) -> int:
    taken = client.head(data)
    return taken[0] & 15 if isinstance(taken, tuple) else taken or 0


def blocking(*targets: str, score: float = 9, **more) -> Blocklist:
    entries = [
        Entry(target, score=score, categories=["botnet"], sources=["test"], **more) for target in targets
    ]
    return Blocklist.from_entries(entries, epoch=1, sequence=len(targets))


def test_without_a_list_the_gate_is_shut_unless_told_otherwise():
    """Fail closed by default, and say so with 503 rather than 403."""
    assert kind(Downstream(a_gate(), "203.0.113.9")) == -503
    assert kind(Downstream(a_gate(on_missing="open"), "203.0.113.9")) == native.FORWARD


def test_a_swap_gives_the_old_list_back():
    """The caller drops it off the loop: unmapping 40 MB takes milliseconds."""
    gate = a_gate()
    first, second = blocking("203.0.113.9"), blocking("203.0.113.9", "203.0.113.10")
    assert gate.version is None
    assert gate.install(first) is None
    assert gate.version == (1, 1)
    assert gate.install(second) is first
    assert gate.version == (1, 2)
    assert gate.install(None) is second
    assert gate.version is None


def test_open_connections_see_the_new_list():
    """A block is enforced on the next request of a kept connection, not on the next connection."""
    gate = a_gate()
    gate.install(blocking("192.0.2.1"))
    client = Downstream(gate, "203.0.113.9")
    assert kind(client) == native.FORWARD
    client.end(200)
    gate.install(blocking("203.0.113.0/24"))
    assert client.rejudge()
    assert kind(client) == native.DENY


def test_expiry_follows_the_tick():
    """The coarse clock decides; no list has to be swapped for an entry to end."""
    gate = a_gate()
    gate.install(blocking("203.0.113.9", expires=NOW + 10))
    client = Downstream(gate, "203.0.113.9")
    assert kind(client) == native.DENY
    gate.tick(NOW + 10)
    assert kind(client) == native.FORWARD


def test_a_configuration_is_swapped_without_the_list():
    """SIGHUP changes scores while the list stays in force."""
    gate = a_gate(block_score=7.0)
    gate.install(blocking("203.0.113.9", score=7.5))
    client = Downstream(gate, "203.0.113.9")
    assert kind(client) == native.DENY
    gate.configure(GateConfig(block_score=8.0))
    assert kind(client) == native.FORWARD
    gate.configure(GateConfig(block_score=7.5))
    client.end(200)
    assert kind(client) == native.DENY


def test_denials_come_as_json_lines():
    """What the control process parses; a query never appears, it is where secrets live."""
    gate = a_gate()
    gate.install(blocking("203.0.113.9"))
    client = Downstream(gate, "203.0.113.9")
    for _ in range(2):
        kind(client)
    first, second = gate.drain_events().splitlines()
    assert orjson.loads(second)["request_id"] == client.request_id
    event = orjson.loads(first)
    assert event.pop("request_id") != client.request_id
    assert event == {
        "time": NOW,
        "client": "203.0.113.9",
        "peer": "203.0.113.9",
        "subject": "client",
        "value": "203.0.113.9",
        "score": 9,
        "categories": ["botnet"],
        "sources": ["test"],
        "method": "GET",
        "host": "a.example",
        "path": "/path",
        "action": "denied",
        "slot": 0,
    }
    assert gate.drain_events() == b""


def test_accept_drops_only_what_the_configuration_says():
    """Off by default; a trusted proxy speaks for others and is never dropped."""
    listed = blocking("203.0.113.9", "10.0.0.1")
    off = a_gate()
    off.install(listed)
    assert off.accept("203.0.113.9")
    on = a_gate(drop_score=9.0, trusted_proxies=["10.0.0.0/8"])
    on.install(listed)
    assert not on.accept("203.0.113.9")
    assert on.accept("10.0.0.1")
    assert on.accept("2001:db8::1")
    with pytest.raises(ValueError, match="localhost"):
        on.accept("localhost")


def test_accept_goes_by_the_score_of_its_listener():
    """The configured one is for listeners that have none of their own."""
    gate = a_gate(drop_score=9.0)
    gate.install(blocking("203.0.113.9"))
    assert gate.accept("203.0.113.9", 9.5)
    assert not gate.accept("203.0.113.9", 8.0)
    assert not gate.accept("203.0.113.9", None)
    with pytest.raises(ValueError, match="drop_score"):
        gate.accept("203.0.113.9", 11.0)


def test_a_draining_gate_closes_kept_connections():
    """A stopping worker must not be sent the next request."""
    gate = a_gate(on_missing="open")
    client = Downstream(gate, "203.0.113.9")
    taken = client.head(GET)
    assert isinstance(taken, tuple)
    assert not taken[0] & native.CLOSE
    gate.drain()
    upstream = native.Upstream(gate)
    upstream.begin(client)
    out, flags = upstream.data(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in out
    assert flags & native.CLOSE_CLIENT


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trusted_proxies", ["10.0.0.1/8"]),
        ("block_score", 10.1),
        ("drop_score", -1.0),
        ("domains", ["cookie"]),
        ("on_missing", "perhaps"),
        ("scheme", "gopher"),
        ("via", "two words"),
        ("head_bytes", 10),
        ("target_bytes", 1_000_000),
        ("header_count", 0),
        ("response_head_bytes", 10),
        ("upstream_host", "a b"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_key(key, value):
    """The settings error that an operator reads names what to change."""
    with pytest.raises(ValueError, match=f"^{key}: "):
        GateConfig(**{key: value})


def test_peers_are_addresses():
    """A socket's peer name that is none is a fault of ours and must not be judged as nobody."""
    with pytest.raises(ValueError, match=r"not\.an\.address"):
        Downstream(a_gate(), "not.an.address")
