"""Seeded lists of the shape of published ones, or the real ones from the folder that `SENTRA_LISTS` names."""

import os
import random
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_SEED = 7
_FIRST_SPECIAL = 224 << 24
_SPECIAL = frozenset((0, 10, 127))


def seeded_addresses(count: int, seed: int = _SEED) -> list[int]:
    """Distinct IPv4 hosts, spread over the address space as published hosts are: few of them neighbours.

    Counting numbers through a bijective mix of 32 bits (MurmurHash3's last step): no set of what was seen is
    needed. None in 0/8, 10/8, 127/8 or above 223: a list that blocks loopback would deny the load.
    """
    found: list[int] = []
    counter = seed << 24
    while len(found) < count:
        value = counter & 0xFFFFFFFF
        counter += 1
        value = (value ^ value >> 16) * 0x85EBCA6B & 0xFFFFFFFF
        value = (value ^ value >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
        value ^= value >> 16
        if value < _FIRST_SPECIAL and value >> 24 not in _SPECIAL:
            found.append(value)
    return found


def dotted(address: int) -> str:
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def seeded_ipv6(count: int, seed: int = _SEED) -> list[str]:
    """Half /64 networks, half hosts, under 2000::/3."""
    chooser = random.Random(seed + 1)
    found: set[str] = set()
    while len(found) < count:
        value = (0b001 << 125) | chooser.getrandbits(125)
        if len(found) % 2:
            found.add(f"{_ipv6_text(value >> 64 << 64)}/64")
        else:
            found.add(_ipv6_text(value))
    return sorted(found)


def _ipv6_text(value: int) -> str:
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16, "big"))


def seeded_domains(count: int, seed: int = _SEED) -> list[str]:
    """Names of two to four labels with the lengths of published lists (median near 20 characters)."""
    chooser = random.Random(seed + 2)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    endings = ("com", "net", "org", "info", "ru", "cn", "xyz", "top", "co.uk", "com.br")
    found: set[str] = set()
    while len(found) < count:
        labels = ["".join(chooser.choices(letters, k=chooser.randint(4, 14)))]
        if chooser.random() < 0.4:
            labels.insert(0, "".join(chooser.choices(letters, k=chooser.randint(2, 8))))
        found.add(".".join([*labels, chooser.choice(endings)]))
    return sorted(found)


@dataclass(frozen=True, slots=True)
class ListText:
    """One list file as it is published; `text` has a line per entry."""

    source: str
    text: bytes
    score: float


def address_text(addresses: Iterable[int]) -> bytes:
    return "\n".join(map(dotted, addresses)).encode("ascii")


def mixed_lists(count: int) -> Sequence[ListText]:
    """Six in ten IPv4 hosts, one IPv4 networks of /24, one IPv6, two domains; five sources, a score each."""
    tenth = count // 10
    hosts = seeded_addresses(count - 4 * tenth)
    networks = {address >> 8 for address in seeded_addresses(2 * tenth, seed=23)}
    chosen = sorted(networks)[:tenth]
    half = len(hosts) // 2
    return (
        ListText("bench-hosts", address_text(hosts[:half]), 8.0),
        ListText("bench-scanners", address_text(hosts[half:]), 5.5),
        ListText("bench-networks", "\n".join(f"{dotted(at << 8)}/24" for at in chosen).encode("ascii"), 6.0),
        ListText("bench-ipv6", "\n".join(seeded_ipv6(tenth)).encode("ascii"), 7.0),
        ListText("bench-domains", "\n".join(seeded_domains(2 * tenth)).encode("ascii"), 9.0),
    )


def write_addresses(path: Path, count: int) -> Path:
    """A plain list file of seeded hosts."""
    with path.open("w", encoding="ascii") as target:
        target.writelines(f"{dotted(address)}\n" for address in seeded_addresses(count))
    return path


def real_lists() -> Path | None:
    """The folder of real lists; None when there is none, then seeded data stands in."""
    named = os.environ.get("SENTRA_LISTS")
    folder = Path(named) if named else None
    return folder if folder is not None and folder.is_dir() else None


def real_domains(folder: Path) -> Iterator[str]:
    for line in (folder / "domains.txt").read_text(encoding="utf-8", errors="replace").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            yield text
