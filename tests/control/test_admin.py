"""The admin API as its callers see it."""

import asyncio

import pytest

from proxy import frames
from proxy.errors import StoreError
from tests.control.conftest import Pod, until

READER = "a-reader-s-secret-token"
WRITER = "a-writer-s-secret-token"

TOKENS = f"""
[[control.tokens]]
name = "reader"
scopes = ["read"]
secret = "{READER}"
[[control.tokens]]
name = "writer"
scopes = ["read", "write"]
secret = "{WRITER}"
"""


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
async def guarded_pod(pod: Pod) -> Pod:
    """Behind tokens."""
    pod.configure(control="")
    pod.config_path.write_text(pod.config_path.read_text() + TOKENS)
    await pod.start()
    return pod


async def test_lookup_of_a_listed_address_names_the_list(running_pod: Pod):
    """What an operator asks first: is it us, and why."""
    status, answer = await running_pod.call("GET", "/v1/lookup?target=198.51.100.7")
    assert status == 200
    assert answer["verdict"] == {"disposition": "block", "score": 8.0, "categories": [], "sources": ["bad"]}
    assert (answer["action"], answer["block_score"]) == ("deny", 7.0)
    (row,) = answer["explain"]
    assert (row["target"], row["sources"], row["decided"]) == ("198.51.100.0/24", ["bad"], True)
    assert answer["version"]["epoch"] == running_pod.control.state.head.epoch


async def test_lookup_of_a_clean_target_says_so(running_pod: Pod):
    for target, kind in (("192.0.2.1", "address"), ("good.example", "domain"), ("2001:db8::1", "address")):
        _, answer = await running_pod.call("GET", f"/v1/lookup?target={target}")
        assert (answer["kind"], answer["verdict"], answer["action"]) == (kind, None, "forward")


async def test_lookup_says_what_the_edge_would_do_at_its_score(pod: Pod):
    pod.configure("[edge]\nblock_score = 9")
    await pod.start()
    _, answer = await pod.call("GET", "/v1/lookup?target=198.51.100.7")
    assert (answer["verdict"]["score"], answer["action"], answer["would_deny"]) == (8.0, "forward", False)


async def test_lookup_while_observing_says_what_it_would_have_done(pod: Pod):
    pod.configure('[edge]\nmode = "observe"')
    await pod.start()
    _, answer = await pod.call("GET", "/v1/lookup?target=198.51.100.7")
    assert (answer["action"], answer["would_deny"], answer["mode"]) == ("forward", True, "observe")


@pytest.mark.parametrize("target", ["", "a..b", "198.51.100.0/24", "1.2.3.4.5", "x" * 301])
async def test_lookup_of_what_is_no_single_target_is_refused(running_pod: Pod, target: str):
    status, answer = await running_pod.call("GET", "/v1/lookup", params={"target": target})
    assert (status, answer["error"]) == (400, "invalid_target")


async def test_many_lookups_in_one_call_carry_their_own_errors(running_pod: Pod):
    status, answer = await running_pod.call(
        "POST", "/v1/lookup", {"targets": ["198.51.100.7", "a..b", "x.example"]}
    )
    assert status == 200
    assert [item.get("action", item.get("error")) for item in answer["results"]] == [
        "deny",
        "invalid_target",
        "forward",
    ]


async def test_number_of_lookups_in_one_call_is_bounded(running_pod: Pod):
    status, answer = await running_pod.call("POST", "/v1/lookup", {"targets": ["192.0.2.1"] * 101})
    assert (status, answer["error"]) == (422, "invalid_body")


async def test_block_and_unblock_of_an_address(running_pod: Pod):
    worker = await running_pod.current_worker()
    status, answer = await running_pod.call(
        "POST",
        "/v1/blocks",
        {"target": "203.0.113.7", "score": 9, "reason": "scan", "ttl_seconds": 60, "categories": ["scan"]},
    )
    assert (status, answer["committed"], answer["applied"]) == (201, True, {"workers": 1, "of": 1})
    entry = answer["entry"]
    assert (entry["target"], entry["score"], entry["source"]) == ("203.0.113.7/32", 9.0, "operator:anonymous")
    assert entry["expires"] == entry["created"] + 60
    _, answer = await running_pod.call("GET", "/v1/blocks")
    assert answer["blocks"] == [entry]
    status, answer = await running_pod.call("DELETE", "/v1/blocks?target=203.0.113.7")
    assert (status, answer["removed"]) == (200, [entry])
    assert not worker.blocks("203.0.113.7")
    assert (await running_pod.call("GET", "/v1/blocks"))[1]["count"] == 0


