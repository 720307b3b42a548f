"""What lists weigh: on disk, in one process, in two that share a file, and at the height of compiling."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import entries, lists
from bench.lists import MILLION, TEN_MILLION
from bench.memory_child import HELD_KINDS
from bench.peers import mmdb
from bench.report import Ratio, Report, Row
from fastmatch import Blocklist, Builder

_CHILD_SECONDS = 180.0


def run(*, is_quick: bool) -> Report:
    """Sizes do not change from round to round: each is measured once, quick or not."""
    report = Report(
        "memory",
        {
            "peers": "growth of the resident set of a fresh process, a million IPv4 hosts read line by line",
            "peak": "largest resident set while compiling, less that before the first line was read",
        },
    )
    del is_quick
    with tempfile.TemporaryDirectory(prefix="sentra-bench-") as name:
        folder = Path(name)
        _add_file_sizes(report, folder)
        _add_peers(report, folder)
        _add_two_workers(report, folder)
    return report


# ---------------------------------------------------------------- files


def _add_file_sizes(report: Report, folder: Path) -> None:
    addresses = entries.seeded_addresses(TEN_MILLION)
    mmdb.write(folder / "hosts.mmdb", addresses[:MILLION], {"score": 8})
    for name, part in (("ten-million", addresses), ("million", addresses[:MILLION])):
        with lists.lines_file(folder, name).open("wb") as target:
            target.writelines(text + b"\n" for text in lists.address_texts(part))
    del addresses
    _add_compile(report, folder)
    _add(report, "sentra", "ipv4_1e7", _size(folder, "ten-million") / TEN_MILLION)
    _add(report, "sentra", "evidence_ipv4_1e7", _evidence_size(folder, "ten-million") / TEN_MILLION)
    names, real_count = lists.domains(MILLION)
    report.settings["domains"] = f"{real_count:,} of the real list, filled up with seeded names"
    text = "\n".join(names).encode("utf-8")
    for case, is_compact in (("domain_1e6", False), ("domain_compact_1e6", True)):
        count = _compile(folder, case, [entries.ListText("bench", text, 8.0)], compact_domains=is_compact)
        _add(report, "sentra", case, _size(folder, case) / count)
    count = _compile(folder, "mixed", entries.mixed_lists(MILLION))
    _add(report, "sentra", "evidence_1e6", _evidence_size(folder, "mixed") / count)
    _add(report, "sentra", "mixed_1e6", _size(folder, "mixed") / count)
    _add(report, "maxminddb", "ipv4_1e6", (folder / "hosts.mmdb").stat().st_size / MILLION)


def _compile(
    folder: Path, name: str, parts: Sequence[entries.ListText], *, compact_domains: bool = False
) -> int:
    """How many entries the files hold: a published list repeats some."""
    builder = Builder()
    for part in parts:
        lists.add_text(builder, part.text, source=part.source, score=part.score)
    builder.write(
        str(lists.decision_file(folder, name)),
        str(lists.evidence_file(folder, name)),
        epoch=1,
        sequence=1,
        compact_domains=compact_domains,
    )
    return len(Blocklist.open(str(lists.decision_file(folder, name)), prefault=False))


def _size(folder: Path, name: str) -> int:
    return lists.decision_file(folder, name).stat().st_size


def _evidence_size(folder: Path, name: str) -> int:
    return lists.evidence_file(folder, name).stat().st_size


# ---------------------------------------------------------------- processes


def _add_compile(report: Report, folder: Path) -> None:
    """Compiles the ten million in a process of its own, which leaves the files for what follows."""
    grown = _measured(["compile", str(folder), "ten-million"])
    _add(report, "sentra", "compile_peak_1e7", grown["peak_bytes"] / TEN_MILLION)
    report.rows.append(Row("sentra", "peak_mib", grown["peak_bytes"] / (1 << 20), "MiB", "compile_1e7"))


def _add_peers(report: Report, folder: Path) -> None:
    """The list of ours is mapped from a file that has to be there first."""
    _measured(["compile", str(folder), "million"])
    _add(report, "sentra", "ipv4_1e6", _size(folder, "million") / MILLION)
    for kind in HELD_KINDS:
        grown = _measured(["hold", kind, str(folder), "million"])
        _add(report, kind, "ipv4_1e6_resident", grown["resident_bytes"] / MILLION)
        if kind != "sentra":
            ours = next(row.value for row in report.rows if row.case == "ipv4_1e6_resident")
            value = ours * MILLION / grown["resident_bytes"]
            report.ratios[f"memory.bytes_per_entry.ipv4_1e6_resident.vs_{kind}"] = Ratio(value, value, value)


def _measured(arguments: list[str]) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory_child", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_CHILD_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"measuring {arguments} ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, int] = json.loads(done.stdout)
    return found


def _add_two_workers(report: Report, folder: Path) -> None:
    """Proportional set size of the mapping, of one process and then of two."""
    decision = lists.decision_file(folder, "ten-million")
    with ExitStack() as stack:
        first = stack.enter_context(Holder(decision))
        alone = proportional_bytes(first.process_id, decision)
        second = stack.enter_context(Holder(decision))
        both = [proportional_bytes(process.process_id, decision) for process in (first, second)]
    ratio = sum(both) / alone
    report.rows.append(Row("sentra", "pss_ratio", ratio, "", "two_workers"))
    report.rows.append(Row("sentra", "pss_mib", alone / (1 << 20), "MiB", "one_worker"))


class Holder:
    """A process that maps a decision file as a worker does and keeps it until the end of the block."""

    def __init__(self, decision: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "bench.memory_child", "map", str(decision)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def process_id(self) -> int:
        return self._child.pid

    def __enter__(self) -> "Holder":
        assert self._child.stdout is not None
        if self._child.stdout.readline() != "mapped\n":
            self.__exit__()
            raise RuntimeError(f"a process that maps the list ended with {self._child.returncode}")
        return self

    def __exit__(self, *_: object) -> None:
        """The end of its input ends the process."""
        self._child.communicate(timeout=_CHILD_SECONDS)


def proportional_bytes(process_id: int, path: Path) -> int:
    """Pss of all mappings of that file."""
    total, is_inside = 0, False
    for line in Path(f"/proc/{process_id}/smaps").read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            is_inside = rest.endswith(str(path))
        elif is_inside and name == "Pss:":
            total += int(rest.split()[0]) * 1024
    return total


def _add(report: Report, subject: str, case: str, value: float) -> None:
    report.rows.append(Row(subject, "bytes_per_entry", value, "B", case))
