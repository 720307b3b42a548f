"""What to start, as plain values: the caller has read settings and arguments, this package has not."""

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class ListenerAddress:
    """A place to listen: host and port, or the path of a unix socket with the mode it gets.

    `name` tells the worker which listener of its configuration the socket belongs to; empty for the one of
    `[edge] listen`.
    """

    name: str
    host: str = ""
    port: int = 0
    path: str | None = None
    mode: int = 0o660


def python_module(name: str) -> tuple[str, ...]:
    """The command that runs a module of ours in another process."""
    # -P: a folder named `proxy` in the user's working directory must not be imported in place of ours.
    return (sys.executable, "-P", "-m", name)


@dataclass(frozen=True, slots=True)
class Programs:
    """Command prefixes of the children; the arguments of each role are appended."""

    control: tuple[str, ...] = field(default_factory=lambda: python_module("proxy.control"))
    edge: tuple[str, ...] = field(default_factory=lambda: python_module("proxy.edge"))
    lane: tuple[str, ...] = field(default_factory=lambda: python_module("proxy.lane"))
    lane_process: tuple[str, ...] = field(default_factory=lambda: python_module("proxy.lane.process"))
    gateway: tuple[str, ...] = field(default_factory=lambda: python_module("proxy.demo_gateway"))


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """One of `[[lanes]]`: so many processes on one unix socket in the runtime directory."""

    name: str
    socket_name: str
    process_count: int = 1


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """`listen` and `listeners` are the edge's. `control_listen` is bound by control, `gateway_listen` by the
    demo gateway: both are only probed here.

    Seconds: `drain_seconds` from SIGTERM until a worker is killed, `stop_seconds` the same for control and
    gateway, which are asked to stop after the last worker has ended. `ready_command` is run once, when
    every child serves; its standard output is ours.

    `takes_over`: from the supervisor that works in the runtime directory, which goes on when not all serves
    within `takeover_seconds`. `successor_command` starts such a one in our place, with `python_path` as its
    PYTHONPATH; without it this program cannot be restarted in place.
    """

    runtime_directory: Path
    listen: tuple[Address, ...]
    worker_count: int
    listeners: tuple[ListenerAddress, ...] = ()
    limit_entry_count: int = 65536
    lanes: tuple[LaneOptions, ...] = ()
    address_entry_count: int = 32768
    engine: Literal["native", "aiohttp"] = "native"
    config_path: Path | None = None
    control_listen: tuple[Address, ...] = ()
    gateway_listen: Address | None = None
    drain_seconds: float = 31.0
    stop_seconds: float = 5.0
    takeover_seconds: float = 60.0
    takes_over: bool = False
    ready_command: tuple[str, ...] = ()
    successor_command: tuple[str, ...] = ()
    python_path: str = ""
    programs: Programs = field(default_factory=Programs)

    @property
    def edge_addresses(self) -> tuple[ListenerAddress, ...]:
        return (*(ListenerAddress("", host, port) for host, port in self.listen), *self.listeners)

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "SupervisorOptions":
        """What `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        programs = {name: tuple(command) for name, command in values["programs"].items()}
        for name in ("listen", "control_listen"):
            values[name] = tuple(_address(pair) for pair in values[name])
        return cls(
            **values
            | {
                "runtime_directory": Path(values["runtime_directory"]),
                "listeners": tuple(ListenerAddress(**listener) for listener in values["listeners"]),
                "lanes": tuple(LaneOptions(**lane) for lane in values["lanes"]),
                "config_path": Path(values["config_path"]) if values["config_path"] else None,
                "gateway_listen": _address(values["gateway_listen"]) if values["gateway_listen"] else None,
                "ready_command": tuple(values["ready_command"]),
                "successor_command": tuple(values["successor_command"]),
                "programs": Programs(**programs),
            }
        )


def _address(pair: list[Any]) -> Address:
    host, port = pair
    return str(host), int(port)


def child_environment() -> dict[str, str]:
    """Other processes find the package where we were found, be it installed or a checkout."""
    root = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


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
