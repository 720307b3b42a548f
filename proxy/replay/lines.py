"""A path, or `-` for standard input -> lines, gunzipped when they are gzip, in bounded memory."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from proxy.errors import ListError

MAXIMUM_LINE_BYTES = 65_536
_GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Raises ListError when it cannot be opened, or ends in the middle of what was compressed."""
    try:
        if path == "-":
            yield _gunzipped(sys.stdin.buffer)
        else:
            with Path(path).open("rb") as file:
                yield _gunzipped(file)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LogError(f"{path}: cannot be read: {reason}") from error


class LogError(ListError):
    """What was read so far stands."""


def lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Without their ends; None for a line that is too long, of which nothing is kept."""
    while line := file.readline(MAXIMUM_LINE_BYTES + 1):
        if len(line) > MAXIMUM_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAXIMUM_LINE_BYTES)
            yield None
        else:
            yield line.rstrip(b"\r\n")


def _gunzipped(file: BinaryIO) -> IO[bytes]:
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[type-var]  # any raw file will do
    if buffered.peek(2).startswith(_GZIP_MAGIC):
        return io.BufferedReader(gzip.GzipFile(fileobj=buffered))
    return buffered
