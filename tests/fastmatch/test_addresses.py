"""Open connections by client address, over the workers of a pod."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastmatch._native import Gate, GateConfig, Segment

CLIENT = "198.51.100.1"


def gates(count: int, **settings) -> tuple[Segment, list[Gate]]:
    segment = Segment.create(count)
    return segment, [Gate(GateConfig(**settings), segment, slot) for slot in range(count)]


def test_cap_holds_over_all_workers():
    """With a cap per worker a client would get as many shares as there are cores."""
    _, (first, second) = gates(2)
    assert [gate.enter("", CLIENT, 3) for gate in (first, second, first)] == [True, True, True]
    assert first.enter("", CLIENT, 3) is False
    assert second.enter("", CLIENT, 3) is False
    assert second.enter("", "198.51.100.2", 3) is True
    second.leave("", CLIENT)
    assert first.enter("", CLIENT, 3) is True
    assert first.enter("", CLIENT, 3) is False


def test_each_scope_counts_by_itself():
    """Listeners have caps of their own."""
    _, (first, second) = gates(2)
    assert first.enter("public", CLIENT, 1) is True
    assert second.enter("public", CLIENT, 1) is False
    assert second.enter("inner", CLIENT, 1) is True
    first.leave("public", CLIENT)
    assert second.enter("public", CLIENT, 1) is True


def test_ipv6_counts_by_64_and_mapped_as_ipv4():
    """Within a /64 addresses are changed at will."""
    _, (gate,) = gates(1)
    assert gate.enter("", "2001:db8::1", 2) is True
    assert gate.enter("", "2001:db8::ffff:0:0:2", 2) is True
    assert gate.enter("", "2001:db8::3", 2) is False
    assert gate.enter("", "2001:db8:0:1::1", 2) is True
    assert gate.enter("", CLIENT, 1) is True
    assert gate.enter("", f"::ffff:{CLIENT}", 1) is False


def test_trusted_proxy_speaks_for_others_and_is_not_counted():
    """A cap on the load balancer's address would be a cap on everybody."""
    segment, (gate,) = gates(1, trusted_proxies=["10.0.0.0/8"])
    assert [gate.enter("", "10.0.0.1", 1) for _ in range(5)] == [None] * 5
    assert segment.counters()["connections_uncounted"] == 0


def test_connections_of_a_dead_worker_are_forgotten_and_no_others():
    """Nobody can say for it that they have closed."""
    segment, (first, second) = gates(2)
    assert [first.enter("", CLIENT, 4) for _ in range(3)] == [True] * 3
    assert second.enter("", CLIENT, 4) is True
    assert second.enter("", CLIENT, 4) is False
    segment.clear_gauges(0)
    assert [second.enter("", CLIENT, 4) for _ in range(4)] == [True, True, True, False]
    first.leave("", CLIENT)  # what it still does changes nothing
    assert second.enter("", CLIENT, 4) is False


def test_another_process_sees_what_is_open():
    """The hash that addresses are kept under is the segment's, not a process's."""
    segment, (first, _) = gates(2)
    assert first.enter("", CLIENT, 1) is True
    program = (
        "import sys\n"
        "from fastmatch._native import Gate, GateConfig, Segment\n"
        "gate = Gate(GateConfig(), Segment.open(int(sys.argv[1])), 1)\n"
        f"print(gate.enter('', {CLIENT!r}, 1), gate.enter('', {CLIENT!r}, 2))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(segment.fileno())],
        pass_fds=[segment.fileno()],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        timeout=30,
        text=True,
    )
    assert done.stdout == "False True\n"
    assert first.enter("", CLIENT, 2) is False


def test_table_without_room_counts_nobody_more_and_says_so():
    """The worker's own limit of connections still holds."""
    segment = Segment.create(1, address_entry_count=1024)
    gate = Gate(GateConfig(), segment, 0)
    addresses = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(3000)]
    entered = [gate.enter("", address, 1) for address in addresses]
    counted = [address for address, entry in zip(addresses, entered, strict=True) if entry]
    assert 900 < len(counted) <= 1024
    assert segment.counters()["connections_uncounted"] == entered.count(None) == 3000 - len(counted)
    assert [gate.enter("", address, 1) for address in counted] == [False] * len(counted)
    for address in counted:
        gate.leave("", address)
    assert all(gate.enter("", address, 1) for address in counted[:500])


def test_what_is_no_address_is_refused():
    _, (gate,) = gates(1)
    for call in (lambda: gate.enter("", "localhost", 1), lambda: gate.leave("", "")):
        with pytest.raises(ValueError, match="is not an address"):
            call()
