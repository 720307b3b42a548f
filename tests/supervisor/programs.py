"""Children to supervise: small real processes in the place of control and workers.

`python programs.py ROLE [arguments of the supervisor]`. A worker answers each line of a connection with its
slot and process id. What it does at SIGTERM, and how it dies, comes from the environment.
"""

import argparse
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def note(arguments: argparse.Namespace, name: str) -> None:
    """One file per fact, for the test to wait on."""
    path = Path(arguments.runtime_dir) / f"{name}.{os.getpid()}"
    path.touch()


def answer(connection: socket.socket, slot: int) -> None:
    with connection, connection.makefile("rb") as lines:
        for _ in lines:
            connection.sendall(f"{slot} {os.getpid()}\n".encode())


def worker(arguments: argparse.Namespace) -> None:
    if os.environ.get("CRASHING_SLOT") == str(arguments.slot):
        note(arguments, "crashed")
        sys.exit(1)
    if os.environ.get("REFUSING_SLOT") == str(arguments.slot):
        sys.exit(2)
    if os.environ.get("STUBBORN"):
        signal.signal(signal.SIGTERM, lambda *_: note(arguments, "terminated"))
    listener = socket.socket(fileno=int(arguments.listen_fd.split(",")[0]))
    listener.setblocking(True)
    # Before `ready`: a test that has waited for it looks for the fact at once.
    note(arguments, f"worker-{arguments.slot}")
    say(f"ready slot={arguments.slot}")
    say(f"a line of worker {arguments.slot}")
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, arguments.slot), daemon=True).start()


def control(arguments: argparse.Namespace) -> None:
    if status := os.environ.get("CONTROL_STATUS"):
        say("the file is wrong")
        sys.exit(int(status))
    signal.signal(signal.SIGHUP, lambda *_: note(arguments, "reloaded"))
    note(arguments, "control")
    say("ready control")
    inherited = sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())
    say(json.dumps({"event": "control_inherited", "descriptors": inherited}))
    while True:
        signal.pause()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["worker", "control"])
    parser.add_argument("--slot", type=int)
    parser.add_argument("--listen-fd")
    parser.add_argument("--segment-fd")
    parser.add_argument("--runtime-dir")
    parser.add_argument("--config")
    arguments = parser.parse_args()
    {"worker": worker, "control": control}[arguments.role](arguments)


if __name__ == "__main__":
    main()
