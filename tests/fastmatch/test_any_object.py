"""Every method, given anything: an answer or an ordinary refusal, never a panic, a crash or a leak."""

import gc
import os
import sys
from array import array
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch import Blocklist, Builder, Entry, _native, canonical_target, pack_entries, unpack_entries

ENTRIES = [
    Entry("192.0.2.0/24", score=8, sources=["four"]),
    Entry("2001:db8::/32", score=7),
    Entry("example.com"),
]
BLOCKLIST = Blocklist.from_entries(ENTRIES)
OVERLAID = BLOCKLIST.with_overlay(pack_entries([Entry("192.0.2.1", disposition="allow")]), sequence=1)
SEGMENT = _native.Segment.create(2)


class Hostile:
    """Raises wherever it is asked what it is."""

    def _refuse(self, *arguments):
        raise RuntimeError("hostile")

    __repr__ = __str__ = __len__ = __iter__ = __int__ = __index__ = __float__ = __hash__ = __bool__ = _refuse
    __getattr__ = __getitem__ = __call__ = __eq__ = __lt__ = _refuse


class Text(str):
    __slots__ = ()


class Number(int):
    """An int that says something else of itself."""

    def __index__(self):
        return -1


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 2**64, -1, 10**400]),
    st.floats(),
    st.text(),
    st.text(alphabet="0123456789abcdef:./%x-*|^=xn", max_size=60),
    st.sampled_from(["block", "plain", "exact", "192.0.2.1", "example.com", "feed", "\ud800", "a" * 300]),
    st.binary(max_size=70),
    st.binary(max_size=20).map(bytearray),
    st.binary(max_size=16).map(lambda content: memoryview(content)),
    st.lists(st.integers(0, 2**32 - 1), max_size=4).map(lambda values: array("I", values)),
    st.sampled_from([pack_entries(ENTRIES), pack_entries(ENTRIES)[:-1]]),
    st.ip_addresses(),
    st.builds(Hostile),
    st.sampled_from([Text("192.0.2.1"), Number(5), ENTRIES[0], BLOCKLIST, SEGMENT, object, len]),
)
groups = [st.lists(leaves, max_size=3), st.tuples(leaves, leaves), st.dictionaries(st.text(), leaves)]
anything = st.one_of(leaves, *groups)
# What the interpreter itself says of an argument; RuntimeError is Hostile's own.
ORDINARY = (TypeError, ValueError, LookupError, OSError, RuntimeError)

POSITIONAL: dict[str, Callable[..., object]] = {
    "from_entries": Blocklist.from_entries,
    "in": OVERLAID.__contains__,
    "item": OVERLAID.__getitem__,
    "lookup": OVERLAID.lookup,
    "lookup_domain": OVERLAID.lookup_domain,
    "nothing": OVERLAID._nothing,
    "explain": OVERLAID.explain,
    "advance": Blocklist.from_entries([]).advance,
    "lookup_ipv4_batch": OVERLAID.lookup_ipv4_batch,
    "lookup_ipv6_batch": OVERLAID.lookup_ipv6_batch,
    "lookup_domain_batch": OVERLAID.lookup_domain_batch,
    "lookup_domain_blob": OVERLAID.lookup_domain_blob,
    "Entry": Entry,
    "equal": ENTRIES[0].__eq__,
    "add": Builder().add,
    "add_packed": Builder().add_packed,
    "add_list": Builder().add_list,
    "canonical_target": canonical_target,
    "pack_entries": pack_entries,
    "unpack_entries": unpack_entries,
    "Segment.open": _native.Segment.open,
    "clear_gauges": SEGMENT.clear_gauges,
    "slot_counters": SEGMENT.slot_counters,
    "histogram": SEGMENT.histogram,
    "segment add": SEGMENT.add,
    "Gate": _native.Gate,
    "accept": _native.Gate(_native.GateConfig(), SEGMENT, 0).accept,
    "tick": _native.Gate(_native.GateConfig(), SEGMENT, 0).tick,
    "Downstream": _native.Downstream,
    "Upstream": _native.Upstream,
    "explain_route": _native.GateConfig().explain,
    "routes": SEGMENT.routes,
}
LIST: dict[str, Any] = {"format": "plain", "source": "a", "score": 1}
KEYWORDS: dict[str, Callable[..., object]] = {
    "Entry": lambda **arguments: Entry("example.com", **arguments),
    "from_entries": lambda **arguments: Blocklist.from_entries([], **arguments),
    "build": Builder().build,
    "add_text": lambda **arguments: Builder().add_text(b"example.com", **(LIST | arguments)),
    "add_packed": lambda **arguments: Builder().add_packed(pack_entries(ENTRIES), **arguments),
    "with_overlay": lambda **arguments: BLOCKLIST.with_overlay(pack_entries(ENTRIES), **arguments),
    "ipv4_ranges": BLOCKLIST.ipv4_ranges,
    "unpack_entries": lambda **arguments: unpack_entries(pack_entries(ENTRIES), **arguments),
    "GateConfig": _native.GateConfig,
    "Route": lambda **arguments: _native.GateConfig(routes=[_native.Route("a", **arguments)]),
}
NAMES = {
    "Entry": "score kind disposition origin categories sources reason first_seen last_seen expires",
    "from_entries": "epoch sequence now",
    "build": "epoch sequence now compact_domains",
    "add_text": "format source score kind disposition categories score_column score_map delimiter last_seen",
    "add_packed": "limit_entries limit_bytes",
    "with_overlay": "sequence",
    "ipv4_ranges": "source minimum_score",
    "unpack_entries": "limit",
    "GateConfig": "trusted_proxies block_score drop_score observe domains on_missing scheme via head_bytes "
    "target_bytes header_count body_bytes response_head_bytes upstream_host routes",
    "Route": "hosts path path_prefix methods headers block_score observe domains body_bytes host_header "
    "strip_prefix add_prefix request_headers response_headers redirect respond hidden_paths",
}


