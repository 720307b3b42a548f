"""A folder of downloaded lists -> how each file is to be read, told from its name and its first lines.

For trying things out. A deployment names its lists in `sentra.toml`, with a score each.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.blocklist.files import ListSpec

KNOWN_GOOD_FOLDER = "allow"
_SNIFFED_BYTES = 64 * 1024
_MAXIMUM_FILES = 1000
_SKIPPED_SUFFIXES = frozenset(
    {".md", ".rst", ".html", ".toml", ".yaml", ".yml", ".py", ".sh", ".gz", ".zip", ".xz"}
)
_SKIPPED_NAMES = ("readme", "license", "licence", "copying", "changelog")
_HOSTS_LINE = re.compile(rb"^(0\.0\.0\.0|127\.0\.0\.1|::1?)[ \t]+\S")
_SCORED_LINE = re.compile(rb"^([^\t,; ]+)([\t,;])\s*\"?(\d+(?:\.\d+)?)\"?\s*([\t,;].*)?$")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._/-]+")


@dataclass(frozen=True, slots=True)
class FolderScan:
    """`notes`: one sentence per file that was left out."""

    specs: tuple[ListSpec, ...]
    notes: tuple[str, ...]


def scan_folder(folder: Path, score: float) -> FolderScan:
    """Every list file in the folder and below; what lies in a folder `allow` is known good."""
    if not folder.is_dir():
        return FolderScan((), (f"{folder}: is not a folder",))
    specs: list[ListSpec] = []
    notes: list[str] = []
    for path in _files(folder):
        if len(specs) == _MAXIMUM_FILES:
            notes.append(f"{folder}: has more than {_MAXIMUM_FILES} lists; the rest is left out")
            break
        found = _judge(folder, path, score)
        if isinstance(found, str):
            notes.append(f"{path.relative_to(folder)}: {found}")
        else:
            specs.append(found)
    return FolderScan(tuple(with_own_names(specs)), tuple(notes))


def _files(folder: Path) -> list[Path]:
    hidden = [
        path
        for path in folder.rglob("*")
        if any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return sorted(path for path in set(folder.rglob("*")) - set(hidden) if path.is_file())


def _judge(folder: Path, path: Path, score: float) -> ListSpec | str:
    """How to read the file, or why it is left out."""
    is_known_good = KNOWN_GOOD_FOLDER in path.relative_to(folder).parts[:-1]
    suffix = path.suffix.lower()
    if path.name.lower().startswith(_SKIPPED_NAMES) or suffix in _SKIPPED_SUFFIXES:
        return "not a list"
    if suffix == ".json" and not is_known_good:
        return f"JSON is read as a warning list in {KNOWN_GOOD_FOLDER}/"
    spec = ListSpec(
        path=path,
        source=source_name(path.relative_to(folder)),
        score=score,
        disposition="known_good" if is_known_good else "block",
    )
    return sniff(spec)


def source_name(path: Path) -> str:
    return _NOT_IN_A_NAME.sub("-", str(path.with_suffix(""))).strip("-/._")[:64] or "list"


def is_source_name(text: str) -> bool:
    return 0 < len(text) <= 64 and not _NOT_IN_A_NAME.search(text)


def sniff(spec: ListSpec) -> ListSpec | str:
    """The spec with the format that name and first lines tell, or why the file is no list."""
    suffix = spec.path.suffix.lower()
    if suffix == ".json":
        return replace(spec, format="misp")
    try:
        with spec.path.open("rb") as file:
            head = file.read(_SNIFFED_BYTES)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if b"\0" in head:
        return "not text"
    return _by_content(spec, head, suffix)


def _by_content(spec: ListSpec, head: bytes, suffix: str) -> ListSpec:
    lines = [line.strip() for line in head.splitlines()[:2000]]
    lines = [line for line in lines if line and not line.startswith((b"#", b"!", b";"))]
    if suffix in (".netset", ".ipset"):
        return replace(spec, format="netset")
    if _share(lines, _HOSTS_LINE) > 0.8:
        # A hosts file names single hosts; a browser that reads it blocks nothing below them.
        return replace(spec, format="hosts", kind="exact")
    if _share(lines, _SCORED_LINE) > 0.8:
        return _scored(spec, lines)
    return spec


def _scored(spec: ListSpec, lines: list[bytes]) -> ListSpec:
    """A second column of numbers is a score when it fits 0-10, or 0-100 in tenths; else the fixed counts."""
    matches = [match for line in lines if (match := _SCORED_LINE.match(line))]
    highest = max(float(match[3]) for match in matches)
    spec = replace(spec, format="csv", delimiter=matches[0][2].decode())
    if highest <= 10:
        return replace(spec, score_column=1)
    if highest <= 100:
        return replace(
            spec, score_column=1, score_map=tuple((float(value), value / 10) for value in range(101))
        )
    return spec


def _share(lines: list[bytes], pattern: re.Pattern[bytes]) -> float:
    return sum(pattern.match(line) is not None for line in lines) / len(lines) if lines else 0.0


def with_own_names(specs: Iterable[ListSpec]) -> Iterable[ListSpec]:
    """A source names one list: the second of a name gets a number."""
    taken: set[str] = set()
    for spec in specs:
        name, number = spec.source, 2
        while name in taken:
            name, number = f"{spec.source[:60]}-{number}", number + 1
        taken.add(name)
        yield replace(spec, source=name)
