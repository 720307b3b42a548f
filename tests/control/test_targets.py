"""What workers report of their targets: gauges of the living, counters of all."""

import orjson
from prometheus_client.parser import text_string_to_metric_families

from proxy import frames
from proxy.control.targets import TargetReports, TargetSum
from proxy.frames import Kind
from tests.control.conftest import Pod, until

KEY = ("tyk", "10.0.0.1:8080")


def report(**changes: object) -> bytes:
    row = {
        "upstream": KEY[0],
        "target": KEY[1],
        "is_ejected": False,
        "busy": 2,
        "idle": 3,
        "failures": 4,
        "ejections": 1,
    }
    return orjson.dumps([row | changes])


def test_workers_add_up():
    reports = TargetReports()
    reports.take(0, 100, report())
    reports.take(1, 101, report(is_ejected=True, busy=1))
    assert reports.sums() == {
        KEY: TargetSum(worker_count=2, ejected_by=1, busy=3, idle=6, failures=8, ejections=2)
    }


def test_counters_stay_when_their_worker_is_gone():
    """A time series database takes a counter that shrinks for a restart of everything."""
    reports = TargetReports()
    for process_id in (100, 101, 102):
        reports.take(0, process_id, report())
        reports.detached(0, process_id)
    assert reports.sums()[KEY] == TargetSum(failures=12, ejections=3)


def test_worker_that_attaches_again_is_not_counted_twice():
    """The control process restarts the link, not the worker."""
    reports = TargetReports()
    reports.take(0, 100, report())
    reports.detached(0, 100)
    reports.take(0, 100, report(failures=5))
    assert reports.sums()[KEY] == TargetSum(worker_count=1, busy=2, idle=3, failures=5, ejections=1)


def test_target_that_has_left_keeps_its_counters():
    reports = TargetReports()
    reports.take(0, 100, report())
    reports.take(0, 100, report(target="10.0.0.2:8080"))
    sums = reports.sums()
    assert sums[KEY] == TargetSum(failures=4, ejections=1)
    assert sums["tyk", "10.0.0.2:8080"].worker_count == 1


def test_report_that_cannot_be_read_changes_nothing():
    reports = TargetReports()
    reports.take(0, 100, report())
    for payload in (b"{", b"{}", b"[1]", b"[{}]", report(busy="many")):
        reports.take(0, 100, payload)
    assert reports.sums()[KEY].failures == 4


async def test_report_of_a_worker_shows_in_status_and_metrics(running_pod: Pod):
    """From the frame to the page."""
    worker = await running_pod.current_worker()
    worker.send(frames.encode(Kind.TARGETS, report(upstream="default", is_ejected=True)))
    await until(lambda: running_pod.control.links.targets.sums(), "the report has come")
    _, status = await running_pod.call("GET", "/v1/status")
    assert status["upstreams"] == [
        {
            "name": "default",
            "balance": "round_robin",
            "targets": [
                {
                    "target": KEY[1],
                    "up": None,
                    "check": "",
                    "workers": 1,
                    "ejected_by": 1,
                    "in_flight": 2,
                    "idle": 3,
                    "failures": 4,
                    "ejections": 1,
                }
            ],
        }
    ]
    _, text = await running_pod.call("GET", "/metrics", port="ops")
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels == {"upstream": "default", "target": KEY[1]}
    }
    assert found == {
        "sentra_target_in_flight": 2,
        "sentra_target_idle": 3,
        "sentra_target_ejected": 1,
        "sentra_target_failures_total": 4,
        "sentra_target_ejections_total": 1,
    }
    await worker.close()
    await until(
        lambda: running_pod.control.links.targets.sums()["default", KEY[1]].worker_count == 0, "it is gone"
    )
