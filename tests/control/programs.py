"""The control process as the supervisor starts it: another process, with a segment and pipes."""

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fastmatch._native import Segment

ROOT = Path(__file__).resolve().parents[2]
BOUND_SECONDS = 20.0


def clean_environment(**extra: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SENTRA_", "TYK_")) and name != "LOG_LEVEL"
    }
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


class ControlProgram:
    """One folder, started and ended again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_path = folder / "sentra.toml"
        self.log_path = folder / "log"
        self.segment = Segment.create(1)
        self.process: subprocess.Popen[str] | None = None
        self.configure()

    def configure(
        self, text: str = "", *, control: str = 'auth = "none"', admin: str = "127.0.0.1:0"
    ) -> None:
        self.config_path.write_text(
            f"{text}\n[control]\n"
            f'admin_listen = "{admin}"\nops_listen = "127.0.0.1:0"\n{control}\n[state]\ndirectory = "var"\n'
        )

    def start(self) -> "ControlProgram":
        """Returns when it says that it is ready."""
        self.spawn()
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready control\n", self.log()
        return self

    def spawn(self) -> subprocess.Popen[str]:
        descriptor = self.segment.fileno()
        os.set_inheritable(descriptor, True)
        command = [sys.executable, "-m", "proxy.control", "--config", str(self.config_path)]
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--segment-fd", str(descriptor), "--runtime-dir", str(self.folder / "var/run")],
                pass_fds=[descriptor],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=clean_environment(),
                cwd=self.folder,
            )
        return self.process

    def end(self, number: int | None = None) -> int:
        """The exit status; without a signal it is waited for only."""
        assert self.process is not None
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(BOUND_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.end()

    def log(self) -> str:
        return self.log_path.read_text()

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + BOUND_SECONDS
        while text not in self.log():
            assert time.monotonic() < deadline, f"{text!r} is not in the log:\n{self.log()}"
            time.sleep(0.01)

    def address(self, port: str) -> str:
        found: dict[str, str] = json.loads((self.folder / "var/run/control.json").read_bytes())
        return found[port]

    @property
    def admin_address(self) -> str:
        return self.address("admin")

    def call(self, method: str, path: str, body: object = None, *, port: str = "admin") -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.address(port), timeout=BOUND_SECONDS)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()
