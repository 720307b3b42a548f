"""One lookup from Python: address or name in, verdict out; beside an empty call, memory's own latency and
peers.
"""

import importlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import entries
from bench.report import Report, Row
from bench.statistics import median_with_interval, ratio_of_rounds
from bench.timing import RandomRead, nanoseconds_per_call, pin_to_subject_core
from fastmatch import Blocklist, Builder

MILLION = 1_000_000
WARM_COUNT = 1000
RANDOM_COUNT = 1_000_000
_SEED = 11


@dataclass(slots=True)
class Case:
    """`hit_share` of the arguments are on the list."""

    subject: str
    name: str
    call: Callable[[Any], object]
    arguments: Sequence[object]
    repeats: int
    values: list[float] = field(default_factory=list)


def run(*, is_quick: bool) -> Report:
    rounds = 3 if is_quick else 10
    report = Report(
        "lookup",
        {
            "rounds": rounds,
            "warm set": f"{WARM_COUNT} arguments, half of them on the list",
            "loop": "taken off",
        },
    )
    pin_to_subject_core()
    repeats = 30 if is_quick else 200
    cases = warm_cases(report, repeats)
    measure(report, cases, rounds)
    add_ratios(report, cases)
    if not is_quick:
        measure_random(report, cases, rounds)
    return report


def warm_cases(report: Report, repeats: int) -> list[Case]:
    chooser = random.Random(_SEED)
    addresses = entries.seeded_addresses(MILLION)
    mixed = _half_hits(addresses, [chooser.getrandbits(32) for _ in range(WARM_COUNT)], chooser)
    texts = [entries.dotted(address) for address in mixed]
    hosts = _list_of("\n".join(map(entries.dotted, addresses)))
    cases = [
        # The clock's setter does nothing but take its argument: the nearest there is to an empty call.
        Case("sentra", "empty_call", hosts.advance, [1] * WARM_COUNT, repeats),
        Case("sentra", "ip_str_warm_1e6", hosts.lookup, texts, repeats),
        Case("sentra", "ip_int_warm_1e6", hosts.lookup, mixed, repeats),
    ]
    cases += _ipv6_cases(chooser, repeats)
    cases += _domain_cases(report, chooser, repeats)
    cases += _peers(report, addresses, mixed, texts, repeats)
    return cases


