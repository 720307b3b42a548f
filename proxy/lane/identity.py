"""Peer address and forwarding fields -> the client's own address, and what the upstream is told about it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from proxy.lane.errors import RequestError

Address = IPv4Address | IPv6Address


class TrustedProxies:
    """Networks whose word about forwarded addresses counts. Parsed strictly: a typo stops the start."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(network) for network in networks
        )

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks)


def canonical(text: str) -> Address:
    """Zone dropped, mapped IPv4 unmapped. Raises ValueError."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def identify(peer: str, fields: Iterable[tuple[bytes, bytes]], trusted: TrustedProxies) -> str:
    """The client's own address, as far as we may believe it.

    Walks all X-Forwarded-For lines right to left and stops at the first address that is not one of ours. An
    untrusted peer's fields are ignored. Raises RequestError(400) when a trusted peer sent something
    unparsable: we fail closed.
    """
    address = canonical(peer)
    if not trusted or address not in trusted:
        return str(address)
    lines = [value for name, value in fields if name.lower() == b"x-forwarded-for"]
    for element in reversed(b",".join(lines).split(b",") if lines else []):
        address = _parse_element(element)
        if address not in trusted:
            break
    return str(address)


def _parse_element(element: bytes) -> Address:
    text = element.strip(b" \t").decode("ascii", "replace")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return canonical(text)
    except ValueError as error:
        raise RequestError(400) from error


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What the upstream is told. Values are ours, never copied from an untrusted client."""

    via: bytes
    peer: str
    client: str
    peer_is_trusted: bool
    scheme: str
    extra: tuple[tuple[bytes, bytes], ...] = ()

    def fields(
        self, hops: Sequence[bytes], host: bytes, named: Collection[bytes]
    ) -> list[tuple[bytes, bytes]]:
        """`hops`: X-Forwarded-For lines of a trusted peer; `named`: which of its other forwarded fields
        stay.
        """
        fields = [(b"X-Forwarded-For", b", ".join([*hops, self.peer.encode("ascii")]))]
        if b"x-forwarded-proto" not in named:
            fields.append((b"X-Forwarded-Proto", self.scheme.encode("ascii")))
        if b"x-forwarded-host" not in named:
            fields.append((b"X-Forwarded-Host", host))
        fields.append((b"X-Real-IP", self.client.encode("ascii")))
        fields.extend(self.extra)
        return fields

    def is_own_via(self, value: bytes) -> bool:
        """True when our own token is among the hops: the request has been here before (RFC 9110 section
        7.6.3).
        """
        own = self.via.lower()
        return any(hop.split()[1:2] == [own] for hop in value.lower().split(b","))
