"""Everything that one bench starts: upstream and subjects, each with its folder, all of it stopped at the
end.
"""

import http.client
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench import entries
from bench.harness import Subject
from bench.load import Load
from bench.peers import certificate, haproxy, lane, nginx, sentra
from bench.peers.certificate import Pair
from bench.processes import NotReadyError, Process, cores, free_port, running
from bench.report import Report

ENTRY_COUNT = 1_000_000
_LIST_SECONDS = 120.0
_FRONT_SECONDS = 20.0

Work = Callable[[int, int], Load]  # (port, seconds)


@dataclass(slots=True)
class Stage:
    folder: Path
    report: Report
    _stack: ExitStack
    upstream_port: int = 0
    subjects: list[Subject] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    _upstream: Process | None = None
    _pair: Pair | None = None

    @property
    def files(self) -> Path:
        """What the upstream serves under `/files/`."""
        return self.folder / "files"

    @property
    def addresses(self) -> Path:
        """A list file of `ENTRY_COUNT` seeded hosts, made once."""
        path = self.folder / "addresses.txt"
        return path if path.exists() else entries.write_addresses(path, ENTRY_COUNT)

    def pair(self, *, is_tls: bool) -> Pair | None:
        """The certificate that all subjects of one stage are given, made once."""
        if is_tls and self._pair is None:
            self._pair = certificate.issue(self.folder / "certificate")
        return self._pair if is_tls else None

    def start_upstream(self) -> None:
        """On the load's core."""
        self.files.mkdir()
        self.upstream_port = free_port()
        command = nginx.upstream(self.folder / "upstream", self.upstream_port, self.files)
        self._upstream = self._start(command, "upstream", self.upstream_port, cores()[1])

    def add_upstream(self, work: Work) -> None:
        """The upstream itself as a subject, without a proxy before it: what the load and it take by
        themselves.
        """
        assert self._upstream is not None, "start_upstream comes first"
        self._remember("direct", self._upstream, self.upstream_port, work)

    def add_nginx(self, work: Work, *, is_tls: bool = False) -> None:
        port, pair = free_port(), self.pair(is_tls=is_tls)
        self._add("nginx", nginx.proxy(self.folder / "nginx", port, self.upstream_port, pair), port, work)

    def add_haproxy(self, work: Work, *, is_tls: bool = False) -> None:
        port, pair = free_port(), self.pair(is_tls=is_tls)
        command = haproxy.proxy(self.folder / "haproxy", port, self.upstream_port, pair)
        self._add("haproxy", command, port, work)

    def add_equal_work(self, work: Work) -> None:
        """Both peers with a list of our size and the fields that we set."""
        for name, peer in (("nginx-equal-work", nginx), ("haproxy-equal-work", haproxy)):
            port = free_port()
            command = peer.equal_work(self.folder / name, port, self.upstream_port, self.addresses)
            self._add(name, command, port, work)

    def add_plain_aiohttp(self, work: Work) -> None:
        port = free_port()
        command = [sys.executable, "-m", "bench.peers.plain_aiohttp", str(port), str(self.upstream_port)]
        self._add("aiohttp", command, port, work)

    def start_front(self, paths: dict[str, Path]) -> dict[str, int]:
        """nginx on the load's core, with a port for each subject that listens on a unix socket there."""
        ports = {name: free_port() for name in paths}
        servers = "\n".join(lane.front(name, ports[name], path) for name, path in paths.items())
        command = nginx.front(self.folder / "front", servers)
        self._start(command, "front", next(iter(ports.values())), cores()[1])
        return ports

    def add_behind_front(self, name: str, command: list[str], port: int, work: Work) -> None:
        """`port` is the front's: it answers before the subject does."""
        self._add(name, command, port, work)
        deadline = time.monotonic() + _FRONT_SECONDS
        while _status_of(port, "bench.test") != 200:
            if time.monotonic() > deadline:
                raise NotReadyError(f"{name} does not answer behind its front within {_FRONT_SECONDS:g} s")
            time.sleep(0.1)

    def add_command(self, name: str, command: list[str], port: int, work: Work) -> None:
        self._add(name, command, port, work)

    def add_sentra(
        self,
        work: Work,
        *,
        engine: Literal["native", "aiohttp"] = "native",
        settings: str = "",
        is_tls: bool = False,
    ) -> None:
        """Our own process set, with the list in force; `settings` are further tables. With TLS it listens
        twice, and the load goes to the second.
        """
        name = "sentra" if engine == "native" else "sentra-aiohttp"
        port = load_port = free_port()
        pair, tls = self.pair(is_tls=is_tls), None
        if pair is not None:
            load_port = free_port()
            tls = sentra.Tls(load_port, pair)
        program = sentra.program(
            self.folder / name,
            port,
            self.upstream_port or free_port(),
            addresses=self.addresses,
            engine=engine,
            settings=settings,
            tls=tls,
        )
        try:
            process = self._start(program.command, name, port, cores()[0])
            _until_list_is_in_force(process, port)
            process.until_listening(load_port)
        except NotReadyError as error:
            self.report.notes.append(f"{name} is missing: {error}".replace("\n", " ")[-600:])
            return
        self._remember(name, process, load_port, work)

    def _add(self, name: str, command: list[str], port: int, work: Work) -> None:
        try:
            process = self._start(command, name, port, cores()[0])
        except (NotReadyError, OSError) as error:
            self.report.notes.append(f"{name} is missing: {error}".replace("\n", " ")[-600:])
            return
        self._remember(name, process, port, work)

    def _remember(self, name: str, process: Process, port: int, work: Work) -> None:
        self.ports[name] = port
        self.subjects.append(Subject(name, process, lambda seconds: work(port, seconds)))

    def _start(self, command: list[str], name: str, port: int, core: int) -> Process:
        log = self.folder / f"{name}.log"
        return self._stack.enter_context(running(command, core=core, log=log, port=port))


def _until_list_is_in_force(process: Process, port: int) -> None:
    """A worker listens before its first list is compiled; then it refuses everything or nothing."""
    deadline = time.monotonic() + _LIST_SECONDS
    while time.monotonic() < deadline:
        if _status_of(port, sentra.BLOCKED_HOST) == 403:
            return
        time.sleep(0.1)
    raise NotReadyError(f"the list is not in force after {_LIST_SECONDS:g} s: {process.last_lines()}")


def _status_of(port: int, host: str) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": host})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@contextmanager
def stage(report: Report) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="sentra-bench-") as folder, ExitStack() as stack:
        # nginx's worker gives up root and still has to read what the upstream serves.
        Path(folder).chmod(0o755)
        yield Stage(Path(folder), report, stack)
