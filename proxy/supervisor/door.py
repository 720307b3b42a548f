"""`supervisor.sock` -> messages of whoever may ask something of this supervisor."""

import os
import selectors
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from proxy.supervisor import messages
from proxy.supervisor.messages import Message, MessageError

# Commands are rare; more than these at a time is a mistake or an attack by our own user.
_VISITOR_COUNT = 16
# Packets are small and few; a visitor that does not take them is not waited for.
_SEND_SECONDS = 1.0


class Visitor:
    """One connection. `is_open` turns False once and for ever."""

    __slots__ = ("_endpoint", "_selector", "is_open")

    def __init__(self, endpoint: socket.socket, selector: selectors.BaseSelector) -> None:
        self._endpoint = endpoint
        self._selector = selector
        self.is_open = True

    @property
    def process_id(self) -> int:
        return messages.peer_process_id(self._endpoint)

    def send(self, kind: str, descriptors: Sequence[int] = (), **values: messages.Value) -> None:
        """One that has gone, or does not read, is shown out."""
        if not self.is_open:
            return
        try:
            self._endpoint.settimeout(_SEND_SECONDS)
            messages.send(self._endpoint, kind, descriptors, **values)
            self._endpoint.settimeout(0.0)
        except MessageError:
            self.close()

    def receive(self) -> Message | None:
        """None when nothing is there. Raises MessageError at the end."""
        try:
            return messages.receive(self._endpoint)
        except BlockingIOError:
            return None

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._selector.unregister(self._endpoint)
            self._endpoint.close()


class Door:
    """`on_message` is called for each message, `on_gone` once when a visitor has left by itself."""

    def __init__(
        self,
        directory: Path,
        selector: selectors.BaseSelector,
        on_message: Callable[[Visitor, Message], None],
        on_gone: Callable[[Visitor], None],
    ) -> None:
        self._path = directory / messages.SOCKET_NAME
        self._selector = selector
        self._on_message = on_message
        self._on_gone = on_gone
        self._listener: socket.socket | None = None
        self._inode = 0
        self._visitors: set[Visitor] = set()

    def open(self) -> None:
        """In the place of one that an earlier supervisor has left, or still listens on. Raises OSError."""
        aside = self._path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.setblocking(False)
            mask = os.umask(0o177)
            try:
                listener.bind(str(aside))
            finally:
                os.umask(mask)
            listener.listen(_VISITOR_COUNT)
            self._inode = aside.stat().st_ino
            aside.rename(self._path)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, self._let_in)

    def close(self) -> None:
        """The file goes too, unless it is our successor's by now."""
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            with suppress(OSError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()
        for visitor in tuple(self._visitors):
            visitor.close()
        self._visitors.clear()

    def _let_in(self) -> None:
        if self._listener is None:
            return
        with suppress(OSError):  # gone before it was let in
            endpoint, _ = self._listener.accept()
            endpoint.setblocking(False)
            self._visitors = {visitor for visitor in self._visitors if visitor.is_open}
            if len(self._visitors) >= _VISITOR_COUNT or not messages.is_own_user(endpoint):
                endpoint.close()
                return
            visitor = Visitor(endpoint, self._selector)
            self._visitors.add(visitor)
            self._selector.register(endpoint, selectors.EVENT_READ, lambda: self._hear(visitor))

    def _hear(self, visitor: Visitor) -> None:
        if not visitor.is_open:
            return  # shown out by what was heard in the same turn
        try:
            message = visitor.receive()
        except MessageError:
            visitor.close()
            self._visitors.discard(visitor)
            self._on_gone(visitor)
            return
        if message is not None:
            for descriptor in message.descriptors:  # none is ever wanted here
                os.close(descriptor)
            self._on_message(visitor, message)
