"""Lists of real size in the whole program: what they name is denied and explained, all else passes."""

import json
import random
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.e2e.conftest import EdgeMaker
from tests.e2e.lists import Entries, lists_folder, read_entries
from tests.e2e.load import Client
from tests.e2e.processes import Edge, ask
from tests.support.oracle import Listed

_SAMPLES = 1000
_BLOCK_SCORE = 7.0
_LOOKUPS_AT_ONCE = 100

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lists_folder(tmp_path_factory.mktemp("lists") / "seeded")


@pytest.fixture(scope="module")
def entries(folder: Path) -> Entries:
    return read_entries(folder)


@pytest.fixture
def listed_edge(folder: Path, make_edge: EdgeMaker, gateway_port: int) -> Edge:
    edge = make_edge(gateway_port, more=f"[blocklist]\nfolder = {json.dumps(str(folder.absolute()))}\n")
    edge.start()
    return edge


def subject_in(listed: Listed, generator: random.Random) -> str:
    """The name itself, or any address of the network."""
    if listed.kind != "network":
        return listed.target
    network = ip_network(listed.target)
    return str(network[generator.randrange(network.num_addresses)])


def is_public(subject: str) -> bool:
    """The product shields private ranges from every list, whatever it says."""
    try:
        address = ip_address(subject)
    except ValueError:
        return True
    return address.is_global and not address.is_multicast


def blocked_subjects(entries: Entries, generator: random.Random) -> Iterator[str]:
    """From every list in turn, what the oracle says is to be denied."""
    lists = [generator.sample(listed, len(listed)) for listed in entries.by_source.values()]
    while True:
        for listed in lists:
            if not listed:
                continue
            subject = subject_in(listed.pop(), generator)
            said = entries.verdict(subject)
            if is_public(subject) and said is not None and said[0] == "block" and said[1] >= _BLOCK_SCORE:
                yield subject


def clean_subjects(entries: Entries, generator: random.Random) -> Iterator[str]:
    """Random addresses, and the neighbours of listed networks, that the oracle calls clean."""
    networks = [
        ip_network(listed.target)
        for source in entries.by_source.values()
        for listed in generator.sample(source, min(len(source), _SAMPLES))
        if listed.kind == "network"
    ]
    while True:
        network = generator.choice(networks)
        last = int(network.broadcast_address)
        for number in (generator.getrandbits(32), min(last + 1, 2**network.max_prefixlen - 1)):
            address = ip_address(number) if number < 2**32 else type(network.network_address)(number)
            if is_public(str(address)) and entries.verdict(str(address)) is None:
                yield str(address)


async def status_of(client: Client, subject: str) -> int:
    """As a client address, or as the name that is asked for."""
    try:
        ip_address(subject)
    except ValueError:
        return (await client.get(host=subject))[0]
    return (await client.get(client=subject))[0]


async def test_sampled_entries_are_denied_and_lookup_names_their_list(listed_edge: Edge, entries: Entries):
    """Every list file, up to the tenth of a million entries of each, by the oracle's word."""
    generator = random.Random(11)
    source = blocked_subjects(entries, generator)
    subjects = list(dict.fromkeys(next(source) for _ in range(_SAMPLES + 50)))[:_SAMPLES]
    assert len(subjects) == _SAMPLES
    async with Client(listed_edge.port) as client:
        passed = [subject for subject in subjects if await status_of(client, subject) != 403]
    assert passed == []
    for start in range(0, _SAMPLES, _LOOKUPS_AT_ONCE):
        body = json.dumps({"targets": subjects[start : start + _LOOKUPS_AT_ONCE]}).encode()
        headers = {"Content-Type": "application/json"}
        answer = ask(listed_edge.admin_port, "/v1/lookup", method="POST", headers=headers, body=body).json()
        for result in answer["results"]:
            said = entries.verdict(result["target"].partition("/")[0])
            assert said is not None
            deciding = next(item for item in result["explain"] if item["decided"])
            assert result["would_deny"], result
            assert set(said[2]) <= set(deciding["sources"]), result


async def test_clean_addresses_are_forwarded(listed_edge: Edge, entries: Entries):
    """Nobody is denied by accident: random addresses, and those right beside a listed network."""
    source = clean_subjects(entries, random.Random(12))
    subjects = [next(source) for _ in range(_SAMPLES)]
    async with Client(listed_edge.port) as client:
        denied = [subject for subject in subjects if await status_of(client, subject) != 200]
    assert denied == []
