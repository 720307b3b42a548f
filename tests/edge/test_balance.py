"""Which target is next: pure decisions, held against what they promise for any weights and loads."""

from collections import Counter
from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as some

from proxy.edge import balance

WEIGHTS = some.lists(some.integers(1, 100), min_size=1, max_size=12)
NAMES = some.lists(some.text("abc0123.:", min_size=1, max_size=12), min_size=2, max_size=8, unique=True)


@given(WEIGHTS)
def test_one_round_has_each_target_exactly_as_often_as_its_weight(weights: list[int]):
    """Nobody starves, and nobody gets more than the share."""
    divisor = gcd(*weights)
    order = balance.schedule(weights)
    assert Counter(order) == {index: weight // divisor for index, weight in enumerate(weights)}


@given(WEIGHTS)
def test_a_target_never_waits_much_longer_than_its_share(weights: list[int]):
    """A heavy target does not get its whole round in one piece while the others idle."""
    order = balance.schedule(weights)
    total = len(order)
    for index in range(len(weights)):
        places = [place for place, chosen in enumerate(order) if chosen == index]
        gaps = [
            (after - before) % total or total
            for before, after in zip(places, [*places[1:], places[0]], strict=True)
        ]
        assert max(gaps) <= -(-total // len(places)) + len(weights)


def test_no_targets_have_no_order():
    """All names may be without an address for a while."""
    assert balance.schedule([]) == []


@given(some.lists(some.tuples(some.integers(0, 1000), some.integers(1, 100)), min_size=1), some.integers(0))
def test_least_loaded_is_a_minimum_of_load_by_weight(members: list[tuple[int, int]], start: int):
    """Held against the definition, in whole numbers."""
    loads, weights = [load for load, _ in members], [weight for _, weight in members]
    best = balance.least_loaded(loads, weights, start)
    for load, weight in members:
        assert (loads[best] + 1) * weight <= (load + 1) * weights[best]


def test_idle_targets_take_turns():
    """Otherwise the first one would have all the work of a quiet hour."""
    assert [balance.least_loaded([0, 0, 0], [1, 1, 1], start) for start in range(4)] == [0, 1, 2, 0]


def owners(ring: balance.Ring, names: list[str], allowed: list[bool] | None = None) -> dict[str, str]:
    found: dict[str, str] = {}
    for number in range(200):
        client = f"192.0.2.{number}"
        index = ring.find(balance.hash_of(client), allowed or [True] * len(names))
        assert index is not None
        found[client] = names[index]
    return found


@given(NAMES, some.data())
def test_who_leaves_the_ring_moves_only_its_own_clients(names: list[str], data: some.DataObject):
    """Sessions of everybody else stay where they are."""
    gone = data.draw(some.sampled_from(names))
    left = [name for name in names if name != gone]
    before = owners(balance.Ring([(name, 1) for name in names]), names)
    after = owners(balance.Ring([(name, 1) for name in left]), left)
    assert all(after[client] == owner for client, owner in before.items() if owner != gone)


@given(NAMES, some.data())
def test_a_member_that_is_not_allowed_is_as_good_as_gone(names: list[str], data: some.DataObject):
    """So health costs no new ring: its clients go where they would without it, and come back to it."""
    gone = data.draw(some.sampled_from(names))
    ring = balance.Ring([(name, 1) for name in names])
    left = [name for name in names if name != gone]
    without = owners(balance.Ring([(name, 1) for name in left]), left)
    assert owners(ring, names, [name != gone for name in names]) == without


@given(NAMES, some.randoms())
def test_the_order_of_the_members_decides_nothing(names: list[str], random):
    """A resolver shuffles its answers, and every worker asks for itself."""
    shuffled = random.sample(names, len(names))
    first = owners(balance.Ring([(name, 1) for name in names]), names)
    assert owners(balance.Ring([(name, 1) for name in shuffled]), shuffled) == first


def test_clients_spread_over_the_ring_by_weight():
    """10,000 addresses over weights 1, 1, 2: each share within a quarter of what it should be."""
    ring = balance.Ring([("10.0.0.1:80", 1), ("10.0.0.2:80", 1), ("10.0.0.3:80", 2)])
    counts = Counter(
        ring.find(balance.hash_of(f"10.1.{number >> 8}.{number & 255}"), [True] * 3)
        for number in range(10_000)
    )
    assert [counts[index] / 10_000 for index in range(3)] == pytest.approx([0.25, 0.25, 0.5], rel=0.25)


def test_ring_is_bounded_whatever_the_weights():
    """256 targets of weight 100 would be four million points, made on the loop."""
    assert balance.points_per_weight(4) == 160
    for total in (1, 100, 103, 5000, 25_600):
        assert balance.points_per_weight(total) * total <= max(16_384, total)


def test_nobody_is_found_when_nobody_is_allowed():
    """The caller has a rule for that."""
    assert balance.Ring([("a", 1)]).find(7, [False]) is None
    assert balance.Ring([]).find(7, []) is None


def test_hash_is_the_same_in_every_process():
    """`hash` is keyed at each start: two workers would send one client to two targets."""
    assert balance.hash_of("192.0.2.1") == 0x2BF8DE8E
