"""What all connections of one listener share: its configuration, and who may come in."""

import asyncio
from typing import TYPE_CHECKING, Final

from fastmatch._native import Networks
from proxy.edge.certificates import Keyring
from proxy.edge.config import EdgeConfig
from proxy.edge.config_listeners import ListenerConfig
from proxy.edge.timers import turns

if TYPE_CHECKING:  # context.py imports this module
    from proxy.edge.context import Context

# Who comes over a unix socket has no address. Lists cannot block loopback, and nobody else can claim it.
LOCAL_PEER: Final = "127.0.0.1"


def listener_config(name: str, config: EdgeConfig) -> ListenerConfig | None:
    """None: this configuration does not know the listener."""
    if not name:
        return ListenerConfig(name, drop_score=config.drop_score, half_close=config.half_close)
    return next((listener for listener in config.listeners if listener.name == name), None)


class Entrance:
    """Precomputed for `connection_made`; `configure` swaps it. `is_local`: a unix socket. `keyring`: None
    without TLS."""

    __slots__ = (
        "_context",
        "_proxies",
        "config",
        "handshake_turns",
        "is_local",
        "keyring",
        "open_count",
        "proxy_header_turns",
        "serves_half_closed",
    )

    def __init__(
        self, context: "Context", config: ListenerConfig, keyring: Keyring | None, *, is_local: bool
    ) -> None:
        self._context = context
        self.is_local = is_local
        self.open_count = 0
        self.configure(config, keyring)

    def configure(self, config: ListenerConfig, keyring: Keyring | None) -> None:
        self.config = config
        self.handshake_turns = turns(config.handshake_seconds)
        self.proxy_header_turns = turns(config.proxy_header_seconds)
        self._proxies = Networks(config.proxy_protocol_from)
        self.keyring = keyring
        self.serves_half_closed = config.half_close == "serve"

    @property
    def is_full(self) -> bool:
        return 0 < self.config.connection_count <= self.open_count

    def one_more_of(self, address: str) -> bool | None:
        """One more connection of a client, over all workers of the pod. True: counted, `leave` has to be
        told the address; False: there are as many as may be; None: nobody counts it."""
        limit = self.config.connections_per_address
        return self._context.gate.enter(self.config.name, address, limit) if limit else None

    def enter(self) -> None:
        self.open_count += 1

    def leave(self, counted_address: str | None) -> None:
        self.open_count -= 1
        if counted_address is not None:
            self._context.gate.leave(self.config.name, counted_address)

    def sends_header(self, transport: asyncio.BaseTransport) -> str | None:
        """The address of a proxy that has to send a PROXY header; None for whoever may not."""
        if self.is_local:
            return LOCAL_PEER
        peer = transport.get_extra_info("peername")
        return peer[0] if peer is not None and peer[0] in self._proxies else None

    def lets_in(self, address: str) -> bool:
        """By the listener's drop score."""
        return self._context.gate.accept(address, self.config.drop_score)

    def admit(self, transport: asyncio.BaseTransport) -> str | None:
        """The peer's address; None when the connection is to be dropped unread."""
        if self.is_local:
            return LOCAL_PEER
        peer = transport.get_extra_info("peername")
        # A reset that overtook the accept leaves no peer name.
        if peer is None or not self.lets_in(peer[0]):
            return None
        address: str = peer[0]
        return address
