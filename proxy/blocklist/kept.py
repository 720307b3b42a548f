"""The last good text of each list, kept beside the compiled files.

A list that breaks must not take its entries with it, not even across a restart, and the other lists must go
on changing. A hard link would not do: a file that is written in place changes under every name.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from proxy.errors import ListError


class KeptTexts:
    """One file per source in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, source: str, text: bytes) -> None:
        """Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._path(source)
        if path.exists() and path.stat().st_size == len(text) and path.read_bytes() == text:
            return
        write_atomically(path, text)

    def load(self, source: str) -> bytes:
        """Raises ListError when there is no last good text."""
        try:
            return self._path(source).read_bytes()
        except OSError as error:
            raise ListError(
                f"list {source!r} was never read in good order: nothing to fall back on"
            ) from error

    def has(self, source: str) -> bool:
        return self._path(source).is_file()

    def forget_others(self, sources: Iterable[str]) -> None:
        """Drop the texts of lists that are no longer configured."""
        wanted = {self._path(source) for source in sources}
        for path in self._directory.glob("*.list"):
            if path not in wanted:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _path(self, source: str) -> Path:
        # Source names hold slashes and come from settings; a digest is a safe file name.
        return self._directory / f"{hashlib.blake2b(source.encode(), digest_size=16).hexdigest()}.list"


def write_atomically(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Readers see the old bytes or the new ones, after a crash too when `sync`. Raises OSError."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
