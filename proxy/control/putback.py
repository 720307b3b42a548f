"""Worker deaths after a swap -> whether what was swapped in is put back.

A list or a configuration that every check let pass may still kill the workers that take it. Whatever is
swapped in is therefore on trial for 30 s, and what was in force before stays at hand for so long. The
supervisor notes deaths in a file, because a worker may die before it can speak to us.
"""

import asyncio
import enum
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

EXITS_NAME = "worker.exits"
PROOF_SECONDS = 30.0
DEATH_COUNT = 3
# Whoever ends like this was asked to, if not by the supervisor then by a person.
_ASKED_STATUSES = (0, -signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Death:
    """`at` is monotonic seconds; a negative `status` is the signal."""

    at: float
    slot: int
    process_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Trial:
    """`previous` is the fingerprint of what was in force when the trial `began`, in monotonic seconds.

    A swap during a trial prolongs it: what has not been in force for 30 s is nothing to go back to.
    """

    previous: str
    began: float
    swapped: float


class Verdict(enum.Enum):
    WAIT = enum.auto()
    PROVEN = enum.auto()
    PUT_BACK = enum.auto()


@dataclass(frozen=True, slots=True)
class PutBack:
    """Fingerprint of what is not tried again until it changes, and when it was taken back (Unix seconds)."""

    refused: str
    at: int

    def to_json(self) -> dict[str, object]:
        return {"refused": self.refused, "at": self.at}


class Tried(Protocol):
    """The lists and the workers' configuration."""

    @property
    def trial(self) -> Trial | None: ...
    def prove(self) -> None: ...
    async def put_back(self) -> None:
        """Raises OSError when it is in force but will not be remembered."""


def swapped(trial: Trial | None, before: str, after: str, now: float) -> Trial | None:
    """The trial once `after` is in force; None when that is what was there at its beginning."""
    if before == after:
        return trial
    if trial is None:
        return Trial(before, now, now)
    return None if after == trial.previous else replace(trial, swapped=now)


def judge(trial: Trial, deaths: Iterable[Death], now: float) -> Verdict:
    """Three deaths within 30 s, none later than 30 s after the last swap, are taken for its fault."""
    end = trial.swapped + PROOF_SECONDS
    times = sorted(
        death.at for death in deaths if death.status not in _ASKED_STATUSES and trial.began <= death.at <= end
    )
    groups = zip(times, times[DEATH_COUNT - 1 :], strict=False)
    if any(last - first <= PROOF_SECONDS for first, last in groups):
        return Verdict.PUT_BACK
    return Verdict.PROVEN if now > end else Verdict.WAIT


def read_deaths(path: Path, since: float) -> tuple[Death, ...]:
    """Oldest first. A line that is not whole yet is left for the next look."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    found: list[Death] = []
    for line in reversed(lines):
        try:
            at, slot, process_id, status = line.split()
            death = Death(float(at), int(slot), int(process_id), int(status))
        except ValueError:
            continue
        if death.at < since:
            break
        found.append(death)
    return tuple(reversed(found))


async def look(subjects: Sequence[Tried], runtime_directory: Path) -> None:
    """Judge what is on trial; without a trial nothing is read. Raises OSError as `put_back` does."""
    beginnings = [subject.trial.began for subject in subjects if subject.trial is not None]
    if not beginnings:
        return
    deaths = await asyncio.to_thread(read_deaths, runtime_directory / EXITS_NAME, min(beginnings))
    now = time.monotonic()
    # All first: a put-back takes time, and a later one must not lose its turn to an error of the first.
    verdicts = [
        (subject, judge(subject.trial, deaths, now)) for subject in subjects if subject.trial is not None
    ]
    faults: list[OSError] = []
    for subject, verdict in verdicts:
        match verdict:
            case Verdict.PUT_BACK:
                try:
                    await subject.put_back()
                except OSError as error:
                    faults.append(error)
            case Verdict.PROVEN:
                subject.prove()
            case Verdict.WAIT:
                pass
    if faults:
        raise faults[0]
