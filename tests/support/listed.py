"""Strategies for `oracle.Listed`: few addresses and names, so that entries nest, tie, expire and collide."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from fastmatch import Entry, Verdict
from tests.support import oracle
from tests.support.oracle import Listed, Said

_IPV4_BASE = int(IPv4Address("10.0.0.0"))
_IPV6_BASE = int(IPv6Address("2001:db8::"))


def _network(base: int, width: int, low: int, length: int) -> str:
    bits = (base | low) >> (width - length) << (width - length)
    address = IPv4Address(bits) if width == 32 else IPv6Address(bits)
    return f"{address}/{length}"


ipv4_networks = st.builds(
    _network,
    st.just(_IPV4_BASE),
    st.just(32),
    st.integers(0, 63),
    st.sampled_from([0, 8, 24, 26, 27, 28, 29, 30, 31, 32]),
)
ipv6_networks = st.builds(
    _network,
    st.just(_IPV6_BASE),
    st.just(128),
    st.integers(0, 63) | st.integers(0, 63).map(lambda low: low << 64),
    st.sampled_from([0, 32, 58, 60, 62, 64, 122, 124, 126, 127, 128]),
)
mapped_networks = st.builds(
    _network,
    st.just(0xFFFF << 32 | _IPV4_BASE),
    st.just(128),
    st.integers(0, 63),
    st.sampled_from([96, 104, 122, 124, 126, 128]),
)
names = st.lists(st.sampled_from(["a", "b", "xn--p1ai"]), min_size=1, max_size=4).map(".".join)
_labels = st.lists(st.sampled_from(["p", "q"]), max_size=2).map(tuple)


def _listed(target_and_kind, **fields):
    if fields["disposition"] == "known_good":
        fields["expires"] = None
    if fields["disposition"] != "block":
        fields["score"] = 0.0
    target, kind = target_and_kind
    return Listed(target, kind, **fields)


listed = st.builds(
    _listed,
    st.one_of(
        st.tuples(ipv4_networks | ipv6_networks | mapped_networks, st.just("network")),
        st.tuples(names, st.sampled_from(["exact", "suffix", "below"])),
    ),
    score=st.sampled_from([0.0, 3.0, 7.0, 9.9]),
    disposition=st.sampled_from(["block", "block", "allow", "known_good"]),
    origin=st.sampled_from(["feed", "feed", "operator", "incident"]),
    sources=_labels,
    categories=_labels,
    expires=st.sampled_from([None, None, 10, 20, 30]),
)


def tombstone_for(aim: Listed, sources: tuple[str, ...]) -> Listed:
    """It aims at one entry; whether it removes it depends on the sources."""
    return Listed(aim.target, aim.kind, 0.0, "tombstone", aim.origin, sources)


named_sources = st.sampled_from([(), ("p",), ("q",), ("p", "q"), ("z",)])


def _spelled(name: str, style: int) -> str:
    return [name, name.upper(), name + ".", name.title() + "."][style]


# Borders and neighbours of the networks above, and each way to write one subject.
addresses = st.one_of(
    st.integers(-1, 65).map(lambda low: str(IPv4Address(_IPV4_BASE + low))),
    st.integers(0, 65).map(lambda low: f"::ffff:{IPv4Address(_IPV4_BASE + low)}"),
    st.integers(-1, 65).map(lambda low: str(IPv6Address(_IPV6_BASE + low))),
    st.integers(-1, 65).map(lambda low: IPv6Address(_IPV6_BASE + (low << 64)).exploded.upper()),
    st.integers(0, 65).map(lambda low: f"{IPv6Address(_IPV6_BASE + low)}%eth0"),
    st.sampled_from(["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
)
host_names = st.builds(
    _spelled,
    st.lists(st.sampled_from(["a", "b", "xn--p1ai", "z"]), min_size=1, max_size=6).map(".".join),
    st.integers(0, 3),
)


def entry_of(listed: Listed) -> Entry:
    return Entry(
        listed.target,
        score=listed.score,
        kind=listed.kind,
        disposition=listed.disposition,
        origin=listed.origin,
        sources=listed.sources,
        categories=listed.categories,
        expires=listed.expires,
    )


def entries_of(listed: list[Listed]) -> list[Entry]:
    return [entry_of(one) for one in listed]


def canonical(one: Listed) -> Listed:
    """As `Entry` shows it: networks with their length, sets sorted."""
    is_network = one.kind == "network"
    return Listed(
        str(oracle.network_of(one.target)) if is_network else oracle.name_of(one.target),
        one.kind,
        one.score,
        one.disposition,
        one.origin,
        tuple(sorted(set(one.sources))),
        tuple(sorted(set(one.categories))),
        one.expires,
    )


def shown(entry: Entry) -> Listed:
    return Listed(
        entry.target,
        entry.kind,
        entry.score,
        entry.disposition,
        entry.origin,
        entry.sources,
        entry.categories,
        entry.expires,
    )


def seen(verdict: Verdict | None) -> Said | None:
    if verdict is None:
        return None
    return (verdict.disposition, verdict.score, verdict.sources, verdict.categories)
