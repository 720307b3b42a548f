"""The folder `lists` of the data directory, and what is said about list files: everything that may block."""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastmatch._native import Blocklist, Builder
from proxy.blocklist import compile as compiling
from proxy.blocklist.compile import BaseFiles, ListOutcome
from proxy.blocklist.files import FileStamp, ListSpec, spec_from_settings, stamp_of
from proxy.blocklist.manifest import Manifest
from proxy.blocklist.scan import scan_folder
from proxy.control.folding import Folded, read_folded, to_entry, write_folded
from proxy.settings import Settings
from proxy.store.records import Record
from proxy.telemetry import events, logs

# A worker may still be about to open the files it was told of last.
_KEPT_BASE_COUNT = 3
_PATTERNS = ("decision-*.bin", "evidence-*.bin", "manual-*.json")


@dataclass(frozen=True, slots=True)
class Look:
    """The lists to read, what their files look like, and what was left out of the folder."""

    specs: tuple[ListSpec, ...]
    stamps: dict[str, tuple[str, FileStamp | None]]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A base on disk that opens; `digest` is that of the file of manual entries, None without any."""

    files: BaseFiles
    blocklist: Blocklist
    digest: str | None


def look(settings: Settings) -> Look:
    specs = [spec_from_settings(item) for item in settings.lists]
    folder = settings.blocklist.folder
    notes: tuple[str, ...] = ()
    if folder is not None:
        scan = scan_folder(folder, settings.blocklist.folder_score)
        taken = {spec.source for spec in specs}
        specs += [spec for spec in scan.specs if spec.source not in taken]
        notes = scan.notes
    stamps = {spec.source: (f"{spec.path} {spec.reading}", stamp_of(spec.path)) for spec in specs}
    return Look(tuple(specs), stamps, notes)


def write(builder: Builder, directory: Path, record: Record, folded: Folded, now: int) -> Written:
    """The lists in the builder, with the manual entries. Raises OSError and ListError."""
    for entry in folded.entries.values():
        builder.add(to_entry(entry))
    return _write(builder, directory, record, folded, now)


def write_combined(
    blocklist: Blocklist, directory: Path, record: Record, folded: Folded, now: int
) -> Written:
    """A base without what its overlay removes, and with what it adds. Raises OSError and ListError."""
    builder = Builder()
    builder.add_list(blocklist)
    return _write(builder, directory, record, folded, now)


def read_beside(manifest: Manifest, files: BaseFiles) -> Folded:
    """The manual entries in the base. Raises ListError."""
    if manifest.folded_digest is None:
        return Folded(manifest.folded_sequence)
    return read_folded(files, manifest.folded_sequence, manifest.folded_digest)


def clean(directory: Path, wanted: Sequence[BaseFiles]) -> None:
    """Drop compiled files that nobody can be about to open. What a worker has mapped stays readable."""
    kept = {path for files in wanted for path in (files.decision, files.evidence, files.manual)}
    for pattern in _PATTERNS:
        files = sorted(directory.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
        for path in files[:-_KEPT_BASE_COUNT]:
            if path not in kept:
                with contextlib.suppress(OSError):
                    path.unlink()


def content_of(outcomes: Sequence[ListOutcome], shields: Sequence[tuple[str, str]]) -> str:
    """One digest of everything that the base depends on."""
    parts = [(outcome.spec.source, outcome.spec.reading, outcome.digest) for outcome in outcomes]
    return hashlib.blake2b(repr((parts, shields)).encode(), digest_size=16).hexdigest()


def report(outcomes: Sequence[ListOutcome], manifest: Manifest | None) -> None:
    """What changed since the last time, a line each."""
    known = {note.source: note for note in manifest.lists} if manifest is not None else {}
    for outcome in outcomes:
        source = outcome.spec.source
        before = known.get(source)
        if outcome.refusal is not None:
            if before is None or before.refusal != outcome.refusal:
                kept_count = outcome.accepted_count
                logs.logger().warning(
                    events.LIST_REFUSED, source=source, reason=outcome.refusal, kept_entries=kept_count
                )
        elif before is None or before.digest != outcome.digest or before.refusal is not None:
            logs.logger().info(
                events.LIST_ACCEPTED,
                source=source,
                accepted=outcome.accepted_count,
                rejected=outcome.rejected_count,
                first_rejected=[
                    f"line {line}: {logs.shortened(text, 80)}: {logs.shortened(reason)}"
                    for line, text, reason in outcome.rejected[:3]
                ],
            )


def _write(builder: Builder, directory: Path, record: Record, folded: Folded, now: int) -> Written:
    files, blocklist = compiling.write_base(builder, directory, record.epoch, record.sequence, now)
    return Written(files, blocklist, write_folded(files, folded) if folded.entries else None)
