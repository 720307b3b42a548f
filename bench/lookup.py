"""Lookups from Python, one by one and in batches: address or name in, verdict out; beside an empty
call, memory's own latency and peers."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import lookup_cases as cases_of
from bench.lists import decision_file
from bench.lookup_cases import Case
from bench.report import Report, Row
from bench.statistics import median_with_interval, ratio_of_rounds
from bench.timing import RandomRead, mapped, pin_to_subject_core, plain_memory

_UNITS = {"ns_per_lookup": "ns", "million_per_second": "M/s"}
_LARGE_BYTES = 512 << 20


def run(*, is_quick: bool) -> Report:
    rounds = 3 if is_quick else 10
    report = Report(
        "lookup",
        {
            "rounds": rounds,
            "warm set": f"{cases_of.WARM_COUNT} arguments, half of the addresses are on the list",
            "random and batch": f"{cases_of.RANDOM_COUNT:,} addresses in random order, half of them listed",
            "lists": "compiled to files and mapped, as workers hold them",
            "loop": "taken off",
            "clock": "CPU time",
        },
    )
    pin_to_subject_core()
    with tempfile.TemporaryDirectory(prefix="sentra-bench-") as name:
        folder = Path(name)
        cases = cases_of.address_cases(folder, 30 if is_quick else 200)
        cases += cases_of.ipv6_cases(folder, 30 if is_quick else 200)
        cases += cases_of.domain_cases(report, folder, 30 if is_quick else 200)
        cases += cases_of.ten_million_cases(folder)
        cases += _memory_cases(decision_file(folder, cases_of.TEN_MILLION_LIST))
        measure(cases, rounds)
    add_rows(report, cases)
    add_ratios(report, cases)
    return report


def _memory_cases(decision: Path) -> list[Case]:
    """D of the size and the pages of the list of ten million; and of memory that no cache holds at all."""
    same = RandomRead(mapped(decision))
    large = RandomRead(plain_memory(_LARGE_BYTES))
    return [
        Case("machine", "random_read", same.nanoseconds),
        Case("machine", "random_read_512_mib", large.nanoseconds),
    ]


def measure(cases: Sequence[Case], rounds: int) -> None:
    """Interleaved: each round measures each case once, after one unmeasured pass."""
    for case in cases:
        case.measure()
    for number in range(rounds):
        first = number % len(cases)
        for case in (*cases[first:], *cases[:first]):
            case.values.append(case.measure())


def add_rows(report: Report, cases: Sequence[Case]) -> None:
    for case in cases:
        _add_row(report, case.subject, case.name, case.metric, case.values)


def add_ratios(report: Report, cases: Sequence[Case]) -> None:
    """Against the empty call, against each peer that answers the same question, against memory itself."""
    ours = {(case.metric, case.name): case.values for case in cases if case.subject == "sentra"}
    empty = ours["ns_per_lookup", "empty_call"]
    for (metric, name), values in ours.items():
        if metric == "ns_per_lookup" and not name.startswith("empty_call"):
            report.ratios[f"lookup.{metric}.{name}.vs_empty_call"] = ratio_of_rounds(values, empty)
    for case in cases:
        if case.subject not in {"sentra", "machine"}:
            ratio = ratio_of_rounds(ours[case.metric, case.name], case.values)
            report.ratios[f"lookup.{case.metric}.{case.name}.vs_{case.subject}"] = ratio
    reads = next(case.values for case in cases if case.name == "random_read")
    bound = [e + 2 * d for e, d in zip(empty, reads, strict=True)]
    _add_row(report, "machine", "empty_call_plus_two_reads", "ns_per_lookup", bound)
    name = "ip_str_random_1e7"
    report.ratios[f"lookup.ns_per_lookup.{name}.vs_empty_call_plus_two_reads"] = ratio_of_rounds(
        ours["ns_per_lookup", name], bound
    )


def _add_row(report: Report, subject: str, case: str, metric: str, values: Sequence[float]) -> None:
    middle = median_with_interval(values)
    report.rows.append(Row(subject, metric, middle.value, _UNITS[metric], case, middle.low, middle.high))
