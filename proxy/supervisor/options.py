"""What to start, as plain values: the caller has read settings and arguments, this package has not."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Address = tuple[str, int]


def _python_module(name: str) -> tuple[str, ...]:
    # -P: a folder named `proxy` in the user's working directory must not be imported in place of ours.
    return (sys.executable, "-P", "-m", name)


@dataclass(frozen=True, slots=True)
class Programs:
    """Command prefixes of the children; the arguments of each role are appended."""

    control: tuple[str, ...] = field(default_factory=lambda: _python_module("proxy.control"))
    edge: tuple[str, ...] = field(default_factory=lambda: _python_module("proxy.edge"))
    lane: tuple[str, ...] = field(default_factory=lambda: _python_module("proxy.lane"))
    gateway: tuple[str, ...] = field(default_factory=lambda: _python_module("proxy.demo_gateway"))


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """`control_listen` is bound by control, `gateway_listen` by the demo gateway: both are only probed here.

    Seconds: `drain_seconds` from SIGTERM until a worker is killed, `stop_seconds` the same for control and
    gateway, which are asked to stop after the last worker has ended.
    """

    runtime_directory: Path
    listen: tuple[Address, ...]
    worker_count: int
    engine: Literal["native", "aiohttp"] = "native"
    config_path: Path | None = None
    control_listen: tuple[Address, ...] = ()
    gateway_listen: Address | None = None
    drain_seconds: float = 31.0
    stop_seconds: float = 5.0
    programs: Programs = field(default_factory=Programs)


def available_cpu_count() -> int:
    """Cores this process may use: the smaller of its affinity and its control group's quota, at least 1."""
    count = len(os.sched_getaffinity(0))
    quota = _quota_cpu_count(Path("/sys/fs/cgroup"))
    return max(1, count if quota is None else min(count, quota))


def _quota_cpu_count(root: Path) -> int | None:
    """Whole cores of the quota (rounded up), None without one. Both control group layouts."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return -(-int(quota) // int(period))