async def test_block_of_a_domain_reaches_below_it(running_pod: Pod):
    await running_pod.call("POST", "/v1/blocks", {"target": "Evil.Example."})
    _, answer = await running_pod.call("GET", "/v1/lookup?target=a.b.evil.example")
    assert answer["action"] == "deny"
    await running_pod.call("POST", "/v1/blocks", {"target": "only.example", "kind": "exact"})
    _, answer = await running_pod.call("GET", "/v1/lookup?target=a.only.example")
    assert answer["action"] == "forward"


async def test_block_of_an_ipv6_host_is_undone_under_the_same_name(running_pod: Pod):
    """It was widened to its /64; whoever typed the host types the host again."""
    _, answer = await running_pod.call("POST", "/v1/blocks", {"target": "2001:db8:1:2::3"})
    assert answer["entry"]["target"] == "2001:db8:1:2::/64"
    _, answer = await running_pod.call("GET", "/v1/blocks?target=2001:db8:1:2::3")
    assert answer["count"] == 1
    status, _ = await running_pod.call("DELETE", "/v1/blocks?target=2001:db8:1:2::3")
    assert status == 200
    _, answer = await running_pod.call("GET", "/v1/lookup?target=2001:db8:1:2::4")
    assert answer["verdict"] is None


async def test_unblock_of_what_a_list_blocks_says_who_and_offers_an_allow(running_pod: Pod):
    """An operator must not believe that an address is free when a feed still holds it."""
    await running_pod.call("POST", "/v1/blocks", {"target": "198.51.100.7"})
    status, answer = await running_pod.call("DELETE", "/v1/blocks?target=198.51.100.7")
    assert (status, answer["error"], answer["sources"]) == (409, "still_blocked", ["bad"])
    assert [entry["target"] for entry in answer["removed"]] == ["198.51.100.7/32"]
    assert answer["hint"] == "sentra-proxy allow 198.51.100.7 --ttl 3600"


async def test_unblock_beneath_a_wider_block_names_the_wider(running_pod: Pod):
    await running_pod.call("POST", "/v1/blocks", {"target": "203.0.113.0/24"})
    status, answer = await running_pod.call("DELETE", "/v1/blocks?target=203.0.113.7")
    assert (status, answer["hint"]) == (409, "sentra-proxy unblock 203.0.113.0/24")
    assert "203.0.113.0/24" in answer["message"]


async def test_unblock_of_nothing_is_not_found(running_pod: Pod):
    status, answer = await running_pod.call("DELETE", "/v1/blocks?target=192.0.2.1")
    assert (status, answer["error"]) == (404, "not_found")


async def test_allow_lets_a_listed_address_through_until_it_is_removed(running_pod: Pod):
    worker = await running_pod.current_worker()
    status, _ = await running_pod.call("POST", "/v1/allows", {"target": "198.51.100.7", "ttl_seconds": 60})
    assert status == 201
    assert not worker.blocks("198.51.100.7")
    assert worker.blocks("198.51.100.8")
    _, answer = await running_pod.call("GET", "/v1/allows")
    assert [entry["target"] for entry in answer["allows"]] == ["198.51.100.7/32"]
    status, _ = await running_pod.call("DELETE", "/v1/allows?target=198.51.100.7")
    assert status == 200
    assert worker.blocks("198.51.100.7")
    status, _ = await running_pod.call("DELETE", "/v1/allows?target=198.51.100.7")
    assert status == 404


@pytest.mark.parametrize(("path", "target"), [("/v1/blocks", "127.0.0.1"), ("/v1/allows", "0.0.0.0/0")])
async def test_policy_binds_every_write(running_pod: Pod, path: str, target: str):
    """Whoever asks, with whatever token; the audit says who tried."""
    status, answer = await running_pod.call("POST", path, {"target": target})
    assert (status, answer["error"]) == (422, "policy_refused")
    assert answer["rule"].startswith("blocklist.")
    _, answer = await running_pod.call("GET", "/v1/audit")
    assert [(line["outcome"], line["target"]) for line in answer["audit"]] == [("refused", target)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"target": ""},
        {"target": "198.51.100.7", "score": 11},
        {"target": "198.51.100.7", "score": "x"},
        {"target": "198.51.100.7", "ttl_seconds": 0},
        {"target": "198.51.100.7", "ttl_secnds": 60},
        {"target": "198.51.100.7", "categories": ["\n"]},
        {"target": "198.51.100.7", "kind": "network"},
        {"target": "198.51.100.7", "reason": "x" * 501},
        [],
    ],
)
async def test_body_that_is_not_as_described_is_refused_and_nothing_is_blocked(
    running_pod: Pod, body: object
):
    """A mistyped ttl_seconds would make a block for ever."""
    status, answer = await running_pod.call("POST", "/v1/blocks", body)
    assert (status, answer["error"]) == (422, "invalid_body")
    assert running_pod.control.state.entries == {}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, (400, "invalid_json")),
        ({"data": b"target=x"}, (415, "unsupported_media_type")),
        ({"data": b" " * 70000, "headers": {"Content-Type": "application/json"}}, (413, "too_large")),
    ],
)
async def test_body_that_is_no_small_json_is_refused(running_pod: Pod, options, expected):
    status, answer = await running_pod.call("POST", "/v1/blocks", **options)
    assert (status, answer["error"]) == expected


