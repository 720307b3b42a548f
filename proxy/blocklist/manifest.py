"""What the base in force was made of: a small JSON file beside it, so that a restart needs no list."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from proxy.blocklist.compile import BaseFiles, ListOutcome, base_files
from proxy.blocklist.kept import write_atomically
from proxy.errors import ListError

_NAME = "base.json"


@dataclass(frozen=True, slots=True)
class ListNote:
    """One list as the base holds it. `loaded` is when its text last changed; `refusal` see ListOutcome."""

    source: str
    path: str
    disposition: str
    digest: str | None
    accepted_count: int
    rejected_count: int
    loaded: int
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """`content` stands for every text, how it was read, and the shields.

    `refused_content` was in force after this base and was taken back, at `refused_at`: workers died of it.
    The base holds the manual entries of the log up to `folded_sequence`, and `folded_digest` is that of the
    file which lists them, None when there are none. At `fold_refused_at` workers had died of such a fold.
    """

    epoch: int
    sequence: int
    created: int
    content: str
    lists: tuple[ListNote, ...]
    refused_content: str | None = None
    refused_at: int = 0
    folded_sequence: int = 0
    folded_digest: str | None = None
    fold_refused_at: int = 0

    @property
    def fingerprint(self) -> str:
        """Of the base's bytes: the same lists with other manual entries in it are another base."""
        return f"{self.content} {self.folded_digest}"

    def files(self, directory: Path) -> BaseFiles:
        return base_files(directory, self.epoch, self.sequence)

    def with_outcomes(self, outcomes: Sequence[ListOutcome]) -> "Manifest":
        """The same base, seen again: a list may have become unreadable or readable meanwhile."""
        return replace(self, lists=notes(outcomes, self, self.created))


def notes(outcomes: Sequence[ListOutcome], before: Manifest | None, now: int) -> tuple[ListNote, ...]:
    """A list whose text did not change keeps the time at which it did."""
    known = {note.source: note for note in before.lists} if before is not None else {}
    found = []
    for outcome in outcomes:
        old = known.get(outcome.spec.source)
        found.append(
            ListNote(
                source=outcome.spec.source,
                path=str(outcome.spec.path),
                disposition=outcome.spec.disposition,
                digest=outcome.digest,
                accepted_count=outcome.accepted_count,
                rejected_count=outcome.rejected_count,
                loaded=old.loaded if old is not None and old.digest == outcome.digest else now,
                refusal=outcome.refusal,
            )
        )
    return tuple(found)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Raises OSError."""
    write_atomically(directory / _NAME, orjson.dumps(asdict(manifest)))


def read_manifest(directory: Path) -> Manifest | None:
    """None when there is none. Raises ListError when it is not one of ours, OSError when unreadable."""
    try:
        data = (directory / _NAME).read_bytes()
    except FileNotFoundError:
        return None
    try:
        values = orjson.loads(data)
        lists = tuple(ListNote(**note) for note in values.pop("lists"))
        return Manifest(**values, lists=lists)
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise ListError(f"{directory / _NAME}: is not a manifest of this version: {error!r}") from error
