"""Calls in a Python loop -> nanoseconds per call, the loop itself taken off."""

import gc
import os
from collections.abc import Callable, Sequence
from mmap import MAP_POPULATE, MAP_SHARED, PROT_READ, mmap
from pathlib import Path
from statistics import median
from time import thread_time_ns
from typing import Any

from bench.processes import cores
from fastmatch._native import _random_read_nanoseconds

_NEAR_BYTES = 1 << 14


def pin_to_subject_core() -> None:
    os.sched_setaffinity(0, {cores()[0]})


def nanoseconds_per_call(call: Callable[[Any], object], arguments: Sequence[object], repeats: int) -> float:
    """Median over `repeats` passes, less the median of passes without the call (the loop costs about 8 ns).

    In CPU time of this thread: what others do on the core meanwhile does not count. A pass is short, so one
    that is interrupted and finds its caches taken is an outlier and not a part of the answer.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        full = [_pass_with(call, arguments) for _ in range(repeats)]
        empty = [_pass_without(arguments) for _ in range(repeats)]
    finally:
        if collects:
            gc.enable()
    return (median(full) - median(empty)) / len(arguments)


def _pass_with(call: Callable[[Any], object], arguments: Sequence[object]) -> int:
    started = thread_time_ns()
    for argument in arguments:
        call(argument)
    return thread_time_ns() - started


def _pass_without(arguments: Sequence[object]) -> int:
    started = thread_time_ns()
    for argument in arguments:  # noqa: B007  # the loop is what is measured
        pass
    return thread_time_ns() - started


class RandomRead:
    """The machine's random read: a walk through all of `memory` less the same walk through 16 KiB.

    `memory` is mapped as the structure to compare with is: of its size, with its pages. The short walk stays
    in the first cache and takes off the arithmetic of a step.
    """

    def __init__(self, memory: mmap) -> None:
        self._far = memoryview(memory)
        self._near = memoryview(bytes(_NEAR_BYTES))
        self._seed = 0

    def nanoseconds(self, steps: int = 2000, repeats: int = 100) -> float:
        return self._walk(self._far, steps, repeats) - self._walk(self._near, steps, repeats)

    def _walk(self, memory: memoryview, steps: int, repeats: int) -> float:
        values = []
        for _ in range(repeats):
            # Another way each time: the second pass would find the first one's lines in the cache.
            self._seed += 1
            values.append(_random_read_nanoseconds(memory, steps, self._seed))
        return median(values)


def mapped(path: Path) -> mmap:
    """A file as a worker maps it: shared, read-only, every page present."""
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, flags=MAP_SHARED | MAP_POPULATE, prot=PROT_READ)


def plain_memory(length: int) -> mmap:
    """Anonymous memory with content: untouched pages would all be the one page of zeros."""
    memory = mmap(-1, length)
    block = b"\1" * (1 << 20)
    for position in range(0, length, len(block)):
        memory[position : position + len(block)] = block[: length - position]
    return memory
