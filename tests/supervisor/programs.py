"""Children to supervise: small real processes in the place of control and workers.

`python programs.py ROLE [arguments of the supervisor]`. A worker answers each line of a connection with its
slot and process id. What it does at SIGTERM, and how it dies, comes from the environment. Like the real one,
control works alone in its folder.
"""

import argparse
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def note(arguments: argparse.Namespace, name: str) -> None:
    """One file per fact, for the test to wait on."""
    path = Path(arguments.runtime_dir) / f"{name}.{os.getpid()}"
    path.touch()


def hold(arguments: argparse.Namespace, role: str) -> None:
    """`HOLD_CONTROL`, `HOLD_WORKER`: not ready until the test says so."""
    if os.environ.get(f"HOLD_{role.upper()}"):
        note(arguments, f"held-{role}")
        while not (Path(arguments.runtime_dir) / f"release-{role}").exists():
            time.sleep(0.005)


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
    listeners = [socket.socket(fileno=int(number)) for number in arguments.listen_fd.split(",")]
    for listener in listeners:
        listener.setblocking(True)
        threading.Thread(target=accept, args=(listener, arguments.slot), daemon=True).start()
    if os.environ.get("HOLD_SLOT", str(arguments.slot)) == str(arguments.slot):
        hold(arguments, "worker")
    # Before `ready`: a test that has waited for it looks for the fact at once.
    note(arguments, f"worker-{arguments.slot}")
    say(f"ready slot={arguments.slot}")
    say(f"a line of worker {arguments.slot}")
    while True:
        signal.pause()


def accept(listener: socket.socket, slot: int) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, slot), daemon=True).start()


def control(arguments: argparse.Namespace) -> None:
    if status := os.environ.get("CONTROL_STATUS"):
        say("the file is wrong")
        sys.exit(int(status))
    with (Path(arguments.runtime_dir) / "store").open("w") as store:
        try:
            fcntl.flock(store, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(arguments, "second-writer")
            sys.exit(2)
        serve_control(arguments)


def serve_control(arguments: argparse.Namespace) -> None:
    signal.signal(signal.SIGHUP, lambda *_: note(arguments, "reloaded"))
    hold(arguments, "control")
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
