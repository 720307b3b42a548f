"""A list file on disk -> its specification, its fingerprint, its text."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from proxy.blocklist.misp import misp_to_plain
from proxy.errors import ListError
from proxy.settings import ListSettings

MAXIMUM_LIST_BYTES = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ListSpec:
    """How one list file is read. `format` is one that the compiler knows, or `misp`."""

    path: Path
    source: str
    score: float = 8.0
    format: str = "plain"
    kind: str = "suffix"
    disposition: str = "block"
    score_column: int | None = None
    score_map: tuple[tuple[float, float], ...] | None = None
    delimiter: str = ","
    categories: tuple[str, ...] = ()
    allow_empty: bool = False

    @property
    def reading(self) -> str:
        """Changes when the same bytes would give other entries."""
        values = (self.format, self.score, self.kind, self.disposition, self.score_column, self.score_map)
        return repr((*values, self.delimiter, self.categories))


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What a look at the folder shows without reading; an unchanged stamp means an unchanged file.

    The change time moves with the mode too: a file that may be read at last is read.
    """

    modified_ns: int
    changed_ns: int
    size_bytes: int
    inode: int


@dataclass(frozen=True, slots=True)
class ListText:
    """A whole file as it was at one moment, ready for the compiler."""

    digest: str
    text: bytes


FORMAT_ALIASES = {"cidr": "plain", "ipset": "netset"}


def spec_from_settings(settings: ListSettings) -> ListSpec:
    return ListSpec(
        path=settings.path,
        source=settings.source,
        score=settings.score,
        format=FORMAT_ALIASES.get(settings.format, settings.format),
        kind=settings.kind,
        disposition=settings.disposition,
        score_column=settings.score_column,
        score_map=settings.score_map,
        delimiter=settings.delimiter,
        categories=settings.categories,
        allow_empty=settings.allow_empty,
    )


def stamp_of(path: Path) -> FileStamp | None:
    """None when the file is not there or may not be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return FileStamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def read_list(spec: ListSpec) -> ListText:
    """Raises ListError: the file cannot be read, is too large, changes meanwhile or is not of its format."""
    try:
        with spec.path.open("rb") as file:
            before = os.fstat(file.fileno())
            if before.st_size > MAXIMUM_LIST_BYTES:
                raise ListError(
                    f"{spec.path}: has {before.st_size} bytes, the limit for a list is {MAXIMUM_LIST_BYTES}"
                )
            data = file.read(MAXIMUM_LIST_BYTES + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise ListError(f"{spec.path}: cannot be read: {error.strerror}") from error
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or len(
        data
    ) != after.st_size:
        # Half a list would pass every later check: it is a list, only a shorter one.
        raise ListError(f"{spec.path}: is being written; it is read again when it rests")
    text = plain_text(spec, data)
    return ListText(digest_of(text), text)


def digest_of(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def plain_text(spec: ListSpec, data: bytes) -> bytes:
    """The bytes that the compiler parses. Raises ListError naming the file."""
    if spec.format != "misp":
        return data
    try:
        return misp_to_plain(data)
    except ListError as error:
        raise ListError(f"{spec.path}: {error}") from error
