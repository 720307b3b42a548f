"""Batches: what they accept, and that they say what single lookups say."""

import sys
import threading
from array import array
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmatch import Blocklist, Builder, Entry, pack_entries

BLOCKLIST = Blocklist.from_entries(
    [
        Entry("10.0.0.0/29", score=8, sources=["a"]),
        Entry("10.0.0.4/30", score=9, sources=["b"]),
        Entry("10.0.0.6", disposition="allow", origin="operator"),
        Entry("::/8", score=3),
        Entry("2001:db8::/32", score=7),
        Entry("2001:db8::8/125", score=9),
        Entry("example.com", score=6),
        Entry("a.example.com", score=9, kind="exact"),
        Entry("com", score=2, kind="below"),
    ]
).with_overlay(pack_entries([Entry("10.0.0.1", score=10, origin="operator")]), sequence=1)
WIDTHS = ["B", "H", "I"]
labels = st.sampled_from(["a", "b", "example", "com", "COM", "xn--", "\u00fc", "\ud800", "1", ""])
names = st.lists(labels, max_size=4).map(".".join)


def value_of(verdict):
    """What a batch writes for this verdict."""
    return 0 if verdict is None else 1 + BLOCKLIST.verdicts.index(verdict)


def name_value(name, largest):
    try:
        return value_of(BLOCKLIST.lookup_domain(name))
    except ValueError:
        return largest


def largest_of(out):
    return 256**out.itemsize - 1


@given(
    st.lists(st.one_of(st.integers(0x0A000000 - 2, 0x0A000000 + 10), st.integers(0, 2**32 - 1))),
    st.sampled_from(WIDTHS),
)
def test_ipv4_batches_say_what_single_lookups_say(addresses, width):
    """One rule, however it is asked."""
    out = array(width, [99] * len(addresses))
    found = BLOCKLIST.lookup_ipv4_batch(array("I", addresses), out)
    expected = [value_of(BLOCKLIST.lookup(address)) for address in addresses]
    assert out.tolist() == expected
    assert found == sum(value != 0 for value in expected)


@given(
    st.lists(
        st.one_of(
            st.integers(0x20010DB8 << 96, (0x20010DB8 << 96) + 20),
            st.integers(0xFFFF0A000000 - 3, 0xFFFF0A00000A),
            st.integers(0, 2**128 - 1),
        )
    ),
    st.sampled_from(WIDTHS),
    st.integers(0, 1),
)
def test_ipv6_batches_say_what_single_lookups_say(addresses, width, shift):
    """Mapped addresses are IPv4 here too; bytes need no alignment."""
    out = array(width, [99] * len(addresses))
    packed = b"x" * shift + b"".join(address.to_bytes(16, "big") for address in addresses)
    found = BLOCKLIST.lookup_ipv6_batch(memoryview(packed)[shift:], out)
    expected = [value_of(BLOCKLIST.lookup(IPv6Address(address))) for address in addresses]
    assert out.tolist() == expected
    assert found == sum(value != 0 for value in expected)


@given(st.lists(names), st.sampled_from(WIDTHS), st.sampled_from([list, tuple, dict.fromkeys]))
def test_name_batches_say_what_single_lookups_say(texts, width, collect):
    """What is no domain is marked, and the others are judged all the same."""
    texts = collect(texts)
    out = array(width, [99] * len(texts))
    found = BLOCKLIST.lookup_domain_batch(texts, out)
    expected = [name_value(text, largest_of(out)) for text in texts]
    assert out.tolist() == expected
    assert found == sum(value not in {0, largest_of(out)} for value in expected)


@given(st.lists(names), st.sampled_from(WIDTHS), st.sampled_from(["I", "Q"]), st.binary(max_size=9))
def test_blobs_of_names_say_what_single_lookups_say(texts, width, offset_width, before):
    """The text need not begin where the first name does, nor be UTF-8 everywhere."""
    encoded = [text.encode(errors="surrogatepass") for text in texts]
    offsets = array(offset_width, [len(before)])
    for text in encoded:
        offsets.append(offsets[-1] + len(text))
    out = array(width, [99] * len(texts))
    found = BLOCKLIST.lookup_domain_blob(bytearray(before + b"".join(encoded) + b"\xff"), offsets, out)
    expected = [name_value(text, largest_of(out)) for text in texts]
    assert out.tolist() == expected
    assert found == sum(value not in {0, largest_of(out)} for value in expected)