async def test_target_that_cannot_be_read_is_refused_with_its_value(running_pod: Pod):
    status, answer = await running_pod.call("POST", "/v1/blocks", {"target": "a..b"})
    assert (status, answer["error"]) == (400, "invalid_target")
    assert "a..b" in answer["message"]
    assert (await running_pod.call("DELETE", "/v1/blocks?target=a..b"))[0] == 400
    assert (await running_pod.call("DELETE", "/v1/blocks"))[0] == 400


async def test_unknown_paths_and_methods_are_answered_in_json(running_pod: Pod):
    """A client that parses errors must not meet a page of text."""
    status, answer = await running_pod.call("GET", "/v1/nothing")
    assert (status, answer["error"]) == (404, "not_found")
    status, answer = await running_pod.call("PUT", "/v1/blocks")
    assert (status, answer["error"]) == (405, "method_not_allowed")
    assert running_pod.response.headers["Allow"] == "DELETE,GET,POST"


async def test_call_without_a_known_token_is_unauthorized(guarded_pod: Pod):
    for headers in ({}, bearer("wrong-secret-of-some-length"), {"Authorization": f"Basic {READER}"}):
        status, answer = await guarded_pod.call("GET", "/v1/status", headers=headers)
        assert (status, answer["error"]) == (401, "unauthorized")
        assert guarded_pod.response.headers["WWW-Authenticate"] == "Bearer"


async def test_token_without_the_scope_is_forbidden(guarded_pod: Pod):
    assert (await guarded_pod.call("GET", "/v1/status", headers=bearer(READER)))[0] == 200
    body = {"target": "203.0.113.7"}
    status, answer = await guarded_pod.call("POST", "/v1/blocks", body, headers=bearer(READER))
    assert (status, answer["error"]) == (403, "forbidden")
    assert "'write'" in answer["message"]
    for method, path in (("DELETE", "/v1/blocks"), ("POST", "/v1/allows"), ("DELETE", "/v1/allows")):
        assert (await guarded_pod.call(method, f"{path}?target=203.0.113.7", headers=bearer(READER)))[
            0
        ] == 403


async def test_change_carries_the_name_of_its_token(guarded_pod: Pod):
    status, answer = await guarded_pod.call(
        "POST", "/v1/blocks", {"target": "203.0.113.7"}, headers=bearer(WRITER)
    )
    assert (status, answer["entry"]["source"]) == (201, "operator:writer")
    _, answer = await guarded_pod.call("GET", "/v1/audit", headers=bearer(WRITER))
    assert [(line["author"], line["action"], line["outcome"]) for line in answer["audit"]] == [
        ("writer", "block", "applied")
    ]


async def test_no_answer_and_no_status_holds_a_secret(guarded_pod: Pod):
    for path in ("/v1/status", "/v1/audit", "/v1/openapi.json"):
        await guarded_pod.call("GET", path, headers=bearer(READER))
        assert READER not in str(await guarded_pod.call("GET", path, headers=bearer(READER)))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[::1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
)
async def test_open_door_is_closed_to_web_pages(running_pod: Pod, headers: dict[str, str]):
    """A page in the operator's browser, by a foreign origin or by a rebound name."""
    status, answer = await running_pod.call("DELETE", "/v1/blocks?target=198.51.100.7", headers=headers)
    assert status == 403
    assert answer["error"] in ("foreign_host", "foreign_origin")


