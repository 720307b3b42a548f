"""A lane process beside a plain aiohttp proxy that does the same: on a unix socket, one middleware, small
requests.

Only the process itself is accounted: the front (nginx, where the edge stands) is on the load's core.
"""

from bench.harness import Pace, add_ratios, add_request_rows, add_system_calls, run_rounds
from bench.load import Load, run_wrk
from bench.peers import lane
from bench.processes import cores
from bench.report import Report
from bench.stage import stage

CONNECTIONS = 32


def work(port: int, seconds: int) -> Load:
    return run_wrk(f"http://127.0.0.1:{port}/", core=cores()[1], seconds=seconds, connections=CONNECTIONS)


def run(*, is_quick: bool) -> Report:
    pace = Pace.of(is_quick=is_quick)
    report = Report(
        "lane", {"rounds": pace.rounds, "seconds": pace.seconds, "connections": CONNECTIONS, "middlewares": 1}
    )
    with stage(report) as here:
        here.start_upstream()
        paths = {name: here.folder / f"{name}.sock" for name in ("lane", "plain_aiohttp")}
        ports = here.start_front(paths)
        command = lane.lane(here.folder / "lane", paths["lane"], here.upstream_port)
        here.add_behind_front("lane", command, ports["lane"], work)
        command = lane.plain(paths["plain_aiohttp"], here.upstream_port)
        here.add_behind_front("plain_aiohttp", command, ports["plain_aiohttp"], work)
        run_rounds(here.subjects, pace)
        add_request_rows(report, here.subjects)
        add_system_calls(report, here.subjects)
        add_ratios(report, here.subjects, "lane", {"plain_aiohttp": "vs_plain_aiohttp"})
    return report
