"""The harness measures what it says, and says what a figure was made of."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from bench import __main__ as command
from bench import entries, harness, load, processes, timing
from bench.report import Report, Row, describe_machine
from bench.statistics import median_with_interval, ratio_of_rounds

WRK = """Running 1s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   595.09us  211.18us   5.37ms   93.01%
    Req/Sec    53.41k     4.41k   57.59k    80.00%
  Latency Distribution
     50%  544.00us
     75%  622.00us
     90%    1.05ms
     99%    1.03s
  53125 requests in 1.00s, 8.61MB read
Requests/sec:  53121.79
Transfer/sec:      8.61MB
"""


def test_wrk_output_becomes_milliseconds_and_counts():
    """Units change from line to line."""
    found = load.parse(WRK, is_denied=False)
    assert (found.request_count, found.seconds) == (53125, 1.0)
    assert (found.p50_ms, found.p90_ms, found.p99_ms) == (0.544, 1.05, 1030.0)


@pytest.mark.parametrize(
    ("extra", "is_denied"),
    [
        ("  Socket errors: connect 0, read 1, write 0, timeout 0\n", False),
        ("  Non-2xx or 3xx responses: 3\n", False),
        ("  Non-2xx or 3xx responses: 53124\n", True),
        ("", True),
    ],
)
def test_a_load_with_wrong_answers_gives_no_figure(extra: str, is_denied: bool):
    """An error page is cheap; it must not become a record."""
    with pytest.raises(load.LoadError):
        load.parse(WRK + extra, is_denied=is_denied)


def test_cpu_time_counts_children_and_grandchildren(tmp_path: Path):
    """A subject is all of its processes."""
    burn = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
    script = tmp_path / "family.py"
    script.write_text(
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {burn + 'time.sleep(60)'!r}])\n"
        "try:\n    time.sleep(60)\nfinally:\n    child.kill()\n"
    )
    process = processes.Process(
        [sys.executable, str(script)], core=processes.cores()[0], log=tmp_path / "log"
    )
    try:
        deadline = time.monotonic() + 20
        while process.cpu_time().total < 0.2:
            assert time.monotonic() < deadline, process.last_lines()
        assert len(process.family()) == 2
    finally:
        for process_id in process.family()[1:]:
            subprocess.run(["kill", str(process_id)], check=True)
        process.stop()


def test_a_process_that_dies_at_its_start_says_why(tmp_path: Path):
    """Otherwise a missing package looks like a slow start."""
    process = processes.Process(["sh", "-c", "echo no such thing; exit 3"], core=0, log=tmp_path / "log")
    with pytest.raises(processes.NotReadyError, match="no such thing"):
        process.until_listening(processes.free_port())
    process.stop()


def test_intervals_hold_the_median_and_are_the_same_every_time():
    """Seeded, so that two readers of the same rounds see the same table."""
    values = [1.0, 1.1, 0.9, 1.05, 5.0, 0.95, 1.0]
    first, second = median_with_interval(values), median_with_interval(values)
    assert first == second
    assert first.low <= first.value == 1.0 <= first.high < 5.0
    few = median_with_interval([1.0, 3.0, 2.0])
    assert (few.value, few.low, few.high) == (2.0, 1.0, 3.0)


def test_a_ratio_is_taken_round_by_round():
    """A disturbed round disturbs both sides and leaves the ratio alone."""
    assert ratio_of_rounds([1.0, 10.0, 2.0], [2.0, 20.0, 4.0]).value == 0.5


def test_rounds_rotate_so_that_no_subject_is_always_first():
    """The first after a pause finds other caches."""
    order: list[str] = []

    def subject(name: str) -> harness.Subject:
        def work(_seconds: int) -> load.Load:
            order.append(name)
            return load.Load(1, 1.0, 1.0, 1.0, 1.0, 0)

        class Still:
            def cpu_time(self) -> processes.CpuTime:
                return processes.CpuTime(0.0, 0.0)

        return harness.Subject(name, cast("processes.Process", Still()), work)

    subjects = [subject("a"), subject("b")]
    harness.run_rounds(subjects, harness.Pace(2, 1))
    assert order == ["a", "b", "a", "b", "b", "a"]


def test_the_json_form_is_the_fixed_one():
    """Other tools read it."""
    report = Report("proxy", {"rounds": 3}, rows=[Row("nginx", "cpu_us_per_request", 15.5, "us")])
    report.ratios["proxy.cpu_us_per_request.vs_nginx"] = ratio_of_rounds([1.0], [2.0])
    document = json.loads(report.to_json())
    assert document["bench"] == "proxy"
    assert document["ratios"] == {"proxy.cpu_us_per_request.vs_nginx": 0.5}
    assert document["rows"] == [
        {"subject": "nginx", "metric": "cpu_us_per_request", "value": 15.5, "unit": "us", "case": ""}
    ]
    assert "| nginx |" in report.to_markdown()


def test_an_unknown_name_lists_the_known_ones(capsys: pytest.CaptureFixture[str]):
    """Later benches have other names; a typing mistake must not run for minutes."""
    with pytest.raises(SystemExit) as stopped:
        command.parse_arguments(["warp"])
    assert stopped.value.code == 2
    assert "memory, replace, proxy, stream, deny, tls, latency, idle" in capsys.readouterr().err


def test_seeded_addresses_are_distinct_the_same_and_never_loopback():
    """A list that blocks 127/8 would deny the load; two runs must measure the same list."""
    found = entries.seeded_addresses(20_000)
    assert found == entries.seeded_addresses(20_000)
    assert len(set(found)) == 20_000
    assert not {address >> 24 for address in found} & {0, 10, 127, *range(224, 256)}
    # Published hosts are spread over many networks.
    assert len({address >> 8 for address in found}) > 19_900


def test_a_call_costs_more_than_no_call():
    """The loop is taken off, the call is not."""
    cheap = timing.nanoseconds_per_call(abs, [1] * 1000, 20)
    dear = timing.nanoseconds_per_call(lambda number: [number] * 100, [1] * 1000, 20)
    assert 0 < cheap < dear


def test_a_random_read_of_much_memory_costs_more_than_one_of_little():
    """D of the lookup bench: a walk that the caches hold must not pass for it."""
    little, much = timing.plain_memory(1 << 16), timing.plain_memory(256 << 20)
    assert timing.RandomRead(much).nanoseconds(5000, 5) > 5 * abs(
        timing.RandomRead(little).nanoseconds(5000, 5)
    )


def test_the_report_names_the_extension_that_was_built():
    """Most benches measure it in other processes and never load it themselves."""
    assert "_native" in describe_machine()["extension"]


def test_mixed_lists_hold_as_many_distinct_entries_as_asked_for():
    """Figures per entry divide by that number."""
    lists = entries.mixed_lists(10_000)
    lines = [line for item in lists for line in item.text.split(b"\n")]
    assert len(lines) == len(set(lines)) == 10_000
