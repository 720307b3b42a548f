"""The one rule for verdicts as a linear scan: slow, obvious, and what the compiled lists are held against.

Shares no code with them: addresses are the standard library's, names are strings, time is an argument.
"""

from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

Kind = Literal["network", "exact", "suffix", "below"]
Disposition = Literal["block", "allow", "known_good", "tombstone"]
Origin = Literal["feed", "operator", "incident"]
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# disposition, score, sources, categories
Said = tuple[str, float, tuple[str, ...], tuple[str, ...]]

_DISPOSITION_RANKS = {"allow": 0, "known_good": 1, "block": 2}
_ORIGIN_RANKS = {"operator": 0, "incident": 1, "feed": 2}
_RULE_RANKS = {"suffix": 0, "below": 1, "exact": 2}


@dataclass(frozen=True)
class Listed:
    """One entry as a person writes it down."""

    target: str
    kind: Kind
    score: float = 8.0
    disposition: Disposition = "block"
    origin: Origin = "feed"
    sources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    expires: int | None = None


@dataclass(frozen=True)
class Covered:
    listed: Listed
    is_live: bool
    is_vetoed: bool
    decided: bool


def address_of(text: str) -> Address:
    """Mapped IPv4 is IPv4, a zone is dropped."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@cache
def network_of(text: str) -> Network:
    """A network inside the mapped range is an IPv4 network."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network((mapped, network.prefixlen - 96))
    return network


def name_of(text: str) -> str:
    """For ASCII names; UTS-46 is not re-made here."""
    return text.lower().removesuffix(".")


def subject_of(text: str) -> Address | str:
    try:
        return address_of(text)
    except ValueError:
        return name_of(text)


def covers(listed: Listed, subject: Address | str) -> bool:
    if listed.kind == "network":
        return not isinstance(subject, str) and subject in network_of(listed.target)
    if not isinstance(subject, str):
        return False
    name = name_of(listed.target)
    is_below = subject.endswith("." + name)
    return {"exact": subject == name, "suffix": subject == name or is_below, "below": is_below}[listed.kind]


def specificity(listed: Listed) -> tuple[int, int]:
    if listed.kind == "network":
        return (network_of(listed.target).prefixlen, 0)
    return (name_of(listed.target).count(".") + 1, _RULE_RANKS[listed.kind])


def strength(listed: Listed) -> tuple[object, ...]:
    """Sorts the strongest first; what lives longer goes before its equal."""
    is_block = listed.disposition == "block"
    labels, rule = specificity(listed)
    return (
        _DISPOSITION_RANKS[listed.disposition],
        -listed.score if is_block else 0,
        (-labels, -rule),
        _ORIGIN_RANKS[listed.origin],
        tuple(sorted(set(listed.sources))),
        tuple(sorted(set(listed.categories))),
        -(listed.expires or 2**32),
    )


def explain(entries: list[Listed], subject: Address | str, now: int) -> list[Covered]:
    covering = sorted({listed for listed in entries if covers(listed, subject)}, key=strength)
    is_known_good = any(listed.disposition == "known_good" for listed in covering)
    explained: list[Covered] = []
    for listed in covering:
        is_live = listed.expires is None or listed.expires > now
        is_vetoed = is_known_good and listed.origin == "feed" and listed.disposition == "block"
        can_decide = is_live and not is_vetoed and listed.disposition != "known_good"
        decided = can_decide and not any(earlier.decided for earlier in explained)
        explained.append(Covered(listed, is_live, is_vetoed, decided))
    return explained


def removes(tombstone: Listed, listed: Listed) -> bool:
    same = (tombstone.kind, tombstone.origin) == (listed.kind, listed.origin)
    target_of = network_of if listed.kind == "network" else name_of
    return (
        same
        and target_of(tombstone.target) == target_of(listed.target)
        and (not tombstone.sources or set(listed.sources) <= set(tombstone.sources))
    )


def remaining(base: list[Listed], overlay: list[Listed]) -> list[Listed]:
    """What a list says that is rebuilt from base and overlay: a tombstone removes from the base alone."""
    tombstones = [listed for listed in overlay if listed.disposition == "tombstone"]
    kept = [listed for listed in base if not any(removes(tombstone, listed) for tombstone in tombstones)]
    return kept + [listed for listed in overlay if listed.disposition != "tombstone"]


def verdict(entries: list[Listed], subject: Address | str, now: int) -> Said | None:
    """What the entry says that decides."""
    for covered in explain(entries, subject, now):
        if covered.decided:
            listed = covered.listed
            score = listed.score if listed.disposition == "block" else 0.0
            return (
                listed.disposition,
                score,
                tuple(sorted(set(listed.sources))),
                tuple(sorted(set(listed.categories))),
            )
    return None
