"""Sight over whole programs: what is told is what was sent."""

import json
import os
import signal
from typing import Any

import pytest

from tests.e2e.conftest import EdgeMaker
from tests.e2e.processes import Edge, wait_until

ROUTES = """
[[routes]]
name = "status"
path_prefix = "/status"

[[routes]]
name = "rest"

[[lists]]
path = "lists/first.txt"
source = "first"
score = 9
"""


@pytest.fixture
def sight_edge(make_edge: EdgeMaker, gateway_port: int) -> Edge:
    """Two workers, two routes, before a demo gateway that answers /status/N with N."""
    made = make_edge(gateway_port, more=ROUTES)
    (made.lists / "first.txt").write_text("198.51.100.0/24\n")
    made.start()
    return made


def by_route(edge: Edge) -> dict[str, Any]:
    rows = edge.admin("/v1/top?by=route&window=15m").json()["routes"]
    return {row["route"]: row for row in rows}


def requests(edge: Edge, route: str) -> int:
    return by_route(edge).get(route, {}).get("requests", 0)


def send(edge: Edge, client: str, path: str, count: int) -> None:
    for _ in range(count):
        edge.get_as(client, path)


def test_counts_by_route_agree_with_what_was_sent(sight_edge: Edge):
    edge = sight_edge
    for client, path, count in [
        ("192.0.2.1", "/status/200", 12),
        ("192.0.2.1", "/status/503", 3),
        ("192.0.2.2", "/echo", 7),
        ("198.51.100.66", "/status/200", 5),
        ("2001:db8:1::5", "/status/404", 4),
    ]:
        send(edge, client, path, count)
    wait_until(lambda: requests(edge, "status") == 24, "the last second is in the store")
    wait_until(lambda: requests(edge, "rest") == 7, "the last second is in the store")
    status = by_route(edge)["status"]
    assert (status["denied"], status["errors"], status["error_rate"]) == (5, 3, 0.125)
    assert status["responses"] == {"1xx": 0, "2xx": 12, "3xx": 0, "4xx": 9, "5xx": 3}
    assert 0 < status["latency_ms"]["p50"] <= status["latency_ms"]["p99"]
    answer = edge.admin("/v1/analytics?api_id=status&time_range=24h").json()
    assert (answer["totals"]["requests"], answer["pods"], answer["source"]) == (24, "1/1", "edge")
    assert sum(point["requests"] for point in answer["traffic"]) == 24
    assert edge.metric("sentra_route_requests_total") == 31
    assert edge.metric("sentra_route_request_seconds_count") == 31


def test_killed_control_process_costs_no_count_and_a_restart_keeps_the_history(sight_edge: Edge):
    edge = sight_edge
    send(edge, "192.0.2.1", "/status/200", 4)
    wait_until(lambda: requests(edge, "status") == 4, "the first are told")
    os.kill(edge.control(), signal.SIGKILL)
    send(edge, "192.0.2.1", "/status/200", 6)
    wait_until(lambda: edge.ready_count("control") == 2, "control is back")
    wait_until(lambda: requests(edge, "status") == 10, "those of between are told")
    send(edge, "192.0.2.1", "/status/200", 2)
    edge.stop()
    edge.start()
    send(edge, "192.0.2.1", "/status/200", 1)
    wait_until(lambda: requests(edge, "status") == 13, "history and new ones")
    assert edge.metric("sentra_route_requests_total") == 1


def test_what_clients_write_is_escaped_and_cut(sight_edge: Edge):
    """Events are shown to people and to models."""
    edge = sight_edge
    edge.get_as("198.51.100.66", "/echo?%0Adata:%20x" + "y" * 3000)
    wait_until(lambda: denials(edge), "the denial is told")
    (event,) = denials(edge)
    assert event["client"] == "198.51.100.66"
    assert len(json.dumps(event)) < 2000


def denials(edge: Edge) -> list[dict[str, Any]]:
    rows = edge.admin("/v1/events?kinds=denial").json()["events"]
    return [row["data"] for row in rows]


def test_clients_are_told_as_they_came(sight_edge: Edge):
    edge = sight_edge
    for client, count in [("192.0.2.1", 12), ("2001:db8:1::5", 3), ("2001:db8:1::6", 1), ("198.51.100.7", 5)]:
        send(edge, client, "/echo", count)

    def top(order: str) -> dict[str, Any]:
        answer: dict[str, Any] = edge.admin(f"/v1/top?by=client&order={order}").json()
        return answer

    wait_until(lambda: top("requests")["totals"]["requests"] == 21, "every worker has told of its clients")
    told = {item["client"]: item["requests"] for item in top("requests")["clients"]}
    assert told == {
        name: {"count": count, "at_most": count}
        for name, count in {"192.0.2.1": 12, "198.51.100.7": 5, "2001:db8:1::/64": 4}.items()
    }
    denied = top("denied")["clients"]
    assert [(item["client"], item["denied"]["count"]) for item in denied] == [("198.51.100.7", 5)]
    assert all(item["bytes"]["count"] > 0 for item in top("bytes")["clients"])
    wait_until(lambda: requests(edge, "rest") == 21, "the route has counted as many")
    by_clients = sum(item["bytes"]["count"] for item in top("bytes")["clients"])
    assert by_route(edge)["rest"]["bytes"] == by_clients
    shown = edge.command("top", "--order", "denied")
    assert (shown.returncode, "198.51.100.7" in shown.stdout) == (0, True)


def test_worker_without_control_tells_later_what_it_saw(sight_edge: Edge):
    """Its rankings are bounded, so they wait."""
    edge = sight_edge
    os.kill(edge.control(), signal.SIGKILL)
    send(edge, "192.0.2.1", "/echo", 6)
    wait_until(lambda: edge.ready_count("control") == 2, "control is back")
    wait_until(
        lambda: edge.admin("/v1/top").json()["totals"]["requests"] == 6, "workers told of their clients"
    )


def test_simulation_knows_the_clients_of_late(sight_edge: Edge):
    edge = sight_edge
    for client, count in [("192.0.2.1", 6), ("203.0.113.9", 3), ("203.0.113.10", 1), ("198.51.100.1", 2)]:
        send(edge, client, "/echo", count)

    def simulated() -> dict[str, Any]:
        body = {"entries": [{"target": "203.0.113.0/24"}]}
        found: dict[str, Any] = edge.admin("/v1/simulate", method="POST", **body).json()["clients"]
        return found

    wait_until(lambda: simulated()["requests"] == 12, "workers have sent their samples")
    clients = simulated()
    assert (clients["denied_before"], clients["denied_after"], clients["sampled"]) == (2, 6, 12)
    assert clients["newly_denied"] == {
        "requests": 4,
        "clients": 2,
        "heaviest": [
            {"client": "203.0.113.9", "requests": 3},
            {"client": "203.0.113.10", "requests": 1},
        ],
    }
