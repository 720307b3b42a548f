"""Lines and lists -> the report: what is counted, what is left out, and in how much memory."""

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest

from fastmatch._native import Blocklist, Entry
from proxy.blocklist.addresses import packed, shown, without_port
from proxy.errors import ConfigError
from proxy.replay import report
from proxy.replay.counts import TopCounts
from proxy.replay.formats import AnyFormat, Asked
from proxy.replay.lines import LogError, lines, opened
from proxy.replay.report import Replay
from proxy.replay.subjects import Clients

LISTS = Blocklist.from_entries(
    [
        Entry("198.51.100.0/24", score=8, sources=["scanners"], categories=["scan"]),
        Entry("198.51.100.9", disposition="allow", origin="operator", sources=["operator:me"]),
        Entry("192.0.2.1", score=3, sources=["weak"]),
        Entry("2001:db8:bad::/48", score=9, sources=["six"], categories=["scan", "bot"]),
        Entry("evil.example", score=10, sources=["names"], categories=["phish"]),
        Entry("203.0.113.80", score=7, sources=["hosting"]),
    ]
)


def line(client: str, host: str = "", second: int = 0) -> bytes:
    stamp = f"22/Nov/2026:21:15:{second:02} +0000"
    return f'{host or "good.example"}:80 {client} - - [{stamp}] "GET / HTTP/1.1" 200 1 "-" "-"'.encode()


def replayed(*given: bytes | None, score: float = 7.0, trusted: tuple[str, ...] = ()):
    run = Replay(LISTS, AnyFormat(), Clients(trusted), score)
    run.run(given)
    return run.report


def test_requests_are_counted_by_what_would_deny_them():
    said = replayed(
        line("198.51.100.1", second=5),
        line("198.51.100.1", second=2),
        line("::ffff:198.51.100.2"),
        line("2001:db8:bad::7", second=59),
        line("203.0.113.1", "www.Evil.example"),
        line("203.0.113.1", "203.0.113.80"),
        line("203.0.113.2"),
    )
    assert (said.request_count, said.denied_count, said.known_count) == (7, 6, 0)
    assert said.by_source == {"scanners": 3, "six": 1, "names": 1, "hosting": 1}
    assert said.by_category == {"scan": 4, "bot": 1, "phish": 1}
    assert said.by_score == {8.0: 3, 9.0: 1, 10.0: 1, 7.0: 1}
    assert said.by_subject == {"client": 4, "host": 2}
    assert said.addresses.top(2) == [("198.51.100.1", 2), ("203.0.113.1", 2)]
    assert ("www.evil.example", 1) in said.hosts.top(9)
    assert (said.first, said.last) == (1795382100, 1795382159)


def test_score_decides_from_where_requests_would_be_denied():
    """What a stricter setting would have meant."""
    requests = [line("192.0.2.1"), line("198.51.100.1")]
    assert [replayed(*requests, score=score).denied_count for score in (9, 8, 3)] == [0, 1, 2]
    assert replayed(*requests, score=9).known_count == 2


def test_allow_counts_for_its_own_subject_only():
    """What a client writes must not take from its score."""
    said = replayed(line("198.51.100.9"), line("198.51.100.9", "evil.example"))
    assert (said.denied_count, said.known_count) == (1, 1)
    assert said.by_source == {"names": 1}


def test_strongest_block_of_a_request_counts_once():
    said = replayed(line("198.51.100.1", "evil.example"))
    assert (said.denied_count, said.by_source, said.by_score) == (1, {"names": 1}, {10.0: 1})


def test_many_requests_are_judged_like_few():
    """Over the borders of batches."""
    requests = [line(f"198.51.{number % 200}.1") for number in range(20_000)]
    said = replayed(*requests)
    assert (said.request_count, said.denied_count) == (20_000, 100)


def test_lines_that_cannot_be_read_are_counted_and_the_first_shown():
    said = replayed(*[b"rubbish \x1b[2J \xff"] * 8, None, line("198.51.100.1"), b"")
    assert (said.unreadable_count, said.request_count) == (9, 1)
    assert [number for number, _, _ in said.unreadable] == [1, 2, 3, 4, 5]