@pytest.mark.parametrize("name", POSITIONAL)
@given(st.lists(anything, max_size=3))
def test_any_arguments_are_answered_or_refused(name, arguments):
    """A panic derives from BaseException and would pass the edge's handlers; a crash passes everything."""
    try:
        POSITIONAL[name](*arguments)
    except ORDINARY:
        return


@pytest.mark.parametrize("name", KEYWORDS)
@given(st.data())
def test_any_keyword_arguments_are_answered_or_refused(name, data):
    """Settings come from files that people write."""
    arguments = data.draw(st.dictionaries(st.sampled_from(NAMES[name].split()), anything, max_size=3))
    try:
        KEYWORDS[name](**arguments)
    except ORDINARY:
        return


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_million_lookups_leave_neither_references_nor_memory_behind():
    """Hits, misses and errors of every type, by every method: counts are exact, memory within noise."""
    verdict = OVERLAID["192.0.2.2"]
    addresses: list[Any] = [
        "192.0.2.2",
        "198.51.100.1",
        0xC0000202,
        b"\xc0\0\2\2",
        IPv4Address("192.0.2.2"),
        "2001:db8::1",
    ]
    addresses += [IPv6Address("2001:db8::1"), Text("192.0.2.2"), "::ffff:192.0.2.2", "::ffff:192.0.2.2%eth0"]
    names = ["www.example.com", "example.org", "WWW.EXAMPLE.COM.", "b\u00fccher.example.com"]
    words, out = array("I", [0xC0000202] * 8), bytearray(8)
    refused: list[Any] = ["x.", None, -1, 2**64, b"12345", "\ud800"]

    def look_up(rounds):
        for _ in range(rounds):
            for address in addresses:
                OVERLAID.lookup(address)
                address in OVERLAID  # noqa: B015 - what it costs, not what it says
            for name in names:
                OVERLAID.lookup_domain(name)
            OVERLAID["192.0.2.2"]
            OVERLAID.lookup_ipv4_batch(words, out)
            OVERLAID.lookup_domain_batch(names, memoryview(out)[:4])

    def be_refused(rounds):
        for _ in range(rounds):
            for value in refused:
                for call in (OVERLAID.lookup, OVERLAID.lookup_domain, OVERLAID.__getitem__):
                    try:
                        call(value)
                    except (TypeError, ValueError, LookupError):
                        continue

    values = [*addresses, *names, *refused, words, out, OVERLAID]
    look_up(1000)
    be_refused(500)
    gc.collect()
    counts, memory = [sys.getrefcount(value) for value in [verdict, None, *values]], resident_bytes()
    look_up(40_000)
    be_refused(5_000)
    gc.collect()
    after = [sys.getrefcount(value) for value in [verdict, None, *values]]
    assert after[0] == counts[0]
    # The interpreter itself holds some of the others for a while.
    assert all(abs(left - right) < 100 for left, right in zip(counts, after, strict=True))
    assert resident_bytes() - memory < 2 << 20
