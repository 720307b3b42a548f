"""wrk, bounded in time, on the load core -> what it has seen."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_LATENCY = re.compile(r"^\s+(50|90|99)%\s+([\d.]+)(us|ms|s|m)\s*$", re.MULTILINE)
_TOTAL = re.compile(r"^\s+(\d+) requests in ([\d.]+)(us|ms|s|m),", re.MULTILINE)
_SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_OTHER_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")


class LoadError(Exception):
    """The load failed; a figure made of it would be wrong."""


@dataclass(frozen=True, slots=True)
class Load:
    """Latencies in milliseconds."""

    request_count: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    denied_count: int

    @property
    def requests_per_second(self) -> float:
        return self.request_count / self.seconds


def run_wrk(
    url: str,
    *,
    core: int,
    seconds: float,
    connections: int,
    fields: Sequence[str] = (),
    is_denied: bool = False,
) -> Load:
    """Raises LoadError on any socket error, and on any answer of the wrong kind."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
    command += ["--timeout", "5s", *(part for text in fields for part in ("-H", text)), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 30)
    if done.returncode != 0:
        raise LoadError(f"wrk ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return parse(done.stdout, is_denied=is_denied)


def parse(text: str, *, is_denied: bool) -> Load:
    total = _TOTAL.search(text)
    latency = {part: float(value) * _UNITS[unit] for part, value, unit in _LATENCY.findall(text)}
    if total is None or len(latency) != 3 or total[1] == "0":
        raise LoadError(f"wrk reports no requests: {text}")
    if (errors := _SOCKET_ERRORS.search(text)) and any(int(number) for number in errors.groups()):
        raise LoadError(f"wrk reports {errors[0]}")
    found = _OTHER_STATUS.search(text)
    denied = int(found[1]) if found else 0
    count = int(total[1])
    if denied != (count if is_denied else 0):
        raise LoadError(f"{denied} of {count} answers were not 2xx or 3xx")
    seconds = float(total[2]) * _UNITS[total[3]] / 1000
    return Load(count, seconds, latency["50"], latency["90"], latency["99"], denied)
