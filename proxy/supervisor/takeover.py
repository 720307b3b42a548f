"""A running supervisor -> its sockets, lock and control's place, for the one that follows it."""

import os
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from proxy.errors import ConfigError
from proxy.supervisor import messages
from proxy.supervisor.messages import MessageError
from proxy.supervisor.sockets import Opened

# The old supervisor answers from its loop; only its control's end takes time, which it bounds itself.
_ANSWER_SECONDS = 10.0
_CONTROL_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.01


class Takeover:
    """Until `commit` the old program serves, and goes on serving when we close this without it.

    When the old supervisor dies meanwhile (`is_alone`) there is nobody to go back to: what we hold is the
    service, and the rest is done without it.
    """

    def __init__(
        self,
        endpoint: socket.socket,
        listeners: list[Opened],
        lock_descriptor: int,
        control_process_id: int,
    ) -> None:
        self._endpoint = endpoint
        self._control_process_id = control_process_id
        self.is_alone = False
        self.listeners = listeners
        self.lock_descriptor = lock_descriptor

    @classmethod
    def begin(cls, directory: Path) -> "Takeover":
        """Raises ConfigError when nobody works in this runtime directory or does not hand over."""
        try:
            endpoint = messages.connect(directory, _ANSWER_SECONDS)
        except MessageError as error:
            raise ConfigError(f"nothing to take over: {error}") from error
        listeners: list[Opened] = []
        try:
            messages.send(endpoint, messages.TAKE_OVER, protocol=messages.PROTOCOL_VERSION)
            while (message := messages.receive(endpoint)).kind == messages.SOCKETS:
                listeners += [
                    Opened("", socket.socket(fileno=number), path)
                    for number, path in zip(message.descriptors, message.values["paths"], strict=True)
                ]
            if message.kind != messages.OFFER or len(message.descriptors) != 1:
                raise ConfigError(f"the running supervisor does not hand over: {message.text('reason')}")
        except MessageError as error:
            raise ConfigError(f"the running supervisor does not hand over: {error}") from error
        return cls(endpoint, listeners, message.descriptors[0], message.number("control_process_id"))

    def stop_control(self) -> None:
        """Returns when the old control process has ended: store, admin port and control socket are free.

        Raises ConfigError when that cannot be had.
        """
        self._endpoint.settimeout(_CONTROL_STOP_SECONDS)
        try:
            messages.send(self._endpoint, messages.STOP_CONTROL)
            message = messages.receive(self._endpoint)
        except MessageError:
            self.is_alone = True
        else:
            if message.kind != messages.CONTROL_STOPPED:
                raise ConfigError(f"the running supervisor keeps its control: {message.text('reason')}")
        # Killed with its supervisor, it may be on its way out still.
        deadline = time.monotonic() + _CONTROL_STOP_SECONDS
        while self._control_process_id and _exists(self._control_process_id):
            if time.monotonic() > deadline:
                raise ConfigError(f"control process {self._control_process_id} does not end")
            time.sleep(_POLL_SECONDS)

    def watch(
        self,
        selector: selectors.BaseSelector,
        on_withdrawn: Callable[[str], None],
        on_gone: Callable[[], None],
    ) -> None:
        """From here on the loop hears what the old supervisor says, and when it dies."""

        def hear() -> None:
            try:
                message = messages.receive(self._endpoint)
            except BlockingIOError:
                return
            except MessageError:
                selector.unregister(self._endpoint)
                self.is_alone = True
                on_gone()
                return
            for descriptor in message.descriptors:  # none is wanted any more
                os.close(descriptor)
            if message.kind == messages.WITHDRAWN:
                on_withdrawn(message.text("reason"))

        self._endpoint.setblocking(False)
        selector.register(self._endpoint, selectors.EVENT_READ, hear)

    def commit(self, selector: selectors.BaseSelector) -> None:
        """We serve: the old workers drain now."""
        selector.unregister(self._endpoint)
        self._endpoint.settimeout(_ANSWER_SECONDS)
        with suppress(MessageError):  # it has just died: its workers drain by that
            messages.send(self._endpoint, messages.COMMIT)
        self._endpoint.close()

    def fail(self, reason: str) -> None:
        """We do not serve, and our control has ended: the old supervisor takes its own back."""
        with suppress(MessageError):
            messages.send(self._endpoint, messages.FAILED, reason=reason)


def _exists(process_id: int) -> bool:
    """A zombie has ended: what it held is free, only nobody has asked yet."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
