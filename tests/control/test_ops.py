"""The ops port: what a load balancer and a time series database ask."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastmatch._native import Downstream, Gate, GateConfig, Route
from proxy.control import metrics
from tests.control.conftest import Pod


async def samples(pod: Pod) -> dict[str, float]:
    status, text = await pod.call("GET", "/metrics", port="ops")
    assert status == 200
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_process_is_alive_while_it_serves(running_pod: Pod):
    assert await running_pod.call("GET", "/livez", port="ops") == (200, "ok\n")


async def test_pod_is_ready_when_a_worker_has_the_list(running_pod: Pod):
    """Before that a request would be answered by nobody."""
    status, answer = await running_pod.call("GET", "/readyz", port="ops")
    assert (status, answer["ready"], answer["workers"]["attached"]) == (503, False, 0)
    worker = await running_pod.current_worker()
    status, answer = await running_pod.call("GET", "/readyz", port="ops")
    assert (status, answer["ready"], answer["list"]) == (200, True, "loaded")
    await worker.close()


async def test_pod_that_stops_is_not_ready(running_pod: Pod):
    await running_pod.current_worker()
    running_pod.control.is_stopping = True
    status, answer = await running_pod.call("GET", "/readyz", port="ops")
    assert (status, answer["stopping"]) == (503, True)


async def test_pod_that_drains_is_not_ready(running_pod: Pod):
    """Workers are asked to stop before this process is: only the file says that nothing new may come."""
    await running_pod.current_worker()
    (running_pod.runtime_directory / "draining").touch()
    status, answer = await running_pod.call("GET", "/readyz", port="ops")
    assert (status, answer["ready"], answer["stopping"]) == (503, False, True)
    assert (await running_pod.call("GET", "/livez", port="ops"))[0] == 200
    assert (await running_pod.call("GET", "/v1/status"))[1]["stopping"] is True


async def test_counters_of_the_workers_are_summed(running_pod: Pod):
    running_pod.segment.add(0, "connections", 2)
    running_pod.segment.add(1, "connections", 3)
    running_pod.segment.add(1, "connections_open", 1)
    found = await samples(running_pod)
    assert found["sentra_connections_total"] == 5
    assert found["sentra_connections_open"] == 1


async def test_routes_are_counted_by_name(running_pod: Pod):
    """A worker counts where the route of that name has its place, whatever its number."""
    routes = [Route("first", hosts=["b.example"]), Route("default")]
    gate = Gate(GateConfig(routes=routes, on_missing="open"), running_pod.segment, 1)
    client = Downstream(gate, "192.0.2.1")
    for status in (200, 502):
        client.head(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        client.end(status)
    found = await samples(running_pod)
    assert found["sentra_route_requests_total[default]"] == 2
    assert found["sentra_route_denied_total[default]"] == 0
    assert found["sentra_route_errors_total[default]"] == 1
    assert "sentra_route_requests_total[first]" not in found


async def test_lists_and_workers_show_in_the_metrics(running_pod: Pod):
    await running_pod.current_worker()
    await running_pod.call("POST", "/v1/blocks", {"target": "203.0.113.7"})
    found = await samples(running_pod)
    assert found["sentra_list_entries[bad]"] == 1
    assert found["sentra_list_refused[bad]"] == 0
    assert found["sentra_list_age_seconds[bad]"] < 60
    assert found["sentra_manual_entries"] == 1
    assert found["sentra_workers_attached"] == found["sentra_workers_current"] == 1
    assert found["sentra_compile_failing"] == 0
    assert found["sentra_base_sequence"] == 1
    assert found["sentra_log_sequence"] == 2


async def test_metrics_are_there_without_a_list(pod: Pod):
    (pod.folder / "bad.txt").unlink()
    await pod.start()
    found = await samples(pod)
    assert found["sentra_compile_failing"] == 1
    assert "sentra_base_sequence" not in found


async def test_unknown_path_is_not_found(running_pod: Pod):
    """The admin API is not on this port."""
    assert (await running_pod.call("GET", "/v1/status", port="ops"))[0] == 404


@pytest.mark.parametrize(
    ("fine", "counts", "total"),
    [
        ([], {}, 0),
        ([(0.0001, 1)], {"0.0001": 1, "60.0": 1}, 1),
        ([(0.00011, 1), (0.2, 2)], {"0.0001": 0, "0.00025": 1, "0.1": 1, "0.25": 3}, 3),
        ([(100.0, 4)], {"60.0": 0}, 4),
    ],
)
def test_fine_buckets_are_folded_into_cumulative_ones(fine, counts, total):
    """A bucket counts where its upper bound fits: never reported faster than it was."""
    buckets, found_total, sum_value = metrics.fold(fine)
    assert found_total == total
    assert {name: value for name, value in buckets if name in counts} == counts
    assert sum_value == pytest.approx(sum(upper * count for upper, count in fine))
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
