"""Set algebra over ranges, against Python's own sets and networks."""

from array import array
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch._native import Blocklist, Entry
from proxy.blocklist import coverage
from proxy.blocklist.batch import NUMBERS
from tests.support.listed import ipv4_networks

LAST = 0xFFFFFFFF


def numbers_of(*ranges: tuple[int, int]) -> array:
    return array(NUMBERS, [number for pair in ranges for number in pair])


def ranges_of(addresses: set[int]) -> array:
    """Sorted and disjoint, as a list gives them."""
    found: list[tuple[int, int]] = []
    for number in sorted(addresses):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return numbers_of(*found)


# Few /24s, so that sets overlap, and both ends of the address space.
addresses = st.sets(
    st.one_of(
        st.integers(0, 1000),
        st.integers(0, 600).map(lambda low: (203 << 24) + low),
        st.integers(0, 300).map(lambda low: LAST - low),
    ),
    max_size=80,
)


@given(addresses)
def test_ranges_become_the_addresses_in_them(wanted: set[int]):
    made = coverage.bitmap(ranges_of(wanted))
    assert set(made) == wanted
    assert coverage.address_count(ranges_of(wanted)) == len(wanted)
    assert coverage.networks24(made) == len({number >> 8 for number in wanted})


@given(addresses, addresses)
def test_change_counts_what_came_and_what_went(before: set[int], after: set[int]):
    said = coverage.change(coverage.bitmap(ranges_of(before)), coverage.bitmap(ranges_of(after)))
    assert (said.added.addresses, said.removed.addresses) == (len(after - before), len(before - after))
    assert said.added.networks24 == len({number >> 8 for number in after - before})
    assert (said.before.addresses, said.after.addresses) == (len(before), len(after))


@given(addresses, st.lists(ipv4_networks.map(IPv4Network), max_size=4))
def test_networks_are_covered_as_far_as_ranges_reach_into_them(wanted: set[int], networks: list[IPv4Network]):
    expected = sum(any(IPv4Address(number) in network for network in networks) for number in wanted)
    assert coverage.within(ranges_of(wanted), networks) == expected


@pytest.mark.parametrize(
    ("ranges", "count"),
    [
        ([(0, LAST)], 1 << 24),
        ([(10 << 24, (11 << 24) - 1)], 1 << 16),
        ([(LAST, LAST)], 1),
        ([(0, 0x1FFFF)], 512),
        ([(1, 0x1FFFE)], 512),
        ([(255, 256)], 2),
        ([], 0),
    ],
)
def test_networks_of_24_bits_are_counted_also_where_all_of_a_large_one_is_there(ranges, count):
    """A step for each would take seconds for a cloud provider's /8."""
    assert coverage.networks24(coverage.bitmap(numbers_of(*ranges))) == count


LISTS = Blocklist.from_entries(
    [
        Entry("198.51.100.0/24", score=8, sources=["a"]),
        Entry("198.51.100.0/25", score=8, sources=["b"]),
        Entry("203.0.113.7", score=3, sources=["b"]),
        Entry("192.0.2.0/24", score=9, sources=["c"]),
        Entry("192.0.2.9", disposition="allow", sources=["d"]),
        Entry("evil.example", score=9, sources=["names"]),
        Entry("2001:db8::/32", score=9, sources=["six"]),
    ]
)


def test_overlap_names_what_sources_share_and_have_alone():
    """Which feed is worth its price."""
    said = coverage.overlap(LISTS)
    assert (said.total.addresses, said.total.networks24) == (513, 3)
    assert [(item.source, item.covered.addresses, item.alone) for item in said.sources] == [
        ("a", 256, 128),
        ("c", 256, 256),
        ("b", 129, 1),
    ]
    (pair,) = said.pairs
    assert (pair.first, pair.second, pair.shared.addresses) == ("a", "b", 128)
    assert pair.jaccard == pytest.approx(128 / 257)


def test_overlap_counts_from_a_score_on():
    assert [item.covered.addresses for item in coverage.overlap(LISTS, 7.0).sources] == [256, 256, 128]


def test_many_sources_are_bounded_and_named():
    """Pairs grow with the square."""
    entries = [Entry(f"10.0.{number}.1", score=8, sources=[f"s{number:03}"]) for number in range(70)]
    said = coverage.overlap(Blocklist.from_entries(entries))
    assert (len(said.sources), len(said.left_out), said.total.addresses) == (64, 6, 70)


def test_sources_are_those_of_blocks():
    assert coverage.sources_of(LISTS) == ("a", "b", "c", "names", "six")