def test_long_batches_are_judged_to_their_last_item():
    """Chunks end somewhere, and from 20,000 items on the interpreter lock is released."""
    for count in (1023, 1024, 1025, 19_999, 40_001):
        addresses = array("I", [0x0A000000 + index % 11 for index in range(count)])
        out = array("B", bytes(count))
        BLOCKLIST.lookup_ipv4_batch(addresses, out)
        cycle = [value_of(BLOCKLIST.lookup(0x0A000000 + index)) for index in range(11)]
        expected = (cycle * (count // 11 + 1))[:count]
        assert out.tolist() == expected
        mapped = b"".join(b"\0" * 10 + b"\xff\xff" + address.to_bytes(4, "big") for address in addresses)
        assert BLOCKLIST.lookup_ipv6_batch(mapped, out) == sum(value != 0 for value in expected)
        assert out.tolist() == expected
        texts = [("a.example.com", "b.com", "org", "..")[index % 4] for index in range(count)]
        cycle = [name_value(text, 255) for text in texts[:4]]
        expected = (cycle * (count // 4 + 1))[:count]
        found = BLOCKLIST.lookup_domain_batch(texts, out)
        assert out.tolist() == expected
        offsets = array("I", [0])
        for text in texts:
            offsets.append(offsets[-1] + len(text))
        assert BLOCKLIST.lookup_domain_blob("".join(texts).encode(), offsets, out) == found
        assert out.tolist() == expected


def test_nothing_asked_is_nothing_answered():
    """Empty buffers are buffers."""
    assert BLOCKLIST.lookup_ipv4_batch(array("I"), array("B")) == 0
    assert BLOCKLIST.lookup_ipv6_batch(b"", bytearray()) == 0
    assert BLOCKLIST.lookup_domain_batch([], array("I")) == 0
    assert BLOCKLIST.lookup_domain_blob(b"", array("I", [0]), bytearray()) == 0


def list_with_verdicts(count):
    """As many distinct verdicts, by their sources."""
    builder = Builder()
    for number in range(count):
        builder.add(Entry(f"10.{number // 256}.{number % 256}.0/24", score=5, sources=[f"s{number}"]))
        builder.add(Entry(f"n{number}.example", score=5, sources=[f"s{number}"]))
    return builder.build()


def test_items_must_hold_every_verdict_of_the_list():
    """A truncated number would be another verdict; for names the largest value is taken already."""
    fits, most = list_with_verdicts(254), list_with_verdicts(255)
    out, wide = bytearray(255), array("H", [0])
    networks = array("I", range(0x0A000000, 0x0A000000 + (255 << 8), 256))
    assert most.lookup_ipv4_batch(networks, out) == 255
    assert sorted(out) == list(range(1, 256))
    out = bytearray(254)
    assert fits.lookup_domain_batch([f"n{number}.example" for number in range(254)], out) == 254
    assert sorted(out) == list(range(1, 255))
    with pytest.raises(ValueError, match="out: the items hold 254 verdicts, the list has 255"):
        most.lookup_domain_batch(["n1.example"], bytearray(1))
    assert most.lookup_domain_batch(["n254.example"], wide) == 1
    assert most.verdicts[wide[0] - 1] is most.lookup_domain("n254.example")
    with pytest.raises(ValueError, match="out: the items hold 255 verdicts, the list has 256"):
        list_with_verdicts(256).lookup_ipv4_batch(networks, bytearray(255))


WORDS, BYTES = array("I", [1, 2, 3, 4]), bytearray(4)


@pytest.mark.parametrize(
    ("addresses", "out", "error", "words"),
    [
        ([1, 2, 3, 4], BYTES, TypeError, "addresses: list has no buffer"),
        ("1234", BYTES, TypeError, "addresses: str has no buffer"),
        (array("i", [1, 2, 3, 4]), BYTES, ValueError, "addresses: items are .i. of 4 bytes"),
        (array("f", [1, 2, 3, 4]), BYTES, ValueError, "addresses: items are .f. of 4 bytes"),
        (array("Q", [1, 2, 3, 4]), BYTES, ValueError, "addresses: items are .Q. of 8 bytes"),
        (bytes(16), BYTES, ValueError, "addresses: items are .B. of 1 bytes"),
        (memoryview(WORDS)[::2], bytearray(2), ValueError, "addresses: .* in a row"),
        (memoryview(bytes(17))[1:].cast("I"), BYTES, ValueError, "addresses: the items are not aligned"),
        (WORDS, [0] * 4, TypeError, "out: list has no buffer"),
        (WORDS, bytes(4), ValueError, "out: the buffer is read-only"),
        (WORDS, bytearray(3), ValueError, "out: 3 items for 4 subjects"),
        (WORDS, bytearray(5), ValueError, "out: 5 items for 4 subjects"),
        (WORDS, array("Q", [0] * 4), ValueError, "out: items are .Q. of 8 bytes"),
        (WORDS, array("b", [0] * 4), ValueError, "out: items are .b. of 1 bytes"),
        (WORDS, memoryview(bytearray(8))[::2], ValueError, "out: .* in a row"),
        (WORDS, memoryview(bytearray(9))[1:].cast("H"), ValueError, "out: the items are not aligned"),
        (WORDS, WORDS, ValueError, "out: shares memory"),
        (WORDS, memoryview(WORDS).cast("B")[12:], ValueError, "out: .* items for 4|out: shares memory"),
        (memoryview(WORDS)[:1], memoryview(WORDS).cast("B")[3:4], ValueError, "out: shares memory"),
    ],
)
def test_a_buffer_that_does_not_fit_is_refused_with_argument_and_rule(addresses, out, error, words):
    """What the caller must change is in the message, and nothing has been written."""
    before = bytes(WORDS) + bytes(BYTES)
    with pytest.raises(error, match=words):
        BLOCKLIST.lookup_ipv4_batch(addresses, out)
    assert bytes(WORDS) + bytes(BYTES) == before


@pytest.mark.parametrize(
    ("call", "arguments", "error", "words"),
    [
        ("ipv6_batch", (bytes(17), BYTES), ValueError, "17 bytes are no multiple of 16"),
        ("ipv6_batch", (array("Q", [1, 2]), BYTES), ValueError, "addresses: items are .Q. of 8 bytes"),
        ("domain_batch", ("ab", BYTES), TypeError, "names: a sequence of str"),
        ("domain_batch", (["a", b"b", "c", "d"], BYTES), TypeError, "names: item 1 is bytes"),
        ("domain_batch", (5, BYTES), TypeError, "int"),
        ("domain_batch", (["a"], BYTES), ValueError, "out: 4 items for 1 subjects"),
        ("domain_blob", ("a", WORDS, bytearray(3)), TypeError, "text: str has no buffer"),
        ("domain_blob", (b"a", b"01", BYTES), ValueError, "offsets: items are .B. of 1 bytes"),
        ("domain_blob", (b"a", array("I"), BYTES), ValueError, "offsets: none"),
        ("domain_blob", (b"a", array("I", [0, 2]), bytearray(1)), ValueError, "1 is 2, not between 0 and 1"),
        ("domain_blob", (b"ab", array("Q", [1, 2, 1]), bytearray(2)), ValueError, "2 is 1, not between 2"),
        ("domain_blob", (b"", array("Q", [2**64 - 1, 0]), bytearray(1)), ValueError, "offsets: item 1"),
        ("domain_blob", (BYTES, array("I", [0, 1]), memoryview(BYTES)[3:]), ValueError, "out: shares memory"),
    ],
)
def test_other_batches_refuse_what_does_not_fit_too(call, arguments, error, words):
    """Each argument is named."""
    with pytest.raises(error, match=words):
        getattr(BLOCKLIST, f"lookup_{call}")(*arguments)


class Lying(list):
    """A sequence that is not as long as it says."""

    lie = 0

    def __len__(self):
        return super().__len__() + self.lie


@pytest.mark.parametrize("lie", [-1, 1])
def test_a_sequence_that_lies_about_its_length_is_refused(lie):
    """Whoever writes the sequence of names must not choose where we write."""
    texts = Lying(["a", "b", "c"])
    texts.lie = lie
    with pytest.raises(ValueError, match="changed its length"):
        BLOCKLIST.lookup_domain_batch(texts, bytearray(3 + lie))


def test_any_item_width_the_machine_calls_unsigned_is_taken():
    """numpy and ctypes spell four bytes as `I`, `L`, `=I`, `<I`; the other order is refused, not misread."""
    ctypes = pytest.importorskip("ctypes")
    words = (ctypes.c_uint32 * 2)(0x0A000001, 5)
    assert BLOCKLIST.lookup_ipv4_batch(words, bytearray(2)) == 1
    swapped = ctypes.c_uint32.__ctype_be__ if sys.byteorder == "little" else ctypes.c_uint32.__ctype_le__
    with pytest.raises(ValueError, match="items are"):
        BLOCKLIST.lookup_ipv4_batch((swapped * 2)(1, 5), bytearray(2))


@pytest.mark.parametrize("call", ["ipv4", "ipv6", "names", "blob"])
def test_other_threads_run_during_a_large_batch(call):
    """The interpreter lock is released, or one replay would stop every connection of a worker.

    With a switch interval of an hour nobody is made to give the lock up: the other thread runs because it was
    released.
    """
    count = 200_000
    out = bytearray(count)
    calls = {
        "ipv4": lambda: BLOCKLIST.lookup_ipv4_batch(array("I", bytes(4 * count)), out),
        "ipv6": lambda: BLOCKLIST.lookup_ipv6_batch(bytes(16 * count), out),
        "names": lambda: BLOCKLIST.lookup_domain_batch(["a.example.com"] * count, out),
        "blob": lambda: BLOCKLIST.lookup_domain_blob(bytes(count), array("I", range(count + 1)), out),
    }
    started, may_run = threading.Event(), threading.Event()

    def other():
        started.set()
        may_run.wait()
        progress.append(1)

    progress: list[int] = []
    interval = sys.getswitchinterval()
    thread = threading.Thread(target=other)
    thread.start()
    started.wait()
    sys.setswitchinterval(3600)
    try:
        may_run.set()
        for _ in range(50):
            calls[call]()
            if progress:
                break
        has_run = bool(progress)
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert has_run


def test_readers_judge_what_they_saw_while_a_writer_changes_the_buffer():
    """A racing write decides which of two addresses is judged, never anything else."""
    count = 50_000
    addresses = array("I", [0x0A000001] * count)
    allowed = {value_of(BLOCKLIST.lookup(0x0A000001)), value_of(BLOCKLIST.lookup(0x0A000005))}
    stop = threading.Event()

    def write():
        old, new = array("I", [0x0A000001]) * count, array("I", [0x0A000005]) * count
        view = memoryview(addresses)
        while not stop.is_set():
            view[:] = new
            view[:] = old

    def read(results):
        out = bytearray(count)
        for _ in range(20):
            assert BLOCKLIST.lookup_ipv4_batch(addresses, out) == count
            results.append(set(out))

    results: list[set[int]] = []
    writer = threading.Thread(target=write)
    readers = [threading.Thread(target=read, args=(results,)) for _ in range(3)]
    writer.start()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    stop.set()
    writer.join()
    assert len(results) == 60
    assert set().union(*results) <= allowed


def test_a_buffer_is_given_back_after_the_call():
    """An array that stayed exported could never grow again."""
    addresses, out = array("I", [1]), array("B", [0])
    BLOCKLIST.lookup_ipv4_batch(addresses, out)
    with pytest.raises(ValueError, match="out"):
        BLOCKLIST.lookup_ipv4_batch(addresses, bytes(1))
    addresses.append(1)
    out.append(1)
    assert BLOCKLIST.lookup_ipv4_batch(addresses, out) == 0
