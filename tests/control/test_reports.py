"""Simulation and overlap: what they say, and that nothing changes by asking."""

import time

import orjson
import pytest

from proxy.store.records import Denial
from proxy.store.summaries import Period, Summary
from tests.control.conftest import Pod


async def simulated(pod: Pod, *entries: dict[str, object], subjects: tuple[str, ...] = ()):
    status, answer = await pod.call(
        "POST", "/v1/simulate", {"entries": list(entries), "subjects": list(subjects)}
    )
    assert status == 200, answer
    return answer


async def deny(pod: Pod, client: str, host: str = "good.example", **more: object) -> None:
    """As a worker reports it."""
    values = {"time": int(time.time()), "client": client, "host": host, "subject": "client", "value": client}
    line = orjson.dumps(values | more)
    await pod.control.store.add_denials([Denial(int(time.time() * 1000), client, line)])


async def test_block_is_measured_by_what_it_would_newly_list(running_pod: Pod):
    answer = await simulated(
        running_pod, {"target": "198.51.100.0/23"}, {"target": "198.51.100.7", "score": 9}
    )
    assert answer["addresses"] == {"listed_before": 256, "listed_after": 512, "newly_listed": 256}
    first, second = answer["entries"]
    assert (first["addresses"], first["already_listed"], first["already_blocked"]) == (512, 256, False)
    assert (second["addresses"], second["already_listed"], second["already_blocked"]) == (1, 1, True)
    assert second["first"]["verdict"]["sources"] == ["bad"]


async def test_samples_are_judged_before_and_after(running_pod: Pod):
    answer = await simulated(
        running_pod,
        {"target": "evil.example"},
        {"target": "198.51.100.8", "disposition": "allow"},
        {"target": "2001:db8::1", "score": 3},
        subjects=("www.evil.example", "198.51.100.8", "198.51.100.9", "192.0.2.1", "2001:db8::2"),
    )
    rows = [(item["denied_before"], item["denied_after"]) for item in answer["subjects"]["results"]]
    assert rows == [(False, True), (True, False), (True, True), (False, False), (False, False)]
    assert (answer["subjects"]["examined"], answer["subjects"]["changed"]) == (5, 2)
    assert answer["subjects"]["results"][4]["after"]["score"] == 3


async def test_recent_denials_are_judged_again(running_pod: Pod):
    """Whom an allow would let through of those who were refused."""
    await deny(running_pod, "198.51.100.7")
    await deny(running_pod, "198.51.100.8")
    await deny(running_pod, "203.0.113.9", "evil.example", subject="host", value="evil.example")
    await deny(running_pod, "203.0.113.9", subject="referer", value="worse.example")
    answer = await simulated(
        running_pod, {"target": "198.51.100.7", "disposition": "allow"}, {"target": "worse.example"}
    )
    said = answer["denials"]
    assert (said["examined"], said["denied_before"], said["denied_after"]) == (4, 2, 2)
    assert said["no_longer_denied"] == {
        "count": 1,
        "newest": [{"client": "198.51.100.7", "host": "good.example"}],
    }
    assert said["newly_denied"]["count"] == 1
    assert said["first"] <= said["last"]


async def test_clients_of_late_are_judged_each_for_as_many_as_it_stands(running_pod: Pod):
    """What a new block would newly hit, of all pods."""
    start_ms = int(time.time() * 1000) - 60_000
    drawn = [[1000, ["198.51.100.1", "192.0.2.1", "192.0.2.1", "203.0.113.9"]], [2, ["2001:db8::1"]]]
    old = Summary(Period.SAMPLE, "b", start_ms - 16 * 60_000, orjson.dumps({"drawn": [[9, ["192.0.2.1"]]]}))
    new = Summary(Period.SAMPLE, "b", start_ms, orjson.dumps({"drawn": drawn}))
    await running_pod.control.store.add_summaries([old, new])
    answer = await simulated(running_pod, {"target": "192.0.2.1"}, {"target": "2001:db8::1"})
    assert answer["clients"] == {
        "requests": 1002,
        "sampled": 5,
        "denied_before": 250,
        "denied_after": 752,
        "newly_denied": {
            "requests": 502,
            "clients": 2,
            "heaviest": [
                {"client": "192.0.2.1", "requests": 500},
                {"client": "2001:db8::1", "requests": 2},
            ],
        },
        "no_longer_denied": {"requests": 0, "clients": 0, "heaviest": []},
    }


async def test_answer_says_that_it_is_partial(running_pod: Pod):
    """A partial simulation never approves by itself."""
    answer = await simulated(running_pod, {"target": "192.0.2.1"})
    assert (answer["pods"], answer["is_complete"]) == ("1/1", False)
    assert "estimated by samples" in answer["note"]
    assert answer["denials"]["examined"] == 0


