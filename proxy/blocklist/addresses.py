"""Addresses and hosts as clients and logs write them -> what a lookup takes."""

import socket

_MAPPED = bytes(10) + b"\xff\xff"


def packed(text: str) -> bytes | None:
    """4 or 16 bytes; a mapped IPv4 address is IPv4, a zone is dropped. None when it is no address."""
    try:
        return socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        pass
    try:
        found = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
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
