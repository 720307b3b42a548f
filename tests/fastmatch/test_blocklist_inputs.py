"""What lookups and entries accept, and how they refuse the rest."""

import gc
import sys
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch import Blocklist, Entry, canonical_target

BLOCKLIST = Blocklist.from_entries(
    [Entry("192.0.2.0/24", score=8, sources=["four"]), Entry("2001:db8::/32", score=7), Entry("example.com")]
)


class NamedAddress(str):
    """A str subclass, as some libraries hand them out."""

    __slots__ = ()


@pytest.mark.parametrize(
    "spelling",
    [
        "192.0.2.1",
        b"\xc0\x00\x02\x01",
        0xC0000201,
        IPv4Address("192.0.2.1"),
        IPv4Interface("192.0.2.1/24"),
        NamedAddress("192.0.2.1"),
        "::ffff:192.0.2.1",
        "::FFFF:C000:201",
        IPv6Address("::ffff:192.0.2.1"),
        IPv6Address("::ffff:192.0.2.1").packed,
        "::ffff:192.0.2.1%eth0",
    ],
)
def test_every_spelling_of_an_address_gets_its_verdict(spelling):
    """Callers hold addresses in the form their library gave them."""
    assert BLOCKLIST.lookup(spelling) is BLOCKLIST["192.0.2.77"]
    assert spelling in BLOCKLIST


@pytest.mark.parametrize(
    "spelling", ["2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:db8::0.0.0.1", IPv6Address("2001:db8::1%1")]
)
def test_every_spelling_of_an_ipv6_address_gets_its_verdict(spelling):
    """A zone names an interface, not another address."""
    assert BLOCKLIST[spelling].score == 7


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ("", ValueError, "not an IPv4"),
        ("192.0.2.01", ValueError, "192.0.2.01"),
        ("192.0.2.1/32", ValueError, "192.0.2.1/32"),
        (" 192.0.2.1", ValueError, "not an IPv4"),
        ("[2001:db8::1]", ValueError, "not an IPv4"),
        ("2001:db8::1%", ValueError, "not an IPv4"),
        ("example.com", ValueError, "example.com"),
        (b"\x01\x02\x03", ValueError, "4 or 16 bytes"),
        (-1, ValueError, "-1"),
        (2**32, ValueError, "4294967296"),
        (2**200, ValueError, "below 2"),
        (None, TypeError, "NoneType"),
        (1.5, TypeError, "float"),
        ("\ud800", ValueError, "surrogates"),
    ],
)
def test_what_is_no_address_is_refused_with_value_and_reason(value, error, words):
    """The message must be enough to find the mistake."""
    with pytest.raises(error, match=words.replace("[", r"\[").replace(".", r"\.")):
        BLOCKLIST.lookup(value)


def test_a_long_value_is_shortened_in_the_message():
    """Attackers choose values; logs stay readable."""
    with pytest.raises(ValueError, match="longer than") as caught:
        BLOCKLIST.lookup_domain("a" * 100_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty"),
        (".", "root"),
        ("a..example.com", "label is empty"),
        (".example.com", "label is empty"),
        ("example.com..", "label is empty"),
        ("a" * 64 + ".example.com", "63"),
        ("a." * 127 + "com", "253"),
        ("192.0.2.1", "number"),
        ("host.0x7f", "number"),
        ("exa mple.com", "0x20"),
        ("example.com:80", "0x3a"),
        ("xn--\u00fc.com", "UTS-46"),
    ],
)
def test_what_is_no_name_is_refused_with_its_reason(name, words):
    """Invalid is another answer than not listed."""
    with pytest.raises(ValueError, match=words):
        BLOCKLIST.lookup_domain(name)


@pytest.mark.parametrize(
    "name", ["example.com", "WWW.Example.COM.", "b\u00fccher.example.com", "\uff45xample\u3002com"]
)
def test_every_spelling_of_a_name_gets_its_verdict(name):
    """As a browser reads it: case, one dot at the end, UTS-46."""
    assert BLOCKLIST[name].score == 10


def test_names_match_at_label_borders_only():
    """`notexample.com` is somebody else."""
    assert BLOCKLIST.lookup_domain("notexample.com") is None
    assert BLOCKLIST.lookup_domain("example.com.org") is None
    assert BLOCKLIST.lookup_domain("com") is None


