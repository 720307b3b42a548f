"""`launch.py RUNTIME_DIR PORT WORKERS DRAIN_SECONDS [--take-over]`: the real supervisor above programs.py.

What a successor does differently stands in RUNTIME_DIR/successor.json: environment, and `WORKERS`.
"""

import json
import os
import sys
from pathlib import Path

from proxy.errors import ConfigError
from proxy.supervisor import Programs, SupervisorOptions, run

_PROGRAMS = str(Path(__file__).with_name("programs.py"))


def main() -> int:
    directory, port, workers, drain_seconds = sys.argv[1:5]
    takes_over = "--take-over" in sys.argv
    if takes_over and (changes := Path(directory) / "successor.json").exists():
        os.environ.update(json.loads(changes.read_text()))
    control, worker = ((sys.executable, _PROGRAMS, role) for role in ("control", "worker"))
    options = SupervisorOptions(
        runtime_directory=Path(directory),
        listen=(("127.0.0.1", int(port)),),
        worker_count=int(os.environ.get("WORKERS", workers)),
        drain_seconds=float(drain_seconds),
        stop_seconds=float(drain_seconds),
        takeover_seconds=float(os.environ.get("TAKEOVER_SECONDS", "60")),
        takes_over=takes_over,
        ready_command=("touch", str(Path(directory) / "all-ready")),
        successor_command=(sys.executable, __file__, *sys.argv[1:5], "--take-over"),
        python_path=os.environ["PYTHONPATH"],
        programs=Programs(control=control, edge=worker),
    )
    try:
        return run(options)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
