"""What a line says about its request -> the client whom the edge would have judged."""

from collections.abc import Sequence

from fastmatch._native import Blocklist, Entry
from proxy.blocklist.addresses import packed, without_port
from proxy.errors import ConfigError
from proxy.replay.formats import Asked

_MAXIMUM_HOPS = 100


class Clients:
    """Peer and X-Forwarded-For -> the client: from the right, over trusted proxies, as the edge does it."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        """Raises ConfigError."""
        try:
            entries = [Entry(network, score=1) for network in trusted]
        except ValueError as error:
            raise ConfigError(f"--trusted: {error}") from error
        if any(entry.kind != "network" for entry in entries):
            raise ConfigError(f"--trusted {' '.join(trusted)}: give networks such as 10.0.0.0/8")
        self._trusted = Blocklist.from_entries(entries) if entries else None

    def of(self, asked: Asked) -> bytes | None:
        """None when there is none that can be read."""
        if self._trusted is None and asked.peer:
            return packed(without_port(asked.peer))
        hops = asked.forwarded.split(",", _MAXIMUM_HOPS) if asked.forwarded else []
        if asked.peer:
            hops.append(asked.peer)
        found: bytes | None = None
        for hop in reversed(hops):
            found = packed(without_port(hop.strip()))
            if found is None or self._trusted is None or found not in self._trusted:
                break
        return found
