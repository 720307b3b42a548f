"""Calls in a Python loop -> nanoseconds per call, the loop itself taken off."""

import gc
import os
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter_ns
from typing import Any

from bench.processes import cores


def pin_to_subject_core() -> None:
    os.sched_setaffinity(0, {cores()[0]})


def nanoseconds_per_call(call: Callable[[Any], object], arguments: Sequence[object], repeats: int) -> float:
    """Median over `repeats` passes, less the median of passes without the call (the loop costs about 8 ns).

    A pass is short, so one that is interrupted is an outlier and not a part of the answer.
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
    started = perf_counter_ns()
    for argument in arguments:
        call(argument)
    return perf_counter_ns() - started


def _pass_without(arguments: Sequence[object]) -> int:
    started = perf_counter_ns()
    for argument in arguments:  # noqa: B007  # the loop is what is measured
        pass
    return perf_counter_ns() - started


class RandomRead:
    """The machine's random read from memory, as the difference of two equal loops.

    Each step's index depends on the byte that the step before has read, so no step can begin before the last
    read has ended. The same loop over 16 KiB stays in the first cache; what it lacks is the read from memory.
    Part of the read may hide behind the interpreter, so this is a lower bound.
    """

    _MULTIPLIER = 1_103_515_245
    _STEP = 12_345
    _MASK = (1 << 29) - 1

    def __init__(self) -> None:
        # Written, not only reserved: untouched pages would all be the one page of zeros.
        self._memory = bytearray(b"\0") * (self._MASK + 1)
        self._position = 0

    def nanoseconds(self, steps: int = 10_000, repeats: int = 40) -> float:
        far = median(self._chase(self._MASK, steps) for _ in range(repeats))
        return far - median(self._chase((1 << 14) - 1, steps) for _ in range(repeats))

    def _chase(self, window: int, steps: int) -> float:
        memory, mask, multiplier, step = self._memory, self._MASK, self._MULTIPLIER, self._STEP
        # Another way through memory each time, or the second pass would find the first one's lines in the
        # cache.
        self._position = position = self._position + 1
        started = perf_counter_ns()
        for _ in range(steps):
            position = (multiplier * position + step + memory[position & window]) & mask
        return (perf_counter_ns() - started) / steps
