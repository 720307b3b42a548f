"""A folder of list files -> the entries in it, read independently of the product, ready for the oracle."""

import json
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from pathlib import Path

from tests.e2e.processes import ROOT
from tests.support import oracle
from tests.support.oracle import Listed

# What the product gives a list of a folder that states no scores.
FOLDER_SCORE = 8.0
_PLAIN_NAME = re.compile(r"^(?=.{4,253}$)([a-z0-9-]{1,62}\.)+[a-z][a-z0-9-]*$")


def lists_folder(empty: Path) -> Path:
    """`SENTRA_LISTS`, the folder beside the checkout, or seeded files of the same shape."""
    named = os.environ.get("SENTRA_LISTS")
    if named:
        return Path(named)
    beside = ROOT.parent / "shared/data"
    if beside.is_dir():
        return beside
    _write_seeded(empty)
    return empty


@dataclass
class Entries:
    """By target, so that the oracle's linear scan has only what can cover the subject to look at."""

    by_target: dict[str, list[Listed]] = field(default_factory=dict)
    by_source: dict[str, list[Listed]] = field(default_factory=dict)
    _lengths: dict[int, set[int]] = field(default_factory=lambda: {4: set(), 6: set()})

    def add(self, listed: Listed) -> None:
        self.by_target.setdefault(listed.target, []).append(listed)
        self.by_source.setdefault(listed.sources[0], []).append(listed)
        if listed.kind == "network":
            network = ip_network(listed.target)
            self._lengths[network.version].add(network.prefixlen)

    def verdict(self, subject: str) -> oracle.Said | None:
        return oracle.verdict(list(self._near(subject)), oracle.subject_of(subject), 0)

    def _near(self, subject: str) -> Iterator[Listed]:
        canonical = oracle.subject_of(subject)
        if isinstance(canonical, str):
            labels = canonical.split(".")
            targets = [".".join(labels[start:]) for start in range(len(labels))]
        else:
            lengths = self._lengths[canonical.version]
            targets = [str(ip_network((canonical, length), strict=False)) for length in lengths]
        for target in targets:
            yield from self.by_target.get(target, ())


def read_entries(folder: Path) -> Entries:
    """Only lines that leave no doubt; the product's reader has tests of its own for the others."""
    entries = Entries()
    for path in sorted(folder.rglob("*.*")):
        for listed in _read(path, str(path.relative_to(folder).with_suffix(""))):
            entries.add(listed)
    return entries


def _read(path: Path, source: str) -> Iterator[Listed]:
    if path.suffix == ".json" and path.parent.name == "allow":
        for target in json.loads(path.read_bytes())["list"]:
            yield _known_good(target.removeprefix(".").lower(), source)
        return
    for line in _lines(path) if path.suffix in (".tsv", ".cidr", ".txt") else ():
        target, _, hits = line.partition("\t")
        if path.suffix != ".txt":
            yield _network(target, source, float(hits or FOLDER_SCORE))
        elif _PLAIN_NAME.match(target.lower()):
            yield Listed(target.lower(), "suffix", FOLDER_SCORE, sources=(source,))


def _known_good(target: str, source: str) -> Listed:
    if _PLAIN_NAME.match(target):
        return Listed(target, "suffix", 0.0, "known_good", sources=(source,))
    return _network(target, source, 0.0, "known_good")


def _lines(path: Path) -> Iterator[str]:
    with path.open() as text:
        for line in text:
            if line.strip() and not line.startswith("#"):
                yield line.strip()


def _network(target: str, source: str, score: float, disposition: oracle.Disposition = "block") -> Listed:
    return Listed(str(ip_network(target, strict=False)), "network", score, disposition, sources=(source,))


def _write_seeded(folder: Path) -> None:
    generator = random.Random(7)
    hosts = {str(IPv4Address(generator.getrandbits(32))) for _ in range(60_000)}
    scored = [f"{host}\t{generator.randint(1, 10)}" for host in sorted(hosts)]
    networks4 = {
        str(IPv4Network((generator.getrandbits(32), generator.randint(14, 30)), strict=False))
        for _ in range(5_000)
    }
    networks6 = {
        str(IPv6Network(((0x2A00 << 112) | generator.getrandbits(112), length), strict=False))
        for length in range(29, 65)
        for _ in range(200)
    }
    domains = [
        f"{generator.choice('abcdef')}{number}.{generator.choice(['ads', 'cdn', 'x'])}.example"
        for number in range(100_000)
    ]
    known_good = [target for target in sorted(networks4) if generator.random() < 0.05]
    (folder / "allow").mkdir(parents=True)
    (folder / "ipv4-hosts-hits.tsv").write_text("\n".join(["# seeded", *scored, ""]))
    (folder / "ipv4-datacenter.cidr").write_text("\n".join([*sorted(networks4), ""]))
    (folder / "ipv6-networks.cidr").write_text("\n".join([*sorted(networks6), ""]))
    (folder / "domains.txt").write_text("\n".join([*domains, ""]))
    (folder / "allow/good.json").write_text(json.dumps({"type": "cidr", "list": known_good}))
