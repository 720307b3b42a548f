"""What a line says about its request -> the addresses and names that the edge would have judged."""

import socket
from collections.abc import Sequence

from fastmatch._native import Blocklist, Entry
from proxy.errors import ConfigError
from proxy.replay.formats import Asked

_MAPPED = bytes(10) + b"\xff\xff"
_MAXIMUM_HOPS = 100


def packed(text: str) -> bytes | None:
    """4 or 16 bytes of an address as logs write it; a mapped IPv4 address is IPv4, a zone is dropped."""
    try:
        return socket.inet_pton(socket.AF_INET, text)
    except OSError:
        pass
    try:
        found = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except OSError:
        return None
    return found[12:] if found.startswith(_MAPPED) else found


def shown(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def without_port(text: str) -> str:
    """`192.0.2.1:443`, `[2001:db8::1]:443`, `host:443`; an IPv6 address without brackets has no port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, colon, _ = text.partition(":")
    return name if colon and text.count(":") == 1 else text


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