def _ipv6_cases(chooser: random.Random, repeats: int) -> list[Case]:
    listed = entries.seeded_ipv6(MILLION)
    hits = [text.removesuffix("/64") for text in chooser.sample(listed, WARM_COUNT // 2)]
    misses = [text.removesuffix("/64") for text in entries.seeded_ipv6(WARM_COUNT // 2, seed=99)]
    found = _list_of("\n".join(listed))
    return [Case("sentra", "ip6_str_warm_1e6", found.lookup, _shuffled(hits + misses, chooser), repeats)]


def _domain_cases(report: Report, chooser: random.Random, repeats: int) -> list[Case]:
    folder = entries.real_lists()
    listed = list(entries.real_domains(folder))[:MILLION] if folder else []
    report.settings["domains"] = f"{len(listed):,} of the real list, filled up with seeded names"
    listed += entries.seeded_domains(MILLION - len(listed))
    hits = [f"www.{name}" for name in listed if name.count(".") == 1]
    misses = [
        f"www.{name}" for name in entries.seeded_domains(4 * WARM_COUNT, seed=98) if name.count(".") == 1
    ]
    found = _list_of("\n".join(listed))
    return [
        Case("sentra", "domain_warm_1e6", found.lookup_domain, chooser.sample(hits, WARM_COUNT), repeats),
        Case("sentra", "domain_miss_warm_1e6", found.lookup_domain, misses[:WARM_COUNT], repeats),
    ]


def _peers(
    report: Report, addresses: list[int], mixed: list[int], texts: list[str], repeats: int
) -> list[Case]:
    """What Python programs use for this today. Values differ in richness: a set knows no networks and no
    scores.
    """
    numbers = frozenset(addresses)
    names = frozenset(map(entries.dotted, addresses))
    cases = [
        Case("set", "ip_int_warm_1e6", numbers.__contains__, mixed, repeats),
        Case("set", "ip_str_warm_1e6", names.__contains__, texts, repeats),
    ]
    if (roaring := _installed(report, "pyroaring")) is not None:
        cases.append(
            Case("pyroaring", "ip_int_warm_1e6", roaring.BitMap(addresses).__contains__, mixed, repeats)
        )
    if (radix := _installed(report, "radix")) is not None:
        tree = radix.Radix()
        for address in addresses:
            tree.add(entries.dotted(address))
        cases.append(Case("py-radix", "ip_str_warm_1e6", tree.search_best, texts, max(1, repeats // 10)))
    if (pytricia := _installed(report, "pytricia")) is not None:
        trie = pytricia.PyTricia(32)
        for address in addresses:
            trie[entries.dotted(address)] = 1
        cases.append(Case("pytricia", "ip_str_warm_1e6", trie.get, texts, max(1, repeats // 10)))
    return cases


def _installed(report: Report, name: str) -> Any:  # noqa: ANN401  # packages without types
    try:
        return importlib.import_module(name)
    except ImportError:
        report.notes.append(f"{name} is not installed and has no row")
        return None


def measure(report: Report, cases: Sequence[Case], rounds: int) -> None:
    """Interleaved: each round measures each case once, after one unmeasured pass."""
    memory = RandomRead()
    reads: list[float] = []
    for case in cases:
        nanoseconds_per_call(case.call, case.arguments, 1)
    for _ in range(rounds):
        reads.append(memory.nanoseconds())
        for case in cases:
            case.values.append(nanoseconds_per_call(case.call, case.arguments, case.repeats))
    for case in cases:
        _add_row(report, case.subject, case.name, case.values)
    _add_row(report, "machine", "random_read", reads)


def add_ratios(report: Report, cases: Sequence[Case]) -> None:
    """Against the empty call, and against each peer that answers the same question."""
    ours = {case.name: case.values for case in cases if case.subject == "sentra"}
    for name, values in ours.items():
        if name != "empty_call":
            report.ratios[f"lookup.ns_per_lookup.{name}.vs_empty_call"] = ratio_of_rounds(
                values, ours["empty_call"]
            )
    for case in cases:
        if case.subject != "sentra":
            ratio = ratio_of_rounds(ours[case.name], case.values)
            report.ratios[f"lookup.ns_per_lookup.{case.name}.vs_{case.subject}"] = ratio


def measure_random(report: Report, warm: Sequence[Case], rounds: int) -> None:
    """Ten million hosts, a million different questions: the caches hold neither."""
    count = 10 * MILLION
    addresses = entries.seeded_addresses(count)
    found = _list_of("\n".join(map(entries.dotted, addresses)))
    chooser = random.Random(_SEED)
    numbers = _half_hits(
        addresses, [chooser.getrandbits(32) for _ in range(RANDOM_COUNT)], chooser, RANDOM_COUNT
    )
    del addresses
    texts = [entries.dotted(number) for number in numbers]
    case = Case("sentra", "ip_str_random_1e7", found.lookup, texts, 1)
    empty = next(case for case in warm if case.name == "empty_call")
    memory = RandomRead()
    reads = []
    for _ in range(rounds):
        reads.append(memory.nanoseconds())
        case.values.append(nanoseconds_per_call(case.call, case.arguments, case.repeats))
    _add_row(report, "sentra", case.name, case.values)
    bound = [e + 2 * d for e, d in zip(empty.values, reads, strict=True)]
    _add_row(report, "machine", "empty_call_plus_two_reads", bound)
    report.ratios[f"lookup.ns_per_lookup.{case.name}.vs_empty_call_plus_two_reads"] = ratio_of_rounds(
        case.values, bound
    )


def _add_row(report: Report, subject: str, case: str, values: Sequence[float]) -> None:
    middle = median_with_interval(values)
    report.rows.append(Row(subject, "ns_per_lookup", middle.value, "ns", case, middle.low, middle.high))


def _list_of(text: str) -> Blocklist:
    builder = Builder()
    loaded = builder.add_text(text.encode("ascii", "ignore"), format="plain", source="bench", score=8.0)
    if loaded.accepted_count < 0.99 * (text.count("\n") + 1):
        raise ValueError(f"only {loaded.accepted_count} entries were accepted: {loaded.rejected[:3]}")
    return builder.build(epoch=1, sequence=1)


def _half_hits(
    listed: Sequence[int], misses: list[int], chooser: random.Random, count: int = WARM_COUNT
) -> list[int]:
    hits = [listed[chooser.randrange(len(listed))] for _ in range(count // 2)]
    mixed = hits + misses[: count - len(hits)]
    chooser.shuffle(mixed)
    return mixed


def _shuffled(texts: list[str], chooser: random.Random) -> list[str]:
    chooser.shuffle(texts)
    return texts
