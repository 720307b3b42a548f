"""Texts of lists -> a blocklist as a worker holds it: compiled to files, mapped, every page present."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench import entries
from fastmatch import Blocklist, Builder

MILLION = 1_000_000
TEN_MILLION = 10 * MILLION
_CHUNK = 1_000_000


def lines_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.txt"


class RefusedLinesError(Exception):
    """The list in force would not be the list that the bench names."""


def decision_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.decision"


def evidence_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.evidence"


def add_text(builder: Builder, text: bytes, *, source: str = "bench", score: float = 8.0) -> None:
    """Raises RefusedLinesError when more than a hundredth of the lines is refused."""
    loaded = builder.add_text(text, format="plain", source=source, score=score)
    if loaded.rejected_count > loaded.accepted_count // 100:
        raise RefusedLinesError(
            f"{source}: {loaded.rejected_count} of {loaded.rejected_count + loaded.accepted_count} lines "
            f"were refused: {loaded.rejected[:3]}"
        )


def open_list(folder: Path, name: str, texts: Iterable[bytes]) -> Blocklist:
    """Leaves `name.decision` and `name.evidence` in `folder`."""
    builder = Builder()
    for text in texts:
        add_text(builder, text)
    decision, evidence = decision_file(folder, name), evidence_file(folder, name)
    builder.write(str(decision), str(evidence), epoch=1, sequence=1)
    return Blocklist.open(str(decision))


def address_texts(addresses: Sequence[int]) -> Iterator[bytes]:
    """In parts: ten million lines of text at once are a gigabyte of Python's own objects."""
    for first in range(0, len(addresses), _CHUNK):
        yield entries.address_text(addresses[first : first + _CHUNK])


def domains(count: int) -> tuple[list[str], int]:
    """(names, how many of them are from the real list): filled up with seeded ones."""
    folder = entries.real_lists()
    found = list(entries.real_domains(folder))[:count] if folder else []
    return found + entries.seeded_domains(count - len(found)), len(found)
