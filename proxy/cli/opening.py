"""A decision file named on the command line -> the list in it, with its evidence when that lies beside it."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.errors import ListError

if TYPE_CHECKING:
    from fastmatch._native import Blocklist


@dataclass(frozen=True, slots=True)
class Opened:
    """`evidence`: where it lies, None when it is not there."""

    blocklist: Blocklist
    decision: Path
    evidence: Path | None


def opened(decision: Path, evidence: Path | None = None, *, verify: bool = False) -> Opened:
    """Judged by the present time. Raises ListError naming the file and what is wrong with it."""
    from fastmatch._native import Blocklist  # start of `sentra-proxy --help` must not load the extension
    from proxy.blocklist.evidence import evidence_beside  # as above

    if evidence is None:
        beside = evidence_beside(decision)
        evidence = beside if beside.is_file() else None
    try:
        blocklist = Blocklist.open(
            str(decision), None if evidence is None else str(evidence), prefault=False, verify=verify
        )
    except (OSError, ValueError) as error:
        raise unusable(error, decision) from error
    blocklist.advance(int(time.time()))
    return Opened(blocklist, decision, evidence)


def unusable(error: OSError | ValueError, decision: Path) -> ListError:
    """An error of opening, which may speak of the evidence: the file that is at fault, named once."""
    if isinstance(error, OSError):
        # Mapping says "no such device" of what is there but has no bytes of its own: a folder, a terminal.
        reason = "is not a file" if error.errno == errno.ENODEV else error.strerror or str(error)
        return ListError(f"{error.filename or decision}: {reason.partition(' (os error')[0]}")
    return ListError(str(error))
