"""The border between the connection code and the codecs: types, identity of objects, who holds whom.

The rules of HTTP themselves are tested in the crates, on bytes.
"""

import sys
import threading

import pytest

from fastmatch import _native as native
from fastmatch._native import Downstream, Gate, GateConfig, Segment, Upstream

GET = b"GET /path HTTP/1.1\r\nHost: a.example\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


def a_gate(**settings) -> Gate:
    return Gate(GateConfig(on_missing="open", **settings), Segment.create(1), 0)


def forwarded(client: Downstream, data: bytes) -> tuple[int, int, bytes, int, int, int]:
    taken = client.head(data)
    assert isinstance(taken, tuple)
    return taken


def test_upstream_hears_how_the_client_came():
    """Behind TLS a service makes its links and cookies by this field."""
    assert b"X-Forwarded-Proto: http\r\n" in forwarded(Downstream(a_gate(), "198.51.100.1"), GET)[2]
    over_tls = Downstream(a_gate(), "198.51.100.1", https=True)
    assert b"X-Forwarded-Proto: https\r\n" in forwarded(over_tls, GET)[2]


def test_a_head_is_taken_in_one_call():
    """What the connection code unpacks for every request."""
    client = Downstream(a_gate(), "198.51.100.1")
    action, route, out, body_kind, length, consumed = forwarded(client, GET + b"GET")
    assert action == native.FORWARD | native.BODY_DONE | native.IDEMPOTENT
    assert (route, body_kind, length, consumed) == (0, native.BODY_NONE, 0, len(GET))
    assert out.startswith(b"GET /path HTTP/1.1\r\nHost: a.example\r\n")
    assert client.client == "198.51.100.1"
    assert b"X-Request-Id: " + client.request_id.encode() in out


def test_a_head_in_pieces_gives_the_same_bytes():
    """`consumed` never counts bytes that were kept from earlier calls."""
    client = Downstream(a_gate(), "198.51.100.1")
    for octet in GET[:-1]:
        assert client.head(bytes([octet])) is None
        assert client.has_partial_head
    *_, consumed = forwarded(client, GET[-1:] + b"rest")
    assert consumed == 1
    assert not client.has_partial_head


