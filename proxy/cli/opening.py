"""A decision file named on the command line -> the list in it, with its evidence when that lies beside it."""

from __future__ import annotations

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
        raise ListError(f"{decision}: {error}") from error
    blocklist.advance(int(time.time()))
    return Opened(blocklist, decision, evidence)