def test_request_without_a_client_is_judged_by_its_host():
    """Envoy's default format has no peer address."""
    said = replayed(line("unix:", "evil.example"), line("unix:"))
    assert (said.request_count, said.without_client_count, said.denied_count) == (2, 2, 1)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("192.0.2.1", "203.0.113.7", (), "192.0.2.1"),
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", ("10.0.0.0/8",), "203.0.113.7"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.7", ("10.0.0.0/8",), "203.0.113.7"),
        ("192.0.2.1", "203.0.113.7", ("10.0.0.0/8",), "192.0.2.1"),
        ("10.0.0.1", "", ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", "unknown", ("10.0.0.0/8",), None),
        ("", "203.0.113.7,10.0.0.4", (), "10.0.0.4"),
        ("", "203.0.113.7,10.0.0.4", ("10.0.0.0/8",), "203.0.113.7"),
        ("[2001:db8::1]:443", "", (), "2001:db8::1"),
        ("", "", (), None),
    ],
)
def test_client_is_found_as_the_edge_finds_it(peer, forwarded, trusted, expected):
    found = Clients(trusted).of(Asked(peer, forwarded, "", ""))
    assert (None if found is None else shown(found)) == expected


@pytest.mark.parametrize("trusted", [("nonsense/8",), ("proxy.example",)])
def test_trusted_proxies_must_be_networks(trusted):
    with pytest.raises(ConfigError):
        Clients(trusted)


def test_addresses_are_canonical():
    assert packed("::ffff:192.0.2.1") == packed("192.0.2.1")
    assert packed("fe80::1%eth0") == packed("fe80::1")
    assert packed("192.0.2.1.5") is None
    assert [without_port(text) for text in ("a:1", "a", "[::1]:1", "::1")] == ["a", "a", "::1", "::1"]


def test_frequent_names_survive_many_rare_ones():
    """An attacker who writes a million hosts fills no memory."""
    counts = TopCounts(100)
    for number in range(100_000):
        counts.add(f"rare{number}")
        counts.add("frequent")
    assert counts.top(1) == [("frequent", 100_000)]
    assert len(counts) <= 100
    assert not counts.is_exact


def test_memory_does_not_grow_with_the_log(monkeypatch):
    monkeypatch.setattr(report, "BATCH_COUNT", 500)

    def endless(count: int):
        for number in range(count):
            yield line(f"198.51.100.{number % 250}", f"h{number}.example")

    peaks = []
    for count in (2_000, 10_000):
        run = Replay(LISTS, AnyFormat(), Clients(), 7.0)
        run.report.hosts = TopCounts(200)
        tracemalloc.start()
        run.run(endless(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_memory_does_not_grow_with_the_hosts_that_clients_write():
    """A small gzip of large hosts would fill a batch, and the table of the most frequent, with gigabytes."""
    run = Replay(LISTS, AnyFormat(), Clients(), 7.0)
    tracemalloc.start()
    run.run(line("198.51.100.1", f"{number}-" + "h" * 60_000) for number in range(1_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert run.report.denied_count == 1_000
    assert peak < 10_000_000


def test_gzip_is_told_from_its_content(tmp_path: Path):
    """Rotated logs, whatever their names; several members are one log."""
    path = tmp_path / "access.log.1"
    path.write_bytes(gzip.compress(b"one\r\n") + gzip.compress(b"two\nthree"))
    with opened(str(path)) as file:
        assert list(lines(file)) == [b"one", b"two", b"three"]


def test_standard_input_is_read_as_it_comes(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b"a\nb\n"))))
    with opened("-") as file:
        assert list(lines(file)) == [b"a", b"b"]


def test_overlong_line_is_passed_over_and_the_next_is_read():
    """Nothing bounds what a client may have logged."""
    file = io.BytesIO(b"a\n" + b"x" * 1_000_000 + b"\nb\n" + b"y" * 70_000)
    assert list(lines(file)) == [b"a", None, b"b", None]


@pytest.mark.parametrize("cut", [5, 30])
def test_log_that_ends_in_the_middle_says_so(tmp_path: Path, cut: int):
    """What came before the end counts."""
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress(b"one\n" * 1000)[:cut])
    with pytest.raises(LogError, match=r"access\.log\.gz"), opened(str(path)) as file:
        for _ in lines(file):
            pass