@pytest.mark.parametrize(
    ("written", "canonical", "kind"),
    [
        ("192.0.2.1", "192.0.2.1/32", "network"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24", "network"),
        ("2001:DB8::", "2001:db8::/128", "network"),
        ("0.0.0.0/0", "0.0.0.0/0", "network"),
        ("M\u00fcnchen.DE.", "xn--mnchen-3ya.de", "domain"),
        ("_dmarc.a--b.example", "_dmarc.a--b.example", "domain"),
    ],
)
def test_targets_have_one_canonical_form(written, canonical, kind):
    """Two spellings of one target must not become two entries."""
    assert canonical_target(written) == (canonical, kind)
    assert Entry(written).target == canonical
    assert Entry(written) == Entry(canonical)
    assert hash(Entry(written)) == hash(Entry(canonical))


@pytest.mark.parametrize(
    ("target", "arguments", "words"),
    [
        ("192.0.2.1/24", {}, "host bits"),
        ("192.0.2.0/33", {}, "prefix length"),
        ("192.0.2", {}, "not an IPv4"),
        ("fe80::1%eth0/64", {}, "not an IPv4"),
        ("xn--a.example", {}, "UTS-46"),
        ("*.example.com", {}, "0x2a"),
        ("example.com", {"kind": "network"}, "domain"),
        ("192.0.2.0/24", {"kind": "suffix"}, "network"),
        ("example.com", {"kind": "prefix"}, "prefix"),
        ("example.com", {"score": 10.1}, "between 0 and 10"),
        ("example.com", {"score": float("nan")}, "between 0 and 10"),
        ("example.com", {"disposition": "drop"}, "drop"),
        ("example.com", {"origin": "me"}, "me"),
        ("example.com", {"disposition": "known_good", "expires": 5}, "known_good"),
        ("example.com", {"expires": 0}, "expires"),
        ("example.com", {"last_seen": 2**32}, "last_seen"),
        ("example.com", {"first_seen": -1}, "first_seen"),
        ("example.com", {"sources": [""]}, "source or category"),
        ("example.com", {"categories": ["x" * 256]}, "255"),
        ("example.com", {"sources": [str(number) for number in range(65)]}, "64"),
        ("example.com", {"reason": "x" * 4097}, "4096"),
    ],
)
def test_an_entry_that_means_nothing_is_refused(target, arguments, words):
    """Every rule of an entry, each with the value that broke it."""
    with pytest.raises(ValueError, match=words):
        Entry(target, **arguments)


def test_a_lone_string_is_no_set_of_sources():
    """`sources="abc"` would silently become three sources."""
    with pytest.raises(TypeError, match="sources"):
        Entry("example.com", sources="abc")


def test_an_entry_shows_what_it_was_made_of():
    """Sets are sorted, scores are tenths, only blocks have one."""
    entry = Entry(
        "example.com", score=7.25, kind="below", origin="incident", sources=["b", "a", "b"], categories=["c"],
        reason="because", first_seen=1, last_seen=2, expires=3,
    )  # fmt: skip
    assert (entry.kind, entry.origin, entry.disposition, entry.score) == ("below", "incident", "block", 7.3)
    assert (entry.sources, entry.categories, entry.reason) == (("a", "b"), ("c",), "because")
    assert (entry.first_seen, entry.last_seen, entry.expires) == (1, 2, 3)
    assert Entry("example.com", disposition="allow", score=9).score == 0


@pytest.mark.parametrize("target", ["192.0.2.0/24", "a..b", "1.2.3"])
def test_explain_wants_one_subject(target):
    """A network has as many verdicts as addresses."""
    with pytest.raises(ValueError, match=r"asked for|empty|not an IPv4"):
        BLOCKLIST.explain(target)


anything = st.one_of(
    st.text(),
    st.binary(max_size=20),
    st.integers(),
    st.floats(),
    st.none(),
    st.lists(st.text()),
    st.ip_addresses(),
)


@given(anything)
def test_any_object_is_answered_or_refused_and_never_a_panic(value):
    """A panic derives from BaseException and would pass the edge's handlers."""
    for call in (BLOCKLIST.lookup, BLOCKLIST.lookup_domain, BLOCKLIST.explain, Entry, canonical_target):
        try:
            call(value)
        except (ValueError, TypeError):
            continue


@given(st.text(alphabet="0123456789abcdefABCDEF:.%/x ", max_size=50))
def test_addresses_are_read_as_the_standard_library_reads_them(text):
    """One reading of an address everywhere, or the reading becomes the hole."""
    try:
        expected = ip_address(text)
    except ValueError:
        with pytest.raises(ValueError, match="not an IPv4"):
            BLOCKLIST.lookup(text)
    else:
        mapped = getattr(expected, "ipv4_mapped", None)
        address = str(mapped or expected).partition("%")[0]
        assert canonical_target(address)[0] == f"{address}/{(mapped or expected).max_prefixlen}"
        BLOCKLIST.lookup(text)


def test_lookups_leave_no_references_behind():
    """Ten thousand hits, misses and errors keep the count of the shared verdict."""
    verdict = BLOCKLIST["192.0.2.1"]
    before = sys.getrefcount(verdict)
    for _ in range(10_000):
        BLOCKLIST.lookup("192.0.2.1")
        BLOCKLIST.lookup("198.51.100.1")
        with pytest.raises(ValueError, match="x"):
            BLOCKLIST.lookup("x")
    gc.collect()
    assert sys.getrefcount(verdict) == before
