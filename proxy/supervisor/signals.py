"""Signals -> calls on the loop's own turn: nothing of ours runs inside a handler."""

import selectors
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def heard(
    selector: selectors.BaseSelector,
    numbers: Iterable[signal.Signals],
    on_signal: Callable[[signal.Signals], None],
) -> Iterator[None]:
    """Signals arrive as bytes on a socket; each number is passed on once for each byte.

    At the end they are ignored: the process is about to exit and one more must not change its status.
    """
    wanted = tuple(numbers)
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def take() -> None:
        try:
            received = reader.recv(4096)
        except BlockingIOError:
            return
        for number in received:
            on_signal(signal.Signals(number))

    selector.register(reader, selectors.EVENT_READ, take)
    for number in wanted:
        signal.signal(number, lambda *_: None)
    earlier_descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier_descriptor)
        for number in wanted:
            signal.signal(number, signal.SIG_IGN)
        selector.unregister(reader)
        reader.close()
        writer.close()
