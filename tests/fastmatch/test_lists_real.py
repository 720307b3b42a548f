"""Lists of real size: those in the folder `SENTRA_LISTS`, otherwise seeded ones of the same shape."""

import os
import random
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path

import pytest

from fastmatch import Blocklist, Builder

SAMPLES = 1000


def seeded(name: str) -> bytes:
    """Hosts spread over the address space, networks side by side, domains with two to four labels."""
    generator = random.Random(7)
    if name == "ipv4-hosts-hits.tsv":
        hosts = {str(IPv4Address(generator.getrandbits(32))) for _ in range(60_000)}
        lines = [f"{host}\t{generator.randint(1, 10)}" for host in sorted(hosts)]
    elif name == "ipv4-datacenter.cidr":
        networks = {(generator.getrandbits(24) << 8, generator.randint(16, 32)) for _ in range(20_000)}
        lines = sorted({str(IPv4Network((start, length), strict=False)) for start, length in networks})
    else:
        words = [
            "-".join(generator.choices(["ad", "cdn", "x", "track"], k=3)) + str(n) for n in range(100_000)
        ]
        lines = [
            ".".join([word, *generator.choices(["a", "b", "com"], k=generator.randint(1, 3))])
            for word in words
        ]
    return "\n".join(["# seeded", *lines, ""]).encode()


def content(name: str) -> bytes:
    folder = os.environ.get("SENTRA_LISTS")
    path = Path(folder, name) if folder else None
    return path.read_bytes() if path is not None and path.exists() else seeded(name)


@pytest.fixture(scope="module")
def lists():
    return {name: content(name) for name in ("ipv4-hosts-hits.tsv", "ipv4-datacenter.cidr", "domains.txt")}


@pytest.fixture(scope="module")
def blocklist(lists, tmp_path_factory):
    builder = Builder()
    reports = [
        builder.add_text(
            lists["ipv4-hosts-hits.tsv"],
            format="csv",
            source="hosts",
            score=1,
            delimiter="\t",
            score_column=1,
            score_map=[(1, 3), (3, 6), (6, 9)],
        ),
        builder.add_text(lists["ipv4-datacenter.cidr"], format="netset", source="networks", score=5),
        builder.add_text(lists["domains.txt"], format="plain", source="domains", score=8),
    ]
    assert [report.rejected_count for report in reports] == [0, 0, 0]
    folder = tmp_path_factory.mktemp("lists")
    paths = str(folder / "d"), str(folder / "e")
    builder.write(*paths)
    return Blocklist.open(*paths)


def stated(text: bytes) -> list[str]:
    return [line for line in text.decode().splitlines() if line and not line.startswith("#")]


def test_sampled_hosts_have_the_score_of_their_column(blocklist, lists):
    """A network that holds the host may score higher, never lower."""
    generator = random.Random(1)
    for line in generator.sample(stated(lists["ipv4-hosts-hits.tsv"]), SAMPLES):
        host, hits = line.split("\t")
        score = 3 if int(hits) < 3 else 6 if int(hits) < 6 else 9
        assert blocklist[host].score >= score
        explained = {covering.entry.sources for covering in blocklist.explain(host).covering}
        assert ("hosts",) in explained


def test_addresses_that_no_list_names_are_clean_and_the_others_are_not(blocklist, lists):
    """Against sets of networks by length: random addresses, and neighbours of listed ones."""
    generator = random.Random(2)
    hosts = stated(lists["ipv4-hosts-hits.tsv"])
    networks = [ip_network(line.partition("\t")[0]) for line in hosts + stated(lists["ipv4-datacenter.cidr"])]
    by_length: dict[int, set[int]] = {}
    for network in networks:
        by_length.setdefault(network.prefixlen, set()).add(int(network.network_address))
    asked = [generator.getrandbits(32) for _ in range(SAMPLES)]
    asked += [
        int(network.network_address) - 1 & 0xFFFFFFFF for network in generator.sample(networks, SAMPLES)
    ]
    asked += [
        int(network.broadcast_address) + 1 & 0xFFFFFFFF for network in generator.sample(networks, SAMPLES)
    ]
    for address in asked:
        is_listed = any(
            address >> 32 - length << 32 - length in starts for length, starts in by_length.items()
        )
        assert (address in blocklist) == is_listed, IPv4Address(address)


def test_sampled_domains_cover_what_is_below_and_not_what_is_beside(blocklist, lists):
    """Against a set of names and the suffixes of the one asked for."""
    generator = random.Random(3)
    names = {name.lower().removesuffix(".") for name in stated(lists["domains.txt"])}
    for name in generator.sample(sorted(names), SAMPLES):
        for asked in (name, f"www.{name}", f"x{name}", name.partition(".")[2] or "x"):
            labels = asked.split(".")
            is_listed = any(".".join(labels[start:]) in names for start in range(len(labels)))
            assert (blocklist.lookup_domain(asked) is not None) == is_listed, asked
