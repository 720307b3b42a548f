"""List files as they are published: what each line of each format becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch import Builder, Entry


def load(text, style="plain", **options):
    """(blocklist, report) of one list."""
    builder = Builder()
    content = text.encode() if isinstance(text, str) else text
    report = builder.add_text(content, **{"format": style, "source": "list", "score": 8, **options})
    return builder.build(), report


def counts(report):
    return (report.accepted_count, report.ignored_count, report.rejected_count)


@pytest.mark.parametrize(
    ("line", "target", "kind"),
    [
        ("192.0.2.1", "192.0.2.1/32", "network"),
        ("192.0.2.0/24", "192.0.2.0/24", "network"),
        ("192.0.2.77/24", "192.0.2.0/24", "network"),
        ("2001:db8::1/32", "2001:db8::/32", "network"),
        ("192.0.2.0/31 ; SBL1", "192.0.2.0/31", "network"),
        ("\t192.0.2.1 # why", "192.0.2.1/32", "network"),
        ("192.0.2.1#why", "192.0.2.1/32", "network"),
        ("192.0.2.1 // why", "192.0.2.1/32", "network"),
        ("192.0.2.4-192.0.2.7", "192.0.2.4/30", "network"),
        ("192.0.2.4 - 192.0.2.7", "192.0.2.4/30", "network"),
        ("2001:db8:: - 2001:db8::ff", "2001:db8::/120", "network"),
        ("Example.COM.", "example.com", "suffix"),
        ("||example.com^", "example.com", "suffix"),
        (".example.com", "example.com", "suffix"),
        ("*.example.com", "example.com", "below"),
        ("=example.com", "example.com", "exact"),
        ("0------0.0n-line.biz ! why", "0------0.0n-line.biz", "suffix"),
    ],
)
def test_a_plain_line_becomes_its_entry(line, target, kind):
    """Every way that published lists write one target."""
    blocklist, report = load(line)
    assert counts(report) == (1, 0, 0)
    subject = target.partition("/")[0]
    asked = f"x.{subject}" if kind == "below" else subject
    [covering] = blocklist.explain(asked).covering
    assert covering.entry == Entry(target, kind=kind, score=8, sources=["list"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("192.0.2.1 and more", "text behind"),
        ("192.0.2.256", "not an IPv4"),
        ("192.0.2.1:80", "not an IPv4"),
        ("192.0.2.0/240", "prefix length"),
        ("192.0.2.9-192.0.2.1", "range"),
        ("192.0.2.9-2001:db8::", "range"),
        ("http://example.com/", "not an IPv4"),
        ("@@||example.com^", "exception"),
        ("||example.com^$third-party", "does not belong"),
        ("a..example.com", "label is empty"),
        ("a" * 64 + ".com", "63"),
        ("xn--a.com", "UTS-46"),
        (".", "root"),
        ("*", "does not belong"),
    ],
)
def test_a_line_that_is_no_target_is_rejected_with_its_reason(line, words):
    """One bad line must not cost the list, nor be lost silently."""
    blocklist, report = load(f"# head\n192.0.2.1\n{line}\n192.0.2.2\n")
    assert counts(report) == (2, 1, 1)
    [(number, text, reason)] = report.rejected
    assert (number, text) == (3, line)
    assert words in reason
    assert len(blocklist) == 2


def test_byte_order_mark_line_ends_and_comments_are_not_content():
    """Editors of three systems have been here."""
    text = b"\xef\xbb\xbf192.0.2.1\r\n\r\n# a\r\n; b\n// c\n! d\n   \n192.0.2.2"
    blocklist, report = load(text)
    assert counts(report) == (2, 6, 0)
    assert "192.0.2.1" in blocklist
    assert "192.0.2.2" in blocklist
    assert counts(load(b"")[1]) == (0, 0, 0)
    assert counts(load(b"\n")[1]) == (0, 1, 0)


def test_bytes_that_are_no_text_reject_their_line_only():
    """Lists of strangers hold anything."""
    blocklist, report = load(b"192.0.2.1\n\xff\xfe\x00evil.com\nb\xc3\xbccher.example\n192.0.2.2\n")
    assert counts(report) == (3, 0, 1)
    assert report.rejected[0][0] == 2
    assert blocklist.lookup_domain("xn--bcher-kva.example") is not None


def test_hosts_lines_name_domains_and_skip_the_machine_itself():
    """Blocking `localhost` would be the shortest outage."""
    text = (
        "127.0.0.1 localhost\n::1 localhost ip6-loopback\n255.255.255.255 broadcasthost\n0.0.0.0 0.0.0.0\n"
        "0.0.0.0 ads.example # why\n127.0.0.1\tone.example two.example\n:: three.example\n"
        "192.0.2.1 intranet.example\n0.0.0.0\nfour.example\n0.0.0.0 five.example bad..name\n"
    )
    blocklist, report = load(text, "hosts", kind="exact")
    assert counts(report) == (3, 4, 4)
    for name in ["ads.example", "one.example", "two.example", "three.example"]:
        assert blocklist.lookup_domain(name) is not None
        assert blocklist.lookup_domain(f"www.{name}") is None
    assert blocklist.lookup_domain("five.example") is None
    assert len(blocklist) == 4
    assert [number for number, _, _ in report.rejected] == [8, 9, 10, 11]


def test_netset_lines_and_saved_ipsets_name_networks():
    """FireHOL's netsets and what `ipset save` writes."""
    text = (
        "create bad hash:net family inet hashsize 1024\nadd bad 192.0.2.1\n"
        "add bad 198.51.100.0/24 timeout 300\nadd bad 203.0.113.0/24 nomatch\n"
        "add bad 203.0.113.1-203.0.113.2\n2001:db8::/32\nCOMMIT\nexample.com\nadd bad\n"
    )
    blocklist, report = load(text, "netset")
    assert counts(report) == (4, 2, 3)
    for address in ["192.0.2.1", "198.51.100.9", "203.0.113.2", "2001:db8::1"]:
        assert address in blocklist
    assert "203.0.113.9" not in blocklist
    assert [number for number, _, _ in report.rejected] == [4, 8, 9]