def test_a_refused_head_is_a_negative_status():
    """The connection code tells refusals from actions by type alone."""
    client = Downstream(a_gate(), "198.51.100.1")
    assert client.head(b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n") == -400
    answer = client.reply(400, close=True)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Host" not in answer
    assert Downstream(a_gate(), "198.51.100.1").head(b"GET / HTTP/3.0\r\n") == -505


def test_body_pieces_pass_through_as_the_same_object():
    """100 MiB bodies must not be copied piece by piece."""
    client = Downstream(a_gate(), "198.51.100.1")
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
    action, _, _, kind, length, _ = forwarded(client, head + b"ab")
    assert action & native.BODY_DONE == 0
    assert (kind, length) == (native.BODY_LENGTH, 8)
    piece = b"cdef"
    passed = client.body(piece)
    assert isinstance(passed, tuple)
    assert passed[0] is piece
    assert passed[1:] == (4, False)
    assert client.body(b"ghijGET") == (b"ghij", 4, True)
    assert client.body(b"GET") == (b"", 0, True)


def test_chunks_are_decoded_and_coded_anew():
    """The client's chunk lines never reach the upstream."""
    client = Downstream(a_gate(), "198.51.100.1")
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    _, _, out, kind, length, consumed = forwarded(client, head + b"1;x\r\na\r\n2\r\nb")
    assert (kind, length) == (native.BODY_CHUNKED, -1)
    assert consumed == len(head) + 12
    assert out.endswith(b"\r\n\r\n2\r\nab\r\n")
    assert client.body(b"c\r\n0\r\nX: y\r\n\r\nGET") == (b"1\r\nc\r\n0\r\n\r\n", 14, True)
    broken = Downstream(a_gate(), "198.51.100.1")
    forwarded(broken, head)
    assert broken.body(b"+1\r\n") == -400


def test_an_answer_is_rendered_and_recorded():
    """One call for a small answer: head, body and counters."""
    segment = Segment.create(1)
    gate = Gate(GateConfig(on_missing="open"), segment, 0)
    client, upstream = Downstream(gate, "198.51.100.1"), Upstream(gate)
    forwarded(client, GET)
    upstream.begin(client)
    out, flags = upstream.data(ANSWER)
    assert flags == native.RESPONSE_BEGUN | native.RESPONSE_DONE | native.REUSE
    assert out.endswith(b"\r\n\r\nbody")
    counters = segment.counters()
    assert (counters["requests"], counters["responses_2xx"], counters["requests_in_flight"]) == (1, 1, 0)
    assert counters["bytes_sent"] == len(out)


def test_answer_pieces_pass_through_as_the_same_object():
    """Streaming costs no copy and no allocation in the codec."""
    gate = a_gate()
    client, upstream = Downstream(gate, "198.51.100.1"), Upstream(gate)
    forwarded(client, GET)
    upstream.begin(client)
    upstream.data(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
    piece = b"abc"
    out, flags = upstream.data(piece)
    assert out is piece
    assert flags == native.RESPONSE_BEGUN
    out, flags = upstream.data(b"defstray")
    assert out == b"def"
    assert flags == native.RESPONSE_BEGUN | native.RESPONSE_DONE


def test_an_idle_upstream_holds_no_client():
    """A pooled connection that kept its last client alive would leak one connection for each."""
    gate = a_gate()
    client, upstream = Downstream(gate, "198.51.100.1"), Upstream(gate)
    before = sys.getrefcount(client)
    for finish in (lambda: upstream.data(ANSWER), upstream.eof, lambda: upstream.data(b"rubbish")):
        forwarded(client, GET)
        upstream.begin(client)
        assert sys.getrefcount(client) == before + 1
        finish()
        assert sys.getrefcount(client) == before
        client.end(502)


def test_bytes_that_nobody_asked_for_are_a_fault():
    """Response-queue poisoning: what arrives on an idle connection must reach nobody."""
    gate = a_gate()
    upstream = Upstream(gate)
    assert upstream.data(ANSWER) == (b"", native.BROKEN)
    client = Downstream(gate, "198.51.100.1")
    forwarded(client, GET)
    upstream.begin(client)
    upstream.data(ANSWER)
    assert upstream.data(ANSWER) == (b"", native.RESPONSE_BEGUN | native.RESPONSE_DONE)
    assert upstream.eof() == (b"", native.RESPONSE_BEGUN | native.RESPONSE_DONE)


def test_a_tunnel_passes_bytes_untouched():
    """After a real 101 the codec is out of the way."""
    gate = a_gate()
    client, upstream = Downstream(gate, "198.51.100.1"), Upstream(gate)
    handshake = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    action, *_ = forwarded(client, handshake)
    assert action & native.UPGRADE
    upstream.begin(client)
    out, flags = upstream.data(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00"
    )
    assert out.endswith(b"\r\n\r\n\x81\x00")
    assert flags & native.TUNNEL
    frame = b"\x81\x01x"
    assert upstream.data(frame)[0] is frame


def test_our_own_answers_need_an_error_status():
    """`reply` is for failures; success belongs to upstreams."""
    client = Downstream(a_gate(), "198.51.100.1")
    forwarded(client, GET)
    with pytest.raises(ValueError, match="200"):
        client.reply(200, close=False)
    answer = client.reply(504, close=False)
    assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert b"connection: close" not in answer


def test_only_bytes_are_taken():
    """A str or a memoryview here would be a mistake of the caller."""
    client = Downstream(a_gate(), "198.51.100.1")
    for wrong in ("GET", memoryview(GET), bytearray(GET), None):
        with pytest.raises(TypeError):
            client.head(wrong)  # type: ignore[arg-type]  # the wrong type is the case


def test_a_codec_may_be_dropped_by_another_thread():
    """Interpreter shutdown and the garbage collector do not ask which thread they run in."""
    client = Downstream(a_gate(), "198.51.100.1")
    holder = [client]
    del client
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
