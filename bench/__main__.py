"""`python -m bench NAME [--json FILE] [--quick]`: measure, print a table; without NAME all of them, quickly.

`make bench` installs what they need. Loads are bounded and stay on 127.0.0.1.
"""

import argparse
import importlib
import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import report as reports

NAMES = (
    "lookup",
    "instructions",
    "build",
    "memory",
    "replace",
    "proxy",
    "stream",
    "deny",
    "tls",
    "latency",
    "idle",
    "lane",
)
_PROGRAMS: dict[str, tuple[str, ...]] = {
    "lookup": (),
    "instructions": ("cargo", "valgrind"),
    "build": (),
    "memory": (),
    "replace": ("nginx", "wrk", "taskset"),
    "tls": ("nginx", "haproxy", "wrk", "taskset", "openssl"),
    "idle": ("nginx", "haproxy", "wrk", "taskset", "openssl"),
    "latency": ("nginx", "haproxy", "taskset"),
    "lane": ("nginx", "wrk", "taskset"),
    "proxy": ("nginx", "haproxy", "wrk", "taskset"),
}
_PACKAGES = {
    "lookup": ("marisa_trie", "maxminddb", "pyroaring", "pytricia", "radix"),
    "build": ("mmdb_writer", "netaddr", "pyroaring", "pytricia", "radix"),
    "memory": ("maxminddb", "pyroaring", "pytricia", "radix"),
}


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="3 short rounds instead of 10")
    found = parser.parse_args(arguments)
    if found.name is not None and found.name not in NAMES:
        parser.error(f"unknown bench {found.name!r}: choose from {', '.join(NAMES)}")
    if found.name is None and found.json is not None:
        parser.error("--json needs a NAME")
    return found


def missing_programs(name: str) -> list[str]:
    wanted = _PROGRAMS.get(name, _PROGRAMS["proxy"])
    return [program for program in wanted if shutil.which(program) is None]


def missing_packages(name: str) -> list[str]:
    return [package for package in _PACKAGES.get(name, ()) if importlib.util.find_spec(package) is None]


def run(name: str, *, is_quick: bool) -> reports.Report:
    load = os.getloadavg()[0]
    # Imported here: a bench must not need the packages of another one's peers.
    report: reports.Report = importlib.import_module(f"bench.{name}").run(is_quick=is_quick)
    # Other work on the machine moves every figure; a reader has to see it.
    report.machine = {**reports.describe_machine(), "load before": f"{load:.2f}"}
    return report


def main(arguments: Sequence[str]) -> int:
    options = parse_arguments(arguments)
    for name in (options.name,) if options.name else NAMES:
        if missing := missing_programs(name):
            print(f"bench {name} needs {', '.join(missing)}: `make bench` installs them", file=sys.stderr)
            return 2
        if missing := missing_packages(name):
            print(f"bench {name} needs {', '.join(missing)}: `make bench` installs them", file=sys.stderr)
            return 2
        report = run(name, is_quick=options.quick or options.name is None)
        print(report.to_markdown(), flush=True)
        if options.json is not None:
            options.json.write_bytes(report.to_json())
    return 0


def leave(number: int, _frame: object) -> None:
    """Ends the subjects too: an exit unwinds to where they are stopped, a signal alone does not."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, leave)
    sys.exit(main(sys.argv[1:]))
