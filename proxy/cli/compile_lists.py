"""`sentra-proxy compile`: list files -> a decision file and its evidence, and what became of each line."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.cli import printing
from proxy.cli.opening import opened
from proxy.errors import ConfigError, ListError

if TYPE_CHECKING:
    from fastmatch._native import Builder
    from proxy.blocklist.files import ListSpec

_SHOWN_COUNT = 5
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class _Loaded:
    spec: ListSpec
    accepted_count: int
    rejected_count: int
    ignored_count: int
    rejected: tuple[tuple[int, str, str], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.spec.source,
            "path": str(self.spec.path),
            "format": self.spec.format,
            "kind": self.spec.kind,
            "disposition": self.spec.disposition,
            "accepted": self.accepted_count,
            "rejected": self.rejected_count,
            "ignored": self.ignored_count,
            "first_rejected": [
                {"line": line, "text": text[:_SHOWN_CHARACTERS], "reason": reason}
                for line, text, reason in self.rejected[:_SHOWN_COUNT]
            ],
        }


def add(verbs: Any) -> None:  # noqa: ANN401 argparse does not name what add_subparsers gives
    verb = verbs.add_parser("compile", help="list files to a decision file and its evidence")
    verb.add_argument("lists", nargs="+", type=Path, metavar="LIST", help="list files, or folders of them")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the decision file")
    verb.add_argument(
        "--evidence", type=Path, metavar="FILE", help="default: beside it, FILE.evidence.SUFFIX"
    )
    verb.add_argument(
        "--format",
        choices=("plain", "cidr", "netset", "ipset", "hosts", "csv", "misp"),
        help="default: told from each file's name and first lines",
    )
    verb.add_argument("--source", metavar="NAME", help="of a single list; default: the file's name")
    verb.add_argument("--score", type=float, default=8.0, help="0-10 where a list has none, default 8")
    verb.add_argument(
        "--kind", choices=("exact", "suffix", "below"), help="how far bare names reach; default: suffix"
    )
    verb.add_argument(
        "--disposition", choices=("block", "allow", "known_good"), help="default: block; known_good in allow/"
    )
    verb.add_argument("--category", action="append", default=[], metavar="NAME", help="of every entry")
    verb.add_argument("--score-column", type=int, metavar="N", help="csv: counted from 0")
    verb.add_argument("--delimiter", metavar="CHARACTER", help="csv: default: told from the lines")
    verb.add_argument(
        "--minimum-parsed",
        type=float,
        default=0.9,
        metavar="SHARE",
        help="refuse a list of which fewer lines are entries, default 0.9",
    )
    verb.add_argument("--allow-empty", action="store_true", help="a list without any line is in order")
    verb.add_argument(
        "--compact-domains",
        action="store_true",
        help="64-bit fingerprints instead of the names' text: a smaller decision file",
    )
    verb.add_argument("--json", action="store_true", help="the summary as JSON")
    verb.set_defaults(command=compile_lists)


def compile_lists(parsed: argparse.Namespace) -> int:
    """Nothing is written unless every list is in order."""
    from fastmatch._native import Builder  # start of `sentra-proxy --help` must not load the extension
    from proxy.blocklist.evidence import evidence_beside  # as above

    specs, notes = _specs(parsed)
    evidence = parsed.evidence or evidence_beside(parsed.output)
    _check_outputs((parsed.output, evidence), specs)
    started = time.monotonic()
    builder = Builder()
    loaded = [_load(builder, spec, parsed.minimum_parsed) for spec in specs]
    try:
        builder.write(
            str(parsed.output),
            str(evidence),
            now=int(time.time()),
            compact_domains=parsed.compact_domains,
        )
    except OSError as error:
        raise ListError(f"{parsed.output}: cannot be written: {error.strerror or error}") from error
    written = opened(parsed.output, evidence, verify=True)
    summary = {
        "decision": str(parsed.output),
        "evidence": str(evidence),
        "bytes": {"decision": parsed.output.stat().st_size, "evidence": evidence.stat().st_size},
        "entries": sum(written.blocklist.stats[name] for name in ("ipv4", "ipv6", "domains")),
        "seconds": round(time.monotonic() - started, 3),
        "lists": [item.to_json() for item in loaded],
        "notes": notes,
    }
    if parsed.json:
        printing.json_document(summary)
    else:
        printing.line(_text(summary))
    return 0


def _specs(parsed: argparse.Namespace) -> tuple[list[ListSpec], list[str]]:
    """(how each file is read, which files of a folder are left out)."""
    from proxy.blocklist.scan import (
        is_source_name,
        scan_folder,
        with_own_names,
    )  # start of `--help` must not load it

    if not 0 <= parsed.score <= 10:
        raise ConfigError(f"--score {parsed.score:g}: a score is 0 to 10")
    if not 0 <= parsed.minimum_parsed <= 1:
        raise ConfigError(f"--minimum-parsed {parsed.minimum_parsed:g}: a share is 0 to 1")
    specs: list[ListSpec] = []
    notes: list[str] = []
    for path in parsed.lists:
        if path.is_dir():
            scan = scan_folder(path, parsed.score)
            specs += [_with_options(spec, parsed) for spec in scan.specs]
            notes += [f"{path}/{note}" for note in scan.notes]
        else:
            specs.append(_file_spec(path, parsed))
    if not specs:
        raise ConfigError(f"no list file in {', '.join(str(path) for path in parsed.lists)}")
    if parsed.source is not None:
        if len(specs) > 1:
            raise ConfigError(f"--source names one list, and there are {len(specs)}")
        if not is_source_name(parsed.source):
            raise ConfigError(f"--source {parsed.source!r}: letters, digits, and . _ / - only, at most 64")
        specs = [replace(specs[0], source=parsed.source)]
    return list(with_own_names(specs)), notes


def _check_outputs(outputs: tuple[Path, Path], specs: list[ListSpec]) -> None:
    """They are renamed over whatever is there: a list named by mistake would be gone, or a device."""
    decision, evidence = outputs
    if decision.resolve() == evidence.resolve():
        raise ConfigError(f"--evidence {evidence}: is the decision file too; give it a name of its own")
    lists = {spec.path.resolve() for spec in specs}
    for path in outputs:
        if path.resolve() in lists:
            raise ConfigError(f"{path}: is one of the lists; give another name for what is written")
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: is there and is not a file; give another name for what is written")


def _file_spec(path: Path, parsed: argparse.Namespace) -> ListSpec:
    from proxy.blocklist.files import ListSpec  # start of `sentra-proxy --help` must not load it
    from proxy.blocklist.scan import sniff, source_name  # as above

    if not path.exists():
        raise ConfigError(f"{path}: is not there")
    if not path.is_file():
        # Its first lines tell the format, so it is read twice.
        raise ConfigError(f"{path}: is not a file; write what comes through a pipe to one")
    spec = ListSpec(path=path, source=source_name(Path(path.name)), score=parsed.score)
    if parsed.format is None:
        found = sniff(spec)
        if isinstance(found, str):
            raise ListError(f"{path}: {found}; lists are read as plain text, not compressed")
        spec = found
    return _with_options(spec, parsed)


def _with_options(spec: ListSpec, parsed: argparse.Namespace) -> ListSpec:
    """What the command line says goes before what the file looks like."""
    from proxy.blocklist.files import FORMAT_ALIASES  # start of `sentra-proxy --help` must not load it

    given: dict[str, Any] = {
        "format": FORMAT_ALIASES.get(parsed.format, parsed.format),
        "kind": parsed.kind,
        "disposition": parsed.disposition,
        "score_column": parsed.score_column,
        "delimiter": parsed.delimiter,
        "categories": tuple(parsed.category) or None,
        "allow_empty": parsed.allow_empty or None,
    }
    if parsed.format is not None and parsed.format != spec.format:
        spec = replace(spec, score_column=None, score_map=None)
    return replace(spec, **{name: value for name, value in given.items() if value is not None})


def _load(builder: Builder, spec: ListSpec, minimum_parsed: float) -> _Loaded:
    """Raises ListError naming the file and what is wrong with it."""
    from proxy.blocklist import compile as compiling  # start of `sentra-proxy --help` must not load it
    from proxy.blocklist.files import read_list  # as above

    text = read_list(spec)
    try:
        report = compiling.parse(builder, spec, text.text)
    except ValueError as error:
        raise ConfigError(f"{spec.path}: {error}") from error
    refusal = compiling.judge(spec, report, minimum_parsed)
    if refusal is not None:
        # A refusal for too few entries names the first line itself.
        raise ListError(_with_first(refusal, report.rejected[1 if report.accepted_count else 0 :]))
    return _Loaded(spec, report.accepted_count, report.rejected_count, report.ignored_count, report.rejected)


def _with_first(refusal: str, rejected: tuple[tuple[int, str, str], ...]) -> str:
    lines = [printing.escaped(refusal, 1000)]
    lines += [_rejected_line(line, text, reason) for line, text, reason in rejected[:_SHOWN_COUNT]]
    return "\n".join(lines)


def _rejected_line(line: int, text: str, reason: str) -> str:
    return f"  line {line}: '{printing.escaped(text, _SHOWN_CHARACTERS)}': {printing.escaped(reason, 200)}"


def _text(summary: dict[str, Any]) -> str:
    sizes, lists = summary["bytes"], printing.counted(len(summary["lists"]), "list")
    lines = [
        f"compiled {summary['entries']:,} entries of {lists} in {summary['seconds']:.2f} s",
        f"  {summary['decision']}  {printing.size(sizes['decision'])}",
        f"  {summary['evidence']}  {printing.size(sizes['evidence'])}",
        "",
    ]
    rows: list[tuple[str, ...]] = [("accepted", "rejected", "ignored", "read as", "list")]
    for item in summary["lists"]:
        read_as = (
            item["format"] if item["disposition"] == "block" else f"{item['format']}, {item['disposition']}"
        )
        counts = (f"{item[name]:,}" for name in ("accepted", "rejected", "ignored"))
        rows.append((*counts, read_as, printing.escaped(item["source"], 64)))
    lines += printing.table(rows, "rrrll")
    for item in summary["lists"]:
        if item["rejected"]:
            lines += [
                "",
                f"rejected in {printing.escaped(item['path'], 200)}, the first of {item['rejected']:,}:",
            ]
            lines += [
                _rejected_line(row["line"], row["text"], row["reason"]) for row in item["first_rejected"]
            ]
    if summary["notes"]:
        lines += ["", *(f"left out: {printing.escaped(note, 300)}" for note in summary["notes"])]
    return "\n".join(lines)
