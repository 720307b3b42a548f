"""Frames between control and workers: any split gives the same frames, anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import frames
from proxy.frames import Frame, FrameError, FrameReader, Kind

kinds_and_payloads = st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=200)), max_size=8)


@given(kinds_and_payloads, st.lists(st.integers(min_value=1, max_value=50), max_size=40))
def test_any_split_gives_the_same_frames(sent, sizes):
    """A socket may deliver one byte or everything."""
    data = b"".join(frames.encode(kind, payload) for kind, payload in sent)
    found: list[Frame] = []
    reader, position = FrameReader(), 0
    for size in [*sizes, len(data)]:
        found += reader.feed(data[position : position + size])
        position += size
    assert found == [Frame(kind, payload) for kind, payload in sent]


def test_unknown_kind_is_refused():
    """Reading on would take payload for headers."""
    with pytest.raises(FrameError, match="unknown frame kind 99"):
        list(FrameReader().feed(b"\x00\x00\x00\x00\x63"))


def test_oversized_length_is_refused_before_its_payload_arrives():
    """Four bytes must not make us hold four gigabytes."""
    with pytest.raises(FrameError, match="4294967295"):
        list(FrameReader().feed(b"\xff\xff\xff\xff\x01"))


def test_oversized_payload_is_not_sent(monkeypatch):
    monkeypatch.setattr(frames, "MAXIMUM_PAYLOAD_BYTES", 3)
    assert frames.encode(Kind.EVENTS, b"abc")
    with pytest.raises(FrameError, match="4 bytes is above the limit of 3"):
        frames.encode(Kind.EVENTS, b"abcd")


def payload_of(frame: bytes) -> bytes:
    (only,) = FrameReader().feed(frame)
    return only.payload


def test_typed_frames_come_back_as_they_were_sent():
    assert frames.decode_hello(payload_of(frames.encode_hello(3, 4711))) == (3, 4711)
    assert frames.decode_install(payload_of(frames.encode_install(5, 6, "/var/ä.bin"))) == (
        5,
        6,
        "/var/ä.bin",
    )
    assert frames.decode_overlay(payload_of(frames.encode_overlay(5, 7, b"packed"))) == (5, 7, b"packed")
    assert frames.decode_acknowledge(payload_of(frames.encode_acknowledge(5, 8))) == (5, 8)


@pytest.mark.parametrize(
    "decode", [frames.decode_hello, frames.decode_install, frames.decode_overlay, frames.decode_acknowledge]
)
def test_short_payload_is_refused(decode):
    with pytest.raises(FrameError, match="3 bytes where"):
        decode(b"abc")
