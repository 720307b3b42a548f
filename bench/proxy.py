"""Small requests over keep-alive connections, everything of ours switched on: CPU per request against the
peers.
"""

from bench.harness import Pace, Subject, add_ratios, add_request_rows, add_system_calls, run_rounds
from bench.load import Load, run_wrk
from bench.processes import cores
from bench.report import Report
from bench.stage import ENTRY_COUNT, stage

CONNECTIONS = 32


def work(port: int, seconds: int) -> Load:
    return run_wrk(f"http://127.0.0.1:{port}/", core=cores()[1], seconds=seconds, connections=CONNECTIONS)


def run(*, is_quick: bool) -> Report:
    pace = Pace.of(is_quick=is_quick)
    report = Report(
        "proxy",
        {"rounds": pace.rounds, "seconds": pace.seconds, "connections": CONNECTIONS, "entries": ENTRY_COUNT},
    )
    with stage(report) as here:
        here.start_upstream()
        here.add_sentra(work)
        here.add_nginx(work)
        here.add_haproxy(work)
        here.add_equal_work(work)
        here.add_plain_aiohttp(work)
        here.add_sentra(work, engine="aiohttp")
        run_rounds(here.subjects, pace)
        add_request_rows(report, here.subjects)
        add_system_calls(report, here.subjects)
        add_all_ratios(report, here.subjects)
    return report


def add_all_ratios(report: Report, subjects: list[Subject]) -> None:
    names = {
        "nginx": "vs_nginx",
        "haproxy": "vs_haproxy",
        "aiohttp": "vs_aiohttp",
        "nginx-equal-work": "vs_nginx_equal_work",
        "haproxy-equal-work": "vs_haproxy_equal_work",
    }
    add_ratios(report, subjects, "sentra", names)
    add_ratios(report, subjects, "sentra-aiohttp", {"aiohttp": "aiohttp_engine_vs_aiohttp"})