@pytest.mark.parametrize(
    "headers", [{"Host": "localhost:9901"}, {"Host": "[::1]"}, {"Origin": "http://127.0.0.1:8090"}]
)
async def test_open_door_is_open_to_this_machine(running_pod: Pod, headers: dict[str, str]):
    assert (await running_pod.call("GET", "/v1/status", headers=headers))[0] == 200


async def test_status_tells_what_runs(running_pod: Pod):
    await running_pod.current_worker()
    await running_pod.call("POST", "/v1/blocks", {"target": "203.0.113.7"})
    await running_pod.call("POST", "/v1/allows", {"target": "203.0.113.8"})
    _, answer = await running_pod.call("GET", "/v1/status")
    assert (answer["mode"], answer["block_score"], answer["upstream"]) == (
        "enforce",
        7.0,
        "http://127.0.0.1:8070",
    )
    assert answer["blocklist"]["state"] == "loaded"
    assert answer["manual"] == {"blocks": 1, "allows": 1}
    assert [(item["source"], item["state"], item["entries"]) for item in answer["lists"]] == [
        ("bad", "loaded", 1)
    ]
    assert [worker["slot"] for worker in answer["workers"]["list"]] == [0]
    assert answer["workers"]["attached"] == answer["workers"]["current"] == 1


async def test_denials_come_back_newest_first(running_pod: Pod):
    """What a worker reports is what an operator reads."""
    worker = await running_pod.current_worker()
    lines = (
        b'{"time":10,"client":"203.0.113.7","path":"/a"}\n{"time":11,"client":"203.0.113.8","path":"/b"}\n'
    )
    worker.send(frames.encode(frames.Kind.EVENTS, lines))
    await until(lambda: running_pod.control.denials._pending, "the events have arrived")
    _, answer = await running_pod.call("GET", "/v1/denials")
    assert [line["path"] for line in answer["denials"]] == ["/b", "/a"]
    _, answer = await running_pod.call("GET", "/v1/denials?client=203.0.113.7&limit=5")
    assert [line["path"] for line in answer["denials"]] == ["/a"]


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1", "²"])
async def test_limit_outside_its_bounds_is_refused(running_pod: Pod, limit: str):
    for path in ("/v1/denials", "/v1/audit", "/v1/blocks"):
        status, answer = await running_pod.call("GET", path, params={"limit": limit})
        assert (status, answer["error"]) == (400, "invalid_query")


async def test_fault_of_our_own_is_answered_and_told_nothing_of(running_pod: Pod, monkeypatch):
    """The log has the traceback, the caller has a code."""

    async def broken(*_: object) -> object:
        raise RuntimeError("inner secret")

    monkeypatch.setattr(running_pod.control.store, "audit", broken)
    status, answer = await running_pod.call("GET", "/v1/audit")
    assert (status, answer["error"]) == (500, "internal_error")
    assert "inner secret" not in str(answer)


async def test_audit_that_cannot_be_written_does_not_undo_the_change(running_pod: Pod, monkeypatch):
    """It has happened: saying otherwise would be worse."""

    async def broken(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(running_pod.control.store, "add_audit", broken)
    assert (await running_pod.call("POST", "/v1/blocks", {"target": "203.0.113.7"}))[0] == 201


async def test_change_is_finished_when_its_caller_goes_away(running_pod: Pod):
    """Half a change is none: either it never began, or it is carried out."""
    worker = await running_pod.current_worker()
    worker.acknowledges = False
    reader, writer = await asyncio.open_connection(*running_pod.address("admin").split(":"))
    body = b'{"target": "203.0.113.7"}'
    writer.write(
        b"POST /v1/blocks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    await until(lambda: worker.blocks("203.0.113.7"), "the change is on its way")
    writer.close()
    del reader
    _, answer = await running_pod.call("GET", "/v1/audit")
    while not answer["audit"]:
        _, answer = await running_pod.call("GET", "/v1/audit")
    assert answer["audit"][0]["outcome"] == "applied"


async def test_page_size_of_any_length_is_the_callers_fault(running_pod: Pod):
    """Python refuses to read numbers of more than 4300 digits: that is a 400, not a fault in our log."""
    for limit in ("0", "1001", "9" * 5000):
        status, answer = await running_pod.call("GET", f"/v1/audit?limit={limit}")
        assert (status, answer["error"]) == (400, "invalid_query")


async def test_body_that_is_not_what_its_coding_says_is_the_callers_fault(running_pod: Pod):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    status, answer = await running_pod.call(
        "POST", "/v1/blocks", data=b"not compressed", headers=headers, compress=None
    )
    assert (status, answer["error"]) == (400, "invalid_body")
