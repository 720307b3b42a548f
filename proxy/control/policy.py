"""A wanted change -> the entry it becomes, or PolicyRefused. Pure; binds every write, whoever asks.

The rules protect the service from its own operators (and from whoever holds their token): what must never be
blocked, how wide one entry may be, how long it may live.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from fastmatch._native import canonical_target
from proxy.errors import PolicyRefused
from proxy.settings import Settings
from proxy.settings.types import UpstreamUrl
from proxy.store.records import ManualEntry

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 6890 and its updates: never a client of the open internet, always somebody's own house.
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PRIVATE = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)
# Under a two-letter country domain these are registries' own labels: `co.uk` is as wide as `com`.
_REGISTRY_LABELS = frozenset(
    {"ac", "co", "com", "edu", "gob", "gov", "gouv", "mil", "ne", "net", "nom", "or", "org"}
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The part of the settings that changes are held against."""

    never_block_networks: tuple[tuple[IPNetwork, str], ...]
    never_block_domains: tuple[str, ...]
    minimum_prefix_v4: int = 16
    minimum_prefix_v6: int = 32
    ipv6_host_prefix: int = 64
    maximum_block_ttl_seconds: int = 31_536_000
    maximum_allow_ttl_seconds: int = 31_536_000
    permanent_entries: bool = True
    manual_entry_count: int = 100_000


@dataclass(frozen=True, slots=True)
class Change:
    """What a caller asked for. `target` as typed; `ttl_seconds` None: until removed."""

    target: str
    disposition: str
    author: str
    score: float = 10.0
    reason: str = ""
    ttl_seconds: int | None = None
    categories: tuple[str, ...] = ()
    kind: str | None = None


def rules_from(settings: Settings) -> Rules:
    blocklist = settings.blocklist
    networks = [(text, "loopback") for text in _LOOPBACK]
    if blocklist.never_block_private:
        networks += [(text, "private ranges (blocklist.never_block_private)") for text in _PRIVATE]
    networks += [(text, "edge.trusted_proxies") for text in settings.edge.trusted_proxies]
    domains: list[str] = []
    for text, name in [(item, "blocklist.never_block") for item in blocklist.never_block] + [
        (url.host, "an upstream's own address") for url in _upstream_urls(settings) if url.host
    ]:
        network = _as_network(text)
        if network is None:
            domains.append(text.lower().rstrip("."))
        else:
            networks.append((str(network), name))
    return Rules(
        never_block_networks=tuple((ipaddress.ip_network(text), name) for text, name in networks),
        never_block_domains=tuple(dict.fromkeys(domains)),
        minimum_prefix_v4=blocklist.minimum_prefix_v4,
        minimum_prefix_v6=blocklist.minimum_prefix_v6,
        ipv6_host_prefix=blocklist.ipv6_host_prefix,
        maximum_block_ttl_seconds=blocklist.maximum_block_ttl_seconds,
        maximum_allow_ttl_seconds=blocklist.maximum_allow_ttl_seconds,
        permanent_entries=blocklist.permanent_entries,
        manual_entry_count=blocklist.manual_entry_count,
    )


def _upstream_urls(settings: Settings) -> tuple[UpstreamUrl, ...]:
    targets = (target.url for upstream in settings.upstreams for target in upstream.targets)
    return (settings.upstream.url, *targets)


def plan(change: Change, rules: Rules, *, now: int, live_count: int) -> ManualEntry:
    """The entry that the change becomes.

    Raises PolicyRefused, and ValueError (value and reason) when the target is no address and no domain.
    """
    target, kind = subject(change.target, rules, change.kind)
    if kind == "network":
        _check_network(ipaddress.ip_network(target), change.disposition, rules)
    else:
        _check_domain(target, kind, change.disposition, rules)
    if live_count >= rules.manual_entry_count:
        raise PolicyRefused(
            "blocklist.manual_entry_count",
            f"there are {live_count} manual entries, the limit is {rules.manual_entry_count}",
        )
    return ManualEntry(
        target=target,
        kind=kind,
        disposition=change.disposition,
        origin="operator",
        score=change.score if change.disposition == "block" else 0.0,
        source=f"operator:{change.author}",
        created=now,
        categories=change.categories,
        reason=change.reason,
        expires=_expiry(change, rules, now),
    )


def subject(text: str, rules: Rules, kind: str | None = None) -> tuple[str, str]:
    """(canonical target, entry kind) of what an operator typed; raises ValueError.

    A single IPv6 address becomes its /64: whoever owns one address there owns all of them. `/128` stays.
    """
    target, family = canonical_target(text)
    if family != "network":
        return target, kind or "suffix"
    network = ipaddress.ip_network(target)
    if network.version == 6 and network.prefixlen == 128 and "/" not in text:
        network = network.supernet(new_prefix=rules.ipv6_host_prefix)
    return str(network), "network"


def never_block_entries(rules: Rules) -> Iterable[tuple[str, str]]:
    """(target, name of the rule) that also shield from what feeds say."""
    for network, name in rules.never_block_networks:
        yield str(network), name
    for domain in rules.never_block_domains:
        if "." in domain:
            yield domain, "blocklist.never_block"


def _check_network(network: IPNetwork, disposition: str, rules: Rules) -> None:
    limit = rules.minimum_prefix_v4 if network.version == 4 else rules.minimum_prefix_v6
    if network.prefixlen < limit:
        raise PolicyRefused(
            f"blocklist.minimum_prefix_v{network.version}",
            f"{network} is too wide: the shortest IPv{network.version} prefix for one change is /{limit}",
        )
    if disposition != "block":
        return
    for guarded, name in rules.never_block_networks:
        if guarded.version == network.version and guarded.overlaps(network):
            raise PolicyRefused(
                "blocklist.never_block", f"{network} touches {guarded}, which is never blocked: {name}"
            )


def _check_domain(target: str, kind: str, disposition: str, rules: Rules) -> None:
    labels = target.split(".")
    is_registry = len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _REGISTRY_LABELS
    if len(labels) == 1 or is_registry:
        raise PolicyRefused("public_suffix", f"{target!r} is a whole registry, not one domain")
    if disposition != "block":
        return
    for guarded in rules.never_block_domains:
        is_below = target == guarded or target.endswith(f".{guarded}")
        covers = kind != "exact" and guarded.endswith(f".{target}")
        if is_below or covers:
            raise PolicyRefused(
                "blocklist.never_block", f"{target!r} touches {guarded!r}, which is never blocked"
            )


def _expiry(change: Change, rules: Rules, now: int) -> int | None:
    name = "maximum_block_ttl_seconds" if change.disposition == "block" else "maximum_allow_ttl_seconds"
    limit: int = getattr(rules, name)
    if change.ttl_seconds is None:
        if not rules.permanent_entries:
            raise PolicyRefused(
                "blocklist.permanent_entries", f"an entry needs ttl_seconds of at most {limit}"
            )
        return None
    if change.ttl_seconds > limit:
        raise PolicyRefused(f"blocklist.{name}", f"ttl_seconds is {change.ttl_seconds}, the limit is {limit}")
    return now + change.ttl_seconds


def _as_network(text: str) -> IPNetwork | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None
