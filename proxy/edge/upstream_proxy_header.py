"""A client's address -> the PROXY protocol header that tells it to an upstream. Pure.

HAProxy's proxy-protocol.txt, sections 2.1 and 2.2.
"""

import ipaddress
import struct
from typing import Any, Final, Literal

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_VERSION_AND_PROXY: Final = 0x21
_TCP_OVER_IPV4: Final = 0x11
_TCP_OVER_IPV6: Final = 0x21

Version = Literal["v1", "v2"]
Endpoint = tuple[str, int]


def header(version: Version, source: Endpoint, destination: Endpoint) -> bytes:
    """Both addresses in one family: one of IPv4 is mapped when the other is of IPv6. Port 0: not known.

    Raises ValueError when an address is none.
    """
    first, second = ipaddress.ip_address(source[0]), ipaddress.ip_address(destination[0])
    if first.version != second.version:
        first, second = _mapped(first), _mapped(second)
    ports = source[1], destination[1]
    if version == "v1":
        family = "TCP4" if first.version == 4 else "TCP6"
        return f"PROXY {family} {first} {second} {ports[0]} {ports[1]}\r\n".encode("ascii")
    addresses = first.packed + second.packed + struct.pack("!HH", *ports)
    family_byte = _TCP_OVER_IPV4 if first.version == 4 else _TCP_OVER_IPV6
    return _SIGNATURE + struct.pack("!BBH", _VERSION_AND_PROXY, family_byte, len(addresses)) + addresses


def _mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address
    return ipaddress.IPv6Address(f"::ffff:{address}")


def endpoints(client: str, peer: Any, local: Any) -> tuple[Endpoint, Endpoint]:  # noqa: ANN401 - as the socket says
    """`client`: its own address as far as it is believed; `peer` and `local` as the socket names them.

    The port is known only when the client itself is connected. On a unix socket nothing is known of our side.
    """
    port = peer[1] if isinstance(peer, tuple) and _plain(peer[0]) == client else 0
    if not isinstance(local, tuple):
        return (client, port), ("::" if ":" in client else "0.0.0.0", 0)
    return (client, port), (_plain(local[0]), local[1])


def _plain(address: str) -> str:
    """As the codec writes addresses: unmapped, without a zone."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
