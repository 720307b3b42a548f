"""Instructions of one lookup in the Rust core, counted by valgrind: the same on every run."""

import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bench.report import REPOSITORY, Report, Row

_EXAMPLE = "lookup_counts"
_CASES = (
    "ipv4_listed",
    "ipv4_unlisted",
    "ipv6_listed",
    "ipv6_unlisted",
    "ipv6_text",
    "ipv6_short_text",
    "domain_listed",
    "domain_unlisted",
)
_ENTRIES = 100_000
_QUESTIONS = 100_000
_NAMED = re.compile(r"^(c?fn)=\((\d+)\)(?: (.+))?$")
_BUILD_SECONDS = 600.0
_RUN_SECONDS = 300.0


class CountError(Exception):
    """Says what the compiler or valgrind has said."""


def run(*, is_quick: bool) -> Report:
    report = Report(
        "instructions",
        {"entries": f"{_ENTRIES:,} of each kind", "questions": f"{_QUESTIONS:,}", "loop": "taken off"},
    )
    del is_quick
    costs = count()
    for case in _CASES:
        value = (costs[f"counted_{case}"] - costs["counted_nothing"]) / _QUESTIONS
        report.rows.append(Row("sentra", "instructions_per_lookup", value, "", case))
    return report


def count() -> dict[str, int]:
    """Instructions of each `counted_*` function with all that it calls. Raises CountError."""
    _run(
        ["cargo", "build", "--quiet", "--locked", "--release", "-p", "blocklist", "--example", _EXAMPLE],
        _BUILD_SECONDS,
    )
    program = REPOSITORY / "target" / "release" / "examples" / _EXAMPLE
    with tempfile.TemporaryDirectory(prefix="sentra-bench-") as folder:
        found = Path(folder) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={found}"]
        command += [f"--toggle-collect={_EXAMPLE}::counted_*", str(program), str(_ENTRIES), str(_QUESTIONS)]
        _run(command, _RUN_SECONDS)
        return inclusive_costs(found.read_text(encoding="utf-8").splitlines(), f"{_EXAMPLE}::")


def inclusive_costs(lines: Iterable[str], prefix: str) -> dict[str, int]:
    """Functions whose name begins with `prefix`, without it -> own cost and that of their calls.

    Each cost line of a function's part counts, those behind `calls=` too. Names are written once and then
    given by number ("Callgrind Format Specification" of valgrind's manual).
    """
    names: dict[str, str] = {}
    costs: dict[str, int] = {}
    current = ""
    for line in lines:
        if found := _NAMED.match(line):
            kind, number, name = found.groups()
            if name is not None:
                names[number] = name
            if kind == "fn":
                current = names[number]
        elif current.startswith(prefix) and line[:1].isdigit():
            short = current.removeprefix(prefix)
            costs[short] = costs.get(short, 0) + int(line.split()[1])
    return costs


def _run(command: list[str], seconds: float) -> None:
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=seconds
    )
    if done.returncode != 0:
        raise CountError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
