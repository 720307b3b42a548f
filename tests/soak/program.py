"""Edge, origin and loads as processes -> what one part of the soak runs with, all of it stopped at the
end.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.processes import (
    ROOT,
    Edge,
    Process,
    clean_environment,
    free_ports,
    resident_bytes,
    wait_until,
)

_CALM_SECONDS = 30.0
_DRAIN_LINE = "drain_seconds = 1.0"


@contextmanager
def running(module: str, *arguments: object, folder: Path, ready_port: int) -> Iterator[Process]:
    """`python -m tests.soak.MODULE`, listening."""
    command = [sys.executable, "-m", f"tests.soak.{module}", *map(str, arguments)]
    process = Process(command, folder / f"{module}.log", clean_environment(), ROOT)
    try:
        wait_until(lambda: _listens(ready_port), f"{module} listens on {ready_port}")
        yield process
    finally:
        process.end()


def _listens(port: int) -> bool:
    """By the kernel's table: a connection of ours would be one more for whoever counts."""
    wanted = f"0100007F:{port:04X}"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[1] == wanted and line.split()[3] == "0A" for line in lines)


@contextmanager
def edge_before(
    upstream_port: int, folder: Path, *, workers: int, timeouts: str = "", more: str = "", upstream: str = ""
) -> Iterator[Edge]:
    """A started edge; `timeouts` and `upstream` are lines of those tables."""
    edge = Edge(folder, upstream_port, workers=workers, more=more)
    text = edge.config_path.read_text().replace(_DRAIN_LINE, f"drain_seconds = 20.0\n{timeouts}")
    url = f'url = "http://127.0.0.1:{upstream_port}"'
    edge.config_path.write_text(text.replace(url, f"{url}\n{upstream}"))
    try:
        edge.start()
        yield edge
    finally:
        edge.end()


def start_load(module: str, *arguments: object) -> "subprocess.Popen[str]":
    """The process prints one line of JSON: `result_of`."""
    command = [sys.executable, "-m", f"tests.soak.{module}", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def result_of(load: "subprocess.Popen[str]", bound_seconds: float) -> Any:
    """Stops the load when it does not end by itself."""
    try:
        out, _ = load.communicate(timeout=bound_seconds)
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()
    assert load.returncode == 0, f"{load.args!r} ended with {load.returncode}"
    return json.loads(out)


def descriptor_count(edge: Edge) -> int:
    return sum(len(list(Path(f"/proc/{number}/fd").iterdir())) for number in edge.workers().values())


def memory_mib(edge: Edge) -> float:
    return sum(map(resident_bytes, edge.workers().values())) / 1048576


def memory_left_mib(edge: Edge, before_mib: float, limit_mib: float) -> float:
    """Above what there was; waits for the worker's looks at its heap while that is more than the limit."""
    deadline = time.monotonic() + _CALM_SECONDS
    while (left := memory_mib(edge) - before_mib) > limit_mib and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def until_calm(edge: Edge) -> dict[str, float]:
    """Wait until nothing is open; what still is after that, by gauge."""
    names = ("connections_open", "upstream_open", "requests_in_flight", "tunnels_open")
    deadline = time.monotonic() + _CALM_SECONDS
    while True:
        found = {name: edge.metric(f"sentra_{name}") for name in names}
        if not any(found.values()) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def origin_port() -> int:
    (port,) = free_ports(1)
    return port
