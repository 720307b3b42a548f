"""Lists and questions of the lookup bench -> cases, ours and the peers'."""

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from bench import entries, lists
from bench.lists import MILLION, TEN_MILLION
from bench.peers import matchers
from bench.report import Report
from bench.timing import nanoseconds_per_call
from fastmatch import Blocklist

WARM_COUNT = 1000
RANDOM_COUNT = 1_000_000
TEN_MILLION_LIST = "ten-million-hosts"
_SEED = 11

# A trie in Python's hands takes microseconds for a question: fewer passes say the same.
_SLOW_PEERS = frozenset(("py-radix", "pytricia"))


@dataclass(slots=True)
class Case:
    """`measure` gives one value of `metric`, in its unit."""

    subject: str
    name: str
    measure: Callable[[], float]
    metric: str = "ns_per_lookup"
    values: list[float] = field(default_factory=list)


def single(
    subject: str, name: str, call: Callable[[Any], object], arguments: Sequence[object], repeats: int
) -> Case:
    passes = max(1, repeats // 10) if subject in _SLOW_PEERS else repeats
    return Case(subject, name, partial(nanoseconds_per_call, call, arguments, passes))


def address_cases(folder: Path, repeats: int) -> list[Case]:
    """A million hosts: one by one in all forms, and in a batch."""
    chooser = random.Random(_SEED)
    addresses = entries.seeded_addresses(MILLION)
    found = lists.open_list(folder, "million-hosts", lists.address_texts(addresses))
    mixed = half_hits(addresses, WARM_COUNT, chooser)
    texts = [entries.dotted(address) for address in mixed]
    warm = ("ip_str_warm_1e6", texts, repeats)
    cases = [
        *_empty_calls(found, texts, repeats),
        single("sentra", "ip_str_warm_1e6", found.lookup, texts, repeats),
        single("sentra", "ip_int_warm_1e6", found.lookup, mixed, repeats),
    ]
    listed = [entries.dotted(address) for address in addresses]
    for subject, call in (
        ("set", matchers.address_set(listed)),
        ("py-radix", matchers.radix(listed)),
        ("pytricia", matchers.pytricia(listed)),
        ("maxminddb", matchers.maxmind(addresses, folder / "million-hosts.mmdb")),
    ):
        cases.append(single(subject, warm[0], call, warm[1], warm[2]))
    numbers, bitmap = matchers.number_set(addresses), matchers.roaring(addresses)
    cases.append(single("set", "ip_int_warm_1e6", numbers, mixed, repeats))
    cases.append(single("pyroaring", "ip_int_warm_1e6", bitmap, mixed, repeats))
    questions = half_hits(addresses, RANDOM_COUNT, chooser)
    peers = {"set": numbers, "pyroaring": bitmap}
    return cases + _batch_cases("batch_ipv4_1e6", found, questions, peers)


def _empty_calls(found: Blocklist, texts: Sequence[str], repeats: int) -> list[Case]:
    """A call of a lookup's shape that does nothing; and the clock's setter, through PyO3's wrapper."""
    return [
        single("sentra", "empty_call", found._nothing, texts, repeats),
        single("sentra", "empty_call_advance", found.advance, [1] * WARM_COUNT, repeats),
    ]


def ipv6_cases(folder: Path, repeats: int) -> list[Case]:
    chooser = random.Random(_SEED)
    listed = entries.seeded_ipv6(MILLION)
    hits = [text.removesuffix("/64") for text in chooser.sample(listed, WARM_COUNT // 2)]
    misses = [text.removesuffix("/64") for text in entries.seeded_ipv6(WARM_COUNT // 2, seed=99)]
    found = lists.open_list(folder, "million-ipv6", ["\n".join(listed).encode("ascii")])
    questions = hits + misses
    chooser.shuffle(questions)
    return [single("sentra", "ip6_str_warm_1e6", found.lookup, questions, repeats)]


def domain_cases(report: Report, folder: Path, repeats: int) -> list[Case]:
    """Names of three labels below listed names of two, and names that nothing covers."""
    chooser = random.Random(_SEED)
    listed, real_count = lists.domains(MILLION)
    report.settings["domains"] = f"{real_count:,} of the real list, filled up with seeded names"
    below = [f"www.{name}" for name in listed if name.count(".") == 1 and name.isascii()]
    hits = chooser.sample(below, WARM_COUNT)
    others = entries.seeded_domains(4 * WARM_COUNT, seed=98)
    misses = [f"www.{name}" for name in others if name.count(".") == 1][:WARM_COUNT]
    found = lists.open_list(folder, "million-domains", ["\n".join(listed).encode("utf-8")])
    calls = {
        "sentra": found.lookup_domain,
        "set": matchers.suffix_set(listed),
        "marisa-trie": matchers.marisa(listed),
    }
    return [
        single(subject, case, call, questions, repeats)
        for case, questions in (("domain_warm_1e6", hits), ("domain_miss_warm_1e6", misses))
        for subject, call in calls.items()
    ]


def ten_million_cases(folder: Path) -> list[Case]:
    """Ten million hosts, a million different questions: the caches hold neither."""
    chooser = random.Random(_SEED)
    addresses = entries.seeded_addresses(TEN_MILLION)
    found = lists.open_list(folder, TEN_MILLION_LIST, lists.address_texts(addresses))
    questions = half_hits(addresses, RANDOM_COUNT, chooser)
    peers = {"pyroaring": matchers.roaring(addresses)}
    del addresses
    texts = [entries.dotted(address) for address in questions]
    return [
        single("sentra", "ip_str_random_1e7", found.lookup, texts, 1),
        *_batch_cases("batch_ipv4_1e7", found, questions, peers),
    ]


def _batch_cases(
    name: str, found: Blocklist, questions: Sequence[int], peers: dict[str, Callable[[Any], object]]
) -> list[Case]:
    """The peers have no batch: a loop in C over the same numbers is the best that they can be given."""
    packed = array("I", questions)
    answers = bytearray(len(questions))
    calls: dict[str, Callable[[], object]] = {
        "sentra": partial(found.lookup_ipv4_batch, packed, answers),
        **{subject: partial(_mapped_over, call, questions) for subject, call in peers.items()},
    }
    return [
        Case(subject, name, partial(_million_per_second, call, len(questions), passes), "million_per_second")
        for subject, call in calls.items()
        # A peer's pass lasts half a second: what the case before has left in the caches is nothing to it.
        for passes in (5 if subject == "sentra" else 1,)
    ]


def _mapped_over(call: Callable[[Any], object], questions: Sequence[int]) -> list[object]:
    return list(map(call, questions))


def _million_per_second(call: Callable[[], object], count: int, passes: int) -> float:
    """In CPU time of all threads: a batch is long enough to be interrupted, and the figure is of one core."""
    seconds = []
    for _ in range(passes):
        started = process_time()
        call()
        seconds.append(process_time() - started)
    return count / median(seconds) / 1e6


def half_hits(listed: Sequence[int], count: int, chooser: random.Random) -> list[int]:
    """Half of `listed`, half from anywhere, in random order."""
    mixed = [listed[chooser.randrange(len(listed))] for _ in range(count // 2)]
    mixed += [chooser.getrandbits(32) for _ in range(count - len(mixed))]
    chooser.shuffle(mixed)
    return mixed
