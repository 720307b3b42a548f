"""Rows of one bench -> JSON and a Markdown table, both with the machine they were measured on."""

import datetime as dt
import importlib.util
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Row:
    """`low` and `high` bound the 95 % interval of the median over rounds, None where there was one
    measurement.
    """

    subject: str
    metric: str
    value: float
    unit: str
    case: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of the per-round ratios with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(slots=True)
class Report:
    bench: str
    settings: dict[str, object]
    machine: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    ratios: dict[str, Ratio] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> bytes:
        """Ratios are plain numbers, as fixed; their intervals stand beside them."""
        document = {
            "bench": self.bench,
            "machine": self.machine,
            "settings": self.settings,
            "rows": [
                {key: value for key, value in asdict(row).items() if value is not None} for row in self.rows
            ],
            "ratios": {name: ratio.value for name, ratio in self.ratios.items()},
            "intervals": {name: [ratio.low, ratio.high] for name, ratio in self.ratios.items()},
            "notes": self.notes,
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    def to_markdown(self) -> str:
        lines = [f"## {self.bench}", ""]
        lines += [f"- {name}: {value}" for name, value in {**self.machine, **self.settings}.items()]
        lines += [
            "",
            "| subject | case | metric | value | 95 % interval | unit |",
            "|---|---|---|---:|---|---|",
        ]
        for row in self.rows:
            cells = (
                row.subject,
                row.case,
                row.metric,
                _number(row.value),
                _interval(row.low, row.high),
                row.unit,
            )
            lines.append("| " + " | ".join(cells) + " |")
        if self.ratios:
            lines += ["", "| ratio | median of rounds | 95 % interval |", "|---|---:|---|"]
            for name, ratio in self.ratios.items():
                lines.append(f"| {name} | {ratio.value:.3f} | {_interval(ratio.low, ratio.high)} |")
        lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{_number(low)} - {_number(high)}"


def describe_machine() -> dict[str, str]:
    """What a figure depends on besides the code."""
    return {
        "commit": _output("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12"),
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rustc": _output("rustc", "--version"),
        "extension": _extension_profile(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _extension_profile() -> str:
    """Of the built file, whoever loads it: its size and time tell a release build from a quick one later."""
    found = importlib.util.find_spec("fastmatch._native")
    if found is None or found.origin is None:
        return "not built"
    path = Path(found.origin)
    status = path.stat()
    built = dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)
    return f"{path.name}, {status.st_size:,} bytes, built {built:%Y-%m-%d %H:%M} UTC"


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def only(rows: Sequence[Row], subject: str, metric: str) -> list[float]:
    """Values of one subject and metric, for tests and summaries."""
    return [row.value for row in rows if row.subject == subject and row.metric == metric]
