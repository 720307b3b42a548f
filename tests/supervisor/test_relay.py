"""Lines from children's pipes to ours: whole, in order, never blocking the supervisor."""

import os
import selectors

import pytest

from proxy.supervisor.relay import ChildOutput, Output


class Turns:
    """Runs the selector as the supervisor's loop does, until nothing is ready."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector

    def run(self) -> None:
        while ready := self._selector.select(0):
            for key, _ in ready:
                key.data()


@pytest.fixture
def selector():
    with selectors.DefaultSelector() as opened:
        yield opened


@pytest.fixture
def target():
    """(read end, write end) of the pipe that plays our log."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def source():
    """(file to relay from, descriptor to write as the child)."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        yield pipe, writer
    os.close(writer)


def read_all(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 20)
    except BlockingIOError:
        return b""


def test_ready_line_is_reported_once_and_all_else_is_relayed(selector, target, source):
    """A later line that begins with the word is a line like others."""
    reports = []
    ChildOutput(source[0], Output(selector, target[1]), selector, lambda: reports.append(1))
    os.write(source[1], b"before\nready slot=0\nafter\nready again\n")
    Turns(selector).run()
    assert reports == [1]
    assert read_all(target[0]) == b"before\nafter\nready again\n"


def test_half_a_line_waits_for_its_end(selector, target, source):
    """Two children must not write into one line."""
    ChildOutput(source[0], Output(selector, target[1]), selector, lambda: None)
    os.write(source[1], b"first\nsec")
    Turns(selector).run()
    assert read_all(target[0]) == b"first\n"
    os.write(source[1], b"ond\n")
    Turns(selector).run()
    assert read_all(target[0]) == b"second\n"


def test_last_words_of_a_dead_child_are_relayed(selector, target, source):
    """The end of a crash report often has no newline."""
    output = ChildOutput(source[0], Output(selector, target[1]), selector, lambda: None)
    os.write(source[1], b"said at the end")
    output.close()
    Turns(selector).run()
    assert read_all(target[0]) == b"said at the end\n"


def test_reader_that_takes_nothing_pauses_children_and_loses_no_line(selector, target, source):
    """A stopped terminal must not stop the supervisor."""
    output = Output(selector, target[1])
    child = ChildOutput(source[0], output, selector, lambda: None)
    line = b"x" * 1023 + b"\n"
    sent = received = 0
    while not output.is_full:
        sent += os.write(source[1], line)
        Turns(selector).run()
    assert sent > 200_000
    while data := read_all(target[0]):
        received += len(data)
        Turns(selector).run()
        child.resume()
    assert received == sent


def test_reader_that_has_gone_is_forgotten(selector, source):
    """`sentra-proxy run 2>&1 | head` goes on serving."""
    reader, writer = os.pipe()
    os.close(reader)
    output = Output(selector, writer)
    ChildOutput(source[0], output, selector, lambda: None)
    os.write(source[1], b"line\n" * 10)
    Turns(selector).run()
    os.write(source[1], b"line\n")
    Turns(selector).run()
    os.close(writer)
    assert not output.is_full
