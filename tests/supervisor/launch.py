"""`python launch.py RUNTIME_DIR PORT WORKERS DRAIN_SECONDS`: the real supervisor above programs.py."""

import sys
from pathlib import Path

from proxy.errors import ConfigError
from proxy.supervisor import Programs, SupervisorOptions, run

_PROGRAMS = str(Path(__file__).with_name("programs.py"))


def main() -> int:
    directory, port, workers, drain_seconds = sys.argv[1:]
    control, worker = ((sys.executable, _PROGRAMS, role) for role in ("control", "worker"))
    options = SupervisorOptions(
        runtime_directory=Path(directory),
        listen=(("127.0.0.1", int(port)),),
        worker_count=int(workers),
        drain_seconds=float(drain_seconds),
        stop_seconds=float(drain_seconds),
        ready_command=("touch", str(Path(directory) / "all-ready")),
        programs=Programs(control=control, edge=worker),
    )
    try:
        return run(options)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