def test_columns_give_the_score_by_the_highest_point_not_above():
    """The shape of lists that count on how many others an address stands."""
    text = "# ip\thits\n192.0.2.1\t1\n192.0.2.2\t3\n192.0.2.3\t4\n192.0.2.4\t50\n192.0.2.5\tmany\n192.0.2.6\n"
    options = {"delimiter": "\t", "score": 2, "score_column": 1, "score_map": [(5, 10), (3, 6.5)]}
    blocklist, report = load(text, "csv", **options)
    assert counts(report) == (4, 1, 2)
    scores = [blocklist[f"192.0.2.{last}"].score for last in (1, 2, 3, 4)]
    assert scores == [2, 6.5, 6.5, 10]
    assert [reason for _, _, reason in report.rejected] == ["the score column is missing or not a number"] * 2


def test_columns_may_hold_the_score_itself_quotes_and_a_heading():
    """As spreadsheets export them."""
    text = 'target,note,score\n"192.0.2.1","a, b",7\n*.example.com,,3.5\n192.0.2.9,,11\n'
    blocklist, report = load(text, "csv", score_column=2)
    assert counts(report) == (2, 1, 1)
    assert blocklist["192.0.2.1"].score == 7
    assert blocklist["a.example.com"].score == 3.5
    assert report.rejected[0][2] == "the score is not between 0 and 10"


def test_a_list_of_allows_or_known_good_has_no_scores():
    """The column is for blocks."""
    for disposition in ("allow", "known_good"):
        blocklist, report = load("192.0.2.1,9\n", "csv", score_column=1, disposition=disposition)
        assert report.accepted_count == 1
        [covering] = blocklist.explain("192.0.2.1").covering
        assert (covering.entry.disposition, covering.entry.score) == (disposition, 0)


def test_a_list_carries_its_labels_and_its_age():
    """`explain` names the list."""
    blocklist, _ = load("192.0.2.1", categories=["b", "a"], last_seen=77)
    [covering] = blocklist.explain("192.0.2.1").covering
    assert covering.entry == Entry(
        "192.0.2.1", score=8, sources=["list"], categories=["a", "b"], last_seen=77
    )


def test_only_the_first_hundred_rejected_lines_are_kept_and_all_are_counted():
    """A binary file handed in by mistake has many."""
    _, report = load("?" * 500 + "\n" + "?\n" * 499)
    assert counts(report) == (0, 0, 500)
    assert len(report.rejected) == 100
    assert report.rejected[0][1] == "?" * 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "xml"}, "xml"),
        ({"kind": "network"}, "kind"),
        ({"disposition": "deny"}, "deny"),
        ({"score": -1}, "between 0 and 10"),
        ({"delimiter": ""}, "delimiter"),
        ({"delimiter": "ab"}, "delimiter"),
        ({"score_column": -1}, "score_column"),
        ({"score_map": [(float("inf"), 1)]}, "finite"),
        ({"score_map": [(1, 11)]}, "between 0 and 10"),
        ({"source": ""}, "source"),
        ({"last_seen": 0}, "last_seen"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, words):
    """Before a byte of the list is read."""
    with pytest.raises(ValueError, match=words):
        load("192.0.2.1", **options)


lines = st.lists(
    st.binary(max_size=30)
    | st.sampled_from([b"192.0.2.1", b"0.0.0.0 a.b", b"add x 1.2.3.4", b"a.b,3", b"1.2.3.4-1.2.4.9"]),
    max_size=20,
)


@given(lines, st.sampled_from(["plain", "hosts", "netset", "csv"]))
def test_any_bytes_are_read_and_every_line_is_counted_once(lines, style):
    """The three counts sum up to the lines, whatever they hold."""
    text = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    _, report = load(text, style, score_column=1)
    assert sum(counts(report)) == len(lines)
