"""A refused request on a kept connection, against the cheapest refusal of the peers."""

from bench.harness import Pace, add_ratios, add_request_rows, add_system_calls, run_rounds
from bench.load import Load, run_wrk
from bench.peers import haproxy, nginx
from bench.peers.sentra import BLOCKED_HOST
from bench.processes import cores, free_port
from bench.report import Report
from bench.stage import ENTRY_COUNT, stage

CONNECTIONS = 32


def work(port: int, seconds: int) -> Load:
    return run_wrk(
        f"http://127.0.0.1:{port}/",
        core=cores()[1],
        seconds=seconds,
        connections=CONNECTIONS,
        fields=(f"Host: {BLOCKED_HOST}",),
        is_denied=True,
    )


def run(*, is_quick: bool) -> Report:
    pace = Pace.of(is_quick=is_quick)
    report = Report(
        "deny",
        {"rounds": pace.rounds, "seconds": pace.seconds, "connections": CONNECTIONS, "entries": ENTRY_COUNT},
    )
    with stage(report) as here:
        here.add_sentra(work)
        nginx_port, haproxy_port = free_port(), free_port()
        here.add_command("nginx", nginx.deny(here.folder / "nginx", nginx_port), nginx_port, work)
        here.add_command("haproxy", haproxy.deny(here.folder / "haproxy", haproxy_port), haproxy_port, work)
        here.add_sentra(work, engine="aiohttp")
        run_rounds(here.subjects, pace)
        add_request_rows(report, here.subjects, "keep_alive")
        add_system_calls(report, here.subjects, "keep_alive")
        add_ratios(report, here.subjects, "sentra", {"nginx": "vs_nginx", "haproxy": "vs_haproxy"})
    return report
