"""Who sends most of what, and a fair sample of clients."""

import random
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_network

import orjson

from fastmatch._native import Blocklist, Downstream, Entry, Gate, GateConfig, RateLimit, Segment, Upstream

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
NOW = 1_700_000_000


def gate_of(**settings) -> Gate:
    gate = Gate(GateConfig(on_missing="open", **settings), Segment.create(1), 0)
    gate.tick(NOW)
    return gate


def request(gate: Gate, client: str) -> None:
    downstream = Downstream(gate, client)
    downstream.head(GET)
    downstream.end(502)


def hitters(gate: Gate) -> dict:
    return orjson.loads(gate.drain_hitters())


def test_counts_lie_within_the_error_of_exact_ones():
    """A few loud clients among thousands that come once or twice."""
    gate = gate_of()
    chance = random.Random(7)
    loud = [str(IPv4Address(chance.getrandbits(32))) for _ in range(5)]
    loud += [str(IPv6Address(chance.getrandbits(128))) for _ in range(5)]
    exact: Counter[str] = Counter()
    for _ in range(30_000):
        others = str(IPv4Address(chance.getrandbits(32)))
        client = chance.choice((*loud, *[others] * len(loud)))
        request(gate, client)
        exact[str(ip_network((client, 64), strict=False)) if ":" in client else client] += 1
    found = hitters(gate)["requests"]
    assert found["total"] == 30_000
    assert 0 < found["error"] <= 30_000 / 256
    told = dict(found["top"])
    assert len(told) == 100
    for client, count in found["top"]:
        assert count <= exact[client] <= count + found["error"]
    assert {client for client, count in exact.most_common(10)} == set(list(told)[:10])


def test_each_ranking_counts_its_own_and_begins_anew():
    """What was denied or limited is among the requests too."""
    gate = gate_of(rate_limits=[RateLimit("a", key="client", requests=1, per_seconds=3600)])
    gate.install(Blocklist.from_entries([Entry("203.0.113.1", score=9)]))
    for client, count in (("203.0.113.1", 2), ("192.0.2.1", 4)):
        for _ in range(count):
            request(gate, client)
    gate.tick(NOW + 10)
    found = hitters(gate)
    assert found["until"] == NOW + 10
    assert found["requests"]["top"] == [["192.0.2.1", 4], ["203.0.113.1", 2]]
    assert found["denied"] == {"total": 2, "error": 0, "top": [["203.0.113.1", 2]]}
    assert found["limited"] == {"total": 3, "error": 0, "top": [["192.0.2.1", 3]]}
    gate.tick(NOW + 20)
    empty = {"total": 0, "error": 0, "top": []}
    expected = {"since": NOW + 10, "until": NOW + 20}
    assert hitters(gate) == expected | dict.fromkeys(("requests", "bytes", "denied", "limited"), empty)


def test_bytes_are_those_of_both_directions():
    """The same sums as the counters have, an answer in one piece and one in many."""
    segment = Segment.create(1)
    gate = Gate(GateConfig(on_missing="open"), segment, 0)
    for pieces in (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
        [b"HTTP/1.1 200 OK\r\nContent-", b"Length: 9\r\n\r\nhel", b"lo", b" you"],
    ):
        downstream, upstream = Downstream(gate, "192.0.2.1"), Upstream(gate)
        downstream.head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        upstream.begin(downstream)
        downstream.body(b"def")
        for piece in pieces:
            upstream.data(piece)
    counters = segment.counters()
    assert counters["requests"] == 2
    total = counters["bytes_received"] + counters["bytes_sent"]
    assert hitters(gate)["bytes"] == {"total": total, "error": 0, "top": [["192.0.2.1", total]]}


def test_sample_is_of_the_last_quarter_of_an_hour():
    """What a block would have hit is asked of these clients."""
    gate = gate_of()
    for minute in range(20):
        gate.tick(NOW + 60 * minute)
        for number in range(minute + 1):
            request(gate, f"192.0.2.{number}")
    sample = orjson.loads(gate.client_sample())["minutes"]
    assert [minute["requests"] for minute in sample] == list(range(6, 21))
    assert sample[0]["clients"] == [f"192.0.2.{number}" for number in range(6)]
    assert all(minute["start"] % 60 == 0 for minute in sample)
    assert orjson.loads(gate.client_sample())["minutes"] == sample
    for _ in range(1000):
        request(gate, "2001:db8::1")
    newest = orjson.loads(gate.client_sample())["minutes"][-1]
    assert (newest["requests"], len(newest["clients"])) == (1020, 512)
    assert newest["clients"].count("2001:db8::1") > 450
