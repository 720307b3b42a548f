"""Lists -> decision and evidence file. Runs in a thread; the heavy calls release the interpreter lock."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastmatch._native import Blocklist, Builder, Entry, LoadReport
from proxy.blocklist.files import ListSpec, ListText, digest_of, read_list
from proxy.blocklist.kept import KeptTexts
from proxy.errors import ListError

SHIELD_SOURCE = "never-block"
_COMPILE_NICENESS = 10


@dataclass(frozen=True, slots=True)
class ListOutcome:
    """What one list contributes.

    `digest` is that of the text in use, None without one. `refusal`: why the newest text is not in use.
    """

    spec: ListSpec
    digest: str | None
    accepted_count: int
    rejected_count: int
    ignored_count: int
    rejected: tuple[tuple[int, str, str], ...]
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Gathered:
    """All lists in a builder, before they have a version."""

    builder: Builder
    outcomes: tuple[ListOutcome, ...]


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """A compiled base on disk."""

    epoch: int
    sequence: int
    decision: Path
    evidence: Path
    # Which manual entries were compiled in.
    manual: Path


def base_files(directory: Path, epoch: int, sequence: int) -> BaseFiles:
    return BaseFiles(
        epoch=epoch,
        sequence=sequence,
        decision=directory / f"decision-{epoch}-{sequence}.bin",
        evidence=directory / f"evidence-{epoch}-{sequence}.bin",
        manual=directory / f"manual-{epoch}-{sequence}.json",
    )


def lower_priority() -> None:
    """Compiling must not slow a worker on the same core. On Linux niceness belongs to the thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _COMPILE_NICENESS)


def gather(
    specs: Sequence[ListSpec], shields: Sequence[tuple[str, str]], kept: KeptTexts, minimum_parsed: float
) -> Gathered:
    """Read and parse every list. A refused text is replaced by that list's last good one.

    `shields` are (target, rule) pairs that no feed may block. Raises OSError when a good text cannot be kept.
    """
    refusals: dict[str, str] = {}
    while True:
        gathered = _attempt(specs, kept, minimum_parsed, refusals)
        if gathered is not None:
            break
    for target, rule in shields:
        gathered.builder.add(Entry(target, disposition="known_good", sources=[SHIELD_SOURCE], reason=rule))
    return gathered


def _attempt(
    specs: Sequence[ListSpec], kept: KeptTexts, minimum_parsed: float, refusals: dict[str, str]
) -> Gathered | None:
    """None when a list had to be refused after its lines were in the builder: start again without it.

    Rare, so paid for only then; a scratch builder per list would cost a second parse every time.
    """
    builder = Builder()
    outcomes: list[ListOutcome] = []
    for spec in specs:
        text: ListText | None = None
        if spec.source not in refusals:
            try:
                text = read_list(spec)
            except ListError as error:
                refusals[spec.source] = str(error)
        if text is None:
            outcomes.append(_fall_back(builder, spec, kept, refusals[spec.source]))
            continue
        report = parse(builder, spec, text.text)
        refusal = judge(spec, report, minimum_parsed)
        if refusal is not None:
            refusals[spec.source] = refusal
            if report.accepted_count:
                return None
            outcomes.append(_fall_back(builder, spec, kept, refusal))
            continue
        kept.save(spec.source, text.text)
        outcomes.append(_outcome(spec, text.digest, report, None))
    return Gathered(builder, tuple(outcomes))


def judge(spec: ListSpec, report: LoadReport, minimum_parsed: float) -> str | None:
    """Why this text must not replace the last good one, or None."""
    entry_lines = report.accepted_count + report.rejected_count
    if report.accepted_count == 0:
        if spec.allow_empty and report.rejected_count == 0:
            return None
        what = "has no entry" if entry_lines == 0 else f"has {entry_lines} lines and none is an entry"
        hint = "; set allow_empty when that is meant" if entry_lines == 0 else ""
        return f"{spec.path}: {what}{hint}"
    share = report.accepted_count / entry_lines
    if share < minimum_parsed:
        line, text, reason = report.rejected[0]
        return (
            f"{spec.path}: only {share:.0%} of {entry_lines} lines are entries,"
            f" the limit is {minimum_parsed:.0%}; line {line}: {text[:80]!r}: {reason}"
        )
    return None


def write_base(
    builder: Builder, directory: Path, epoch: int, sequence: int, now: int
) -> tuple[BaseFiles, Blocklist]:
    """Compile, write, and open what was written: only a list that opens may be swapped in.

    Raises OSError, and ListError when the written files are not what was asked for.
    """
    directory.mkdir(parents=True, exist_ok=True)
    files = base_files(directory, epoch, sequence)
    builder.write(str(files.decision), str(files.evidence), epoch=epoch, sequence=sequence, now=now)
    return files, open_base(files)


def open_base(files: BaseFiles) -> Blocklist:
    """Every checksum is checked: the workers, who map the file next, check its head only.

    Raises OSError and ListError.
    """
    try:
        blocklist = Blocklist.open(str(files.decision), str(files.evidence), prefault=False, verify=True)
    except ValueError as error:
        raise ListError(f"{files.decision}: {error}") from error
    if blocklist.version != (files.epoch, files.sequence):
        raise ListError(
            f"{files.decision}: says version {blocklist.version}, not {(files.epoch, files.sequence)}"
        )
    return blocklist


def _fall_back(builder: Builder, spec: ListSpec, kept: KeptTexts, refusal: str) -> ListOutcome:
    try:
        text = kept.load(spec.source)
    except ListError:
        return ListOutcome(spec, None, 0, 0, 0, (), refusal)
    return _outcome(spec, digest_of(text), parse(builder, spec, text), refusal)


def parse(builder: Builder, spec: ListSpec, text: bytes) -> LoadReport:
    """One list's lines into the builder, as its spec says."""
    options: dict[str, Any] = {}  # the stub's literal types do not fit text from settings
    if spec.format == "csv":
        options = {
            "score_column": spec.score_column,
            "score_map": spec.score_map,
            "delimiter": spec.delimiter,
        }
    return builder.add_text(
        text,
        format="plain" if spec.format == "misp" else spec.format,  # type: ignore[arg-type]  # settings allow these only
        source=spec.source,
        score=spec.score,
        kind=spec.kind,  # type: ignore[arg-type]  # settings allow these only
        disposition=spec.disposition,  # type: ignore[arg-type]  # settings allow these only
        categories=spec.categories,
        **options,
    )


def _outcome(spec: ListSpec, digest: str, report: LoadReport, refusal: str | None) -> ListOutcome:
    return ListOutcome(
        spec=spec,
        digest=digest,
        accepted_count=report.accepted_count,
        rejected_count=report.rejected_count,
        ignored_count=report.ignored_count,
        rejected=report.rejected,
        refusal=refusal,
    )