async def test_wish_that_policy_forbids_says_so_and_the_others_count(running_pod: Pod):
    answer = await simulated(
        running_pod, {"target": "192.0.0.0/8"}, {"target": "127.0.0.1"}, {"target": "192.0.2.1"}
    )
    assert [item["rule"] for item in answer["refused"]] == [
        "blocklist.minimum_prefix_v4",
        "blocklist.never_block",
    ]
    assert [item["target"] for item in answer["entries"]] == ["192.0.2.1/32"]
    assert answer["addresses"]["newly_listed"] == 1


async def test_wish_replaces_the_entry_of_its_key(running_pod: Pod):
    """As a real block would: a lower score is lower."""
    await running_pod.call("POST", "/v1/blocks", {"target": "203.0.113.7"})
    answer = await simulated(running_pod, {"target": "203.0.113.7", "score": 2}, subjects=("203.0.113.7",))
    (row,) = answer["subjects"]["results"]
    assert (row["denied_before"], row["denied_after"], row["after"]["score"]) == (True, False, 2)


async def test_nothing_changes_by_asking(running_pod: Pod):
    before = running_pod.control.state.version
    worker = await running_pod.current_worker()
    await simulated(running_pod, {"target": "192.0.2.1"})
    assert running_pod.control.state.version == before
    assert not worker.blocks("192.0.2.1")
    assert (await running_pod.call("GET", "/v1/blocks"))[1]["count"] == 0


async def test_folded_entries_count_as_any_other(pod: Pod):
    pod.configure("[blocklist]\nfold_count = 0")
    await pod.start()
    await pod.call("POST", "/v1/blocks", {"target": "203.0.113.7"})
    await pod.control.lists.fold()
    answer = await simulated(
        pod, {"target": "203.0.113.7", "score": 2}, subjects=("203.0.113.7", "198.51.100.1")
    )
    assert [item["denied_after"] for item in answer["subjects"]["results"]] == [False, True]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"entries": []}, 422),
        ({"entries": [{"target": "192.0.2.1"}] * 101}, 422),
        ({"entries": [{"target": "192.0.2.1"}], "subjects": ["192.0.2.1"] * 1001}, 422),
        ({"entries": [{"target": "192.0.2.1", "colour": "red"}]}, 422),
        ({"entries": [{"target": "a..b"}]}, 400),
        ({"entries": [{"target": "192.0.2.1"}], "subjects": ["192.0.2.0/24"]}, 400),
        ({"entries": [{"target": "192.0.2.1"}], "subjects": ["a" * 299] * 1000}, 413),
    ],
    ids=["nothing", "entries", "subjects", "unknown key", "target", "network", "bytes"],
)
async def test_bounds_of_a_simulation(running_pod: Pod, body, status):
    assert (await running_pod.call("POST", "/v1/simulate", body))[0] == status


async def test_sources_overlap(pod: Pod):
    pod.configure(lists=("bad", "other"))
    pod.write("198.51.100.128/25\n203.0.113.9\n", "other")
    await pod.start()
    status, answer = await pod.call("GET", "/v1/lists/overlap")
    assert status == 200
    assert answer["total"] == {"addresses": 257, "networks24": 2}
    assert [(item["source"], item["addresses"], item["alone"]) for item in answer["sources"]] == [
        ("bad", 256, 128),
        ("other", 129, 1),
    ]
    assert answer["pairs"][0]["addresses"] == 128
    assert (await pod.call("GET", "/v1/lists/overlap?minimum_score=9"))[1]["sources"] == []
    assert (await pod.call("GET", "/v1/lists/overlap?minimum_score=high"))[0] == 400


async def test_without_a_list_there_is_nothing_to_report(pod: Pod):
    (pod.folder / "bad.txt").unlink()
    await pod.start()
    for method, path, body in (
        ("GET", "/v1/lists/overlap", None),
        ("POST", "/v1/simulate", {"entries": [{"target": "192.0.2.1"}]}),
    ):
        status, answer = await pod.call(method, path, body)
        assert (status, answer["error"]) == (409, "no_list")


async def test_reading_is_enough_to_ask(pod: Pod):
    """Nothing is changed, so nothing needs the scope to change."""
    token = '[[control.tokens]]\nname = "reader"\nscopes = ["read"]\nsecret = "a-reader-s-secret-token"'
    pod.configure(control=token)
    await pod.start()
    headers = {"Authorization": "Bearer a-reader-s-secret-token"}
    body = {"entries": [{"target": "192.0.2.1"}]}
    assert (await pod.call("POST", "/v1/simulate", body, headers=headers))[0] == 200
    assert (await pod.call("GET", "/v1/lists/overlap", headers=headers))[0] == 200
    assert (await pod.call("POST", "/v1/simulate", body))[0] == 401
