"""Small requests over TLS: on kept connections, and with a full handshake for each."""

from bench.harness import Pace, Subject, add_ratios, add_request_rows, add_system_calls, run_rounds
from bench.load import Load, run_wrk
from bench.processes import cores
from bench.report import Report
from bench.stage import ENTRY_COUNT, Stage, stage

CONNECTIONS = 32
_PEERS = {"nginx": "vs_nginx", "haproxy": "vs_haproxy"}


def work(port: int, seconds: int) -> Load:
    return run_wrk(f"https://127.0.0.1:{port}/", core=cores()[1], seconds=seconds, connections=CONNECTIONS)


def work_with_handshakes(port: int, seconds: int) -> Load:
    """wrk offers no earlier session: every connection begins with a full handshake."""
    return run_wrk(
        f"https://127.0.0.1:{port}/",
        core=cores()[1],
        seconds=seconds,
        connections=CONNECTIONS,
        fields=("Connection: close",),
    )


def run(*, is_quick: bool) -> Report:
    pace = Pace.of(is_quick=is_quick)
    report = Report(
        "tls",
        {
            "rounds": pace.rounds,
            "seconds": pace.seconds,
            "connections": CONNECTIONS,
            "entries": ENTRY_COUNT,
            "certificate": "ECDSA P-256",
        },
    )
    with stage(report) as here:
        here.start_upstream()
        here.add_sentra(work, is_tls=True)
        here.add_nginx(work, is_tls=True)
        here.add_haproxy(work, is_tls=True)
        run_rounds(here.subjects, pace)
        add_request_rows(report, here.subjects, "keep_alive")
        add_system_calls(report, here.subjects, "keep_alive")
        add_ratios(report, here.subjects, "sentra", _PEERS)
        shaking = with_handshakes(here)
        run_rounds(shaking, pace)
        add_request_rows(report, shaking, "full_handshake")
        add_ratios(report, shaking, "sentra", _PEERS, metric="cpu_us_per_handshake")
    return report


def with_handshakes(here: Stage) -> list[Subject]:
    """The same processes under the other load."""
    return [_shaking(subject, here.ports[subject.name]) for subject in here.subjects]


def _shaking(subject: Subject, port: int) -> Subject:
    return Subject(subject.name, subject.process, lambda seconds: work_with_handshakes(port, seconds))
