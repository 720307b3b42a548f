"""Answers of 10 MB: CPU seconds per GB that passes through."""

from bench.harness import Pace, Subject, add_ratios, run_rounds
from bench.load import Load, run_wrk
from bench.processes import cores
from bench.report import Report, Row
from bench.stage import stage
from bench.statistics import median_with_interval

BODY_BYTES = 10_000_000
CONNECTIONS = 4


def work(port: int, seconds: int) -> Load:
    url = f"http://127.0.0.1:{port}/files/body"
    return run_wrk(url, core=cores()[1], seconds=seconds, connections=CONNECTIONS)


def seconds_per_gb(subject: Subject) -> list[float]:
    """Complete answers count; what is cut at the end of a round is at most one body per connection."""
    return [
        cost.total / (load.request_count * BODY_BYTES / 1e9)
        for cost, load in zip(subject.costs, subject.loads, strict=True)
    ]


def run(*, is_quick: bool) -> Report:
    pace = Pace.of(is_quick=is_quick)
    report = Report(
        "stream",
        {
            "rounds": pace.rounds,
            "seconds": pace.seconds,
            "connections": CONNECTIONS,
            "body_bytes": BODY_BYTES,
        },
    )
    with stage(report) as here:
        here.start_upstream()
        (here.files / "body").write_bytes(bytes(BODY_BYTES))
        here.add_sentra(work)
        here.add_nginx(work)
        here.add_haproxy(work)
        here.add_equal_work(work)
        here.add_plain_aiohttp(work)
        here.add_sentra(work, engine="aiohttp")
        run_rounds(here.subjects, pace)
        add_rows(report, here.subjects)
        for ours, names in (
            (
                "sentra",
                {
                    "nginx": "vs_nginx",
                    "haproxy": "vs_haproxy",
                    "aiohttp": "vs_aiohttp",
                    "nginx-equal-work": "vs_nginx_equal_work",
                    "haproxy-equal-work": "vs_haproxy_equal_work",
                },
            ),
            ("sentra-aiohttp", {"aiohttp": "aiohttp_engine_vs_aiohttp"}),
        ):
            add_ratios(report, here.subjects, ours, names, seconds_per_gb, "cpu_s_per_gb")
    return report


def add_rows(report: Report, subjects: list[Subject]) -> None:
    for subject in subjects:
        cost = median_with_interval(seconds_per_gb(subject))
        report.rows.append(
            Row(subject.name, "cpu_s_per_gb", cost.value, "s/GB", "10 MB", cost.low, cost.high)
        )
        rates = [load.requests_per_second * BODY_BYTES / 1e9 for load in subject.loads]
        rate = median_with_interval(rates)
        report.rows.append(
            Row(subject.name, "gb_per_second", rate.value, "GB/s", "10 MB", rate.low, rate.high)
        )
