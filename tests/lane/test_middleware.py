"""Blocked is blocked, in any application, with the edge's own answer."""

import asyncio
import json
from typing import Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from fastmatch import Blocklist, Entry
from fastmatch._native import Downstream, Gate, GateConfig, Segment
from proxy.edge.config import EdgeConfig
from proxy.edge.context import gate_config
from proxy.lane.config import LaneConfig
from proxy.lane.middleware import CLIENT, Policy, blocklist_middleware
from tests.lane.peers import answer_always, client_to, get, lane_running, read_head, upstream_running

ENTRIES = (
    Entry("203.0.113.7", score=9.0, sources=("feed",), categories=("bot net",)),
    Entry("198.51.100.0/24", score=3.0, sources=("feed",)),
    Entry("2001:db8:bad::/48", score=8.0, sources=("feed",)),
    Entry("bad.test", score=9.0, sources=("feed",)),
    Entry("ok.bad.test", disposition="allow", origin="operator", sources=("me",)),
)
TRUSTED = ("127.0.0.0/8", "10.0.0.0/8")


def blocklist() -> Blocklist:
    return Blocklist.from_entries(ENTRIES, epoch=1, sequence=1)


def gate_for(config: EdgeConfig | None = None, listed: Blocklist | None = None) -> Gate:
    gate = Gate(gate_config(config or EdgeConfig(trusted_proxies=TRUSTED)), Segment.create(1), 0)
    gate.install(listed or blocklist())
    return gate


def source(kind: str):
    """The middleware in each of its forms, with the same rules."""
    policy = Policy(trusted_proxies=TRUSTED)
    if kind == "gate":
        return blocklist_middleware(gate_for())
    listed = blocklist()
    return blocklist_middleware(listed if kind == "list" else lambda: listed, policy)


def via(address: str) -> str:
    return f"X-Forwarded-For: {address}"


@pytest.mark.parametrize("kind", ["gate", "list", "function"])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((), 200),
        ((via("203.0.113.7"),), 403),
        ((via("203.0.113.8"),), 200),
        ((via("203.0.113.7, 198.51.100.9"),), 200),
        ((via("203.0.113.7, 10.1.2.3"),), 403),
        ((via("::ffff:203.0.113.7"),), 403),
        ((via("[2001:db8:bad::1]:4711"),), 403),
        ((via("2001:db8:bad:1::1"),), 403),
        ((via("garbage"),), 400),
        (("Host: www.BAD.test.",), 403),
        (("Host: bad.test:8080",), 403),
        (("Host: ok.bad.test",), 200),
        (("Host: ok.bad.test", via("203.0.113.7")), 403),
        (("Host: 192.0.2.1",), 200),
        (("Origin: https://bad.test",), 200),
    ],
)
async def test_every_form_gives_the_same_verdict(kind: str, lines: tuple[str, ...], status: int):
    """Three forms, one rule: the codec is the oracle for the two that judge in Python."""

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=request[CLIENT])

    application = web.Application(middlewares=[source(kind)])
    application.router.add_get("/", hello)
    async with TestServer(application) as server, client_to(server.port or 0) as client:
        host = () if any(line.startswith("Host") for line in lines) else ("Host: a.test",)
        head, body = await client.ask("\r\n".join(["GET / HTTP/1.1", *host, *lines, "", ""]).encode())
        assert head.status == status, body


@pytest.mark.parametrize("kind", ["gate", "list"])
async def test_the_refusal_is_the_edges_own(kind: str):
    """Whatever answers, a client and its operator see the same thing."""
    edge = Downstream(gate_for(), "127.0.0.1")
    action = edge.head(get("/", via("203.0.113.7")))
    assert isinstance(action, tuple)
    expected, _, body = action[2].partition(b"\r\n\r\n")
    application = web.Application(middlewares=[source(kind)])
    async with TestServer(application) as server, client_to(server.port or 0) as client:
        for _ in range(2):
            head, received = await client.ask(get("/", via("203.0.113.7")))
            expected_fields = {line.partition(":")[0] for line in expected.decode().split("\r\n")[1:]}
            assert {name.lower() for name, _ in head.fields} == expected_fields
            assert head.start == expected.decode().split("\r\n")[0]
            assert head.get("content-type") == "application/problem+json"
            found, wanted = json.loads(received), json.loads(body)
            assert len(found.pop("request_id")) == len(wanted.pop("request_id"))
            assert head.get("x-request-id")
            assert found == wanted


@pytest.mark.parametrize("kind", ["gate", "list"])
async def test_a_refused_request_with_an_unsent_body_ends_its_connection(kind: str):
    """What is left of the body must never be read as a request (CVE-2025-4366 in another proxy)."""
    application = web.Application(middlewares=[source(kind)])
    async with TestServer(application) as server, client_to(server.port or 0) as client:
        await client.send(get("/", via("203.0.113.7"), "Content-Length: 100", method="POST"))
        head, _ = await client.answer()
        assert (head.status, head.get("connection")) == (403, "close")


async def test_nothing_of_a_denied_request_reaches_the_upstream():
    """The whole engine: gate, middleware, proxy."""
    async with upstream_running(answer_always) as upstream:
        config = EdgeConfig(upstream_port=upstream.port, trusted_proxies=TRUSTED)
        judge = blocklist_middleware(gate_for(config))
        async with lane_running(LaneConfig.of_edge(config), (judge,)) as port, client_to(port) as client:
            assert (await client.ask(get("/", via("203.0.113.7"))))[0].status == 403
            assert not upstream.heads
            assert (await client.ask(get("/")))[0].status == 200
            head = upstream.heads[0]
            assert head.get("x-request-id")
            assert head.get("x-sentra-score") is None


@pytest.mark.parametrize("changes", [False, True], ids=["as judged", "changed by a middleware"])
async def test_the_verdict_goes_upstream_where_the_client_cannot_write(changes: bool):
    """A score below the limit is the backend's to use."""

    @web.middleware
    async def change(request, handler):
        return await handler(request.clone(rel_url="/other?x") if changes else request)

    async with upstream_running(answer_always) as upstream:
        config = EdgeConfig(upstream_port=upstream.port, trusted_proxies=TRUSTED)
        judge = blocklist_middleware(gate_for(config))
        async with (
            lane_running(LaneConfig.of_edge(config), (judge, change)) as port,
            client_to(port) as client,
        ):
            lines = (via("198.51.100.9"), "X-Sentra-Score: 0", "X_Sentra_Score: 0")
            answer, _ = await client.ask(get("/a?", *lines))
            assert answer.status == 200
            head = upstream.heads[0]
            assert head.start == ("GET /other?x HTTP/1.1" if changes else "GET /a? HTTP/1.1")
            assert float(head.get("x-sentra-score") or 0) == 3.0
            assert head.all("x-real-ip") == ["198.51.100.9"]
            assert head.all("x-forwarded-for") == ["198.51.100.9, 127.0.0.1"]
            assert len(head.all("x-request-id")) == 1


REQUESTS = (
    get("/a?b=%41&&c", "A: 1", "B: \xff\xfe", "Connection: A, close", "Via: 1.1 other", "A: 2"),
    get("/", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "Forwarded: for=1.2.3.4"),
    get("/", "Content-Length: 2", "TE: trailers", "Alt-Svc: x", "X-Original-URL: /x", method="PUT") + b"hi",
    get("/", "Transfer-Encoding: chunked", "Trailer: X", method="POST") + b"2\r\nhi\r\n0\r\n\r\n",
    b"GET http://a.test/abs HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
)


@pytest.mark.parametrize("number", range(len(REQUESTS)))
@pytest.mark.parametrize("trusted", [(), ("127.0.0.0/8",)], ids=["untrusted", "trusted"])
async def test_our_writer_and_the_codec_write_the_same_head(number: int, trusted: tuple[str, ...]):
    """Two writers, one rule: fields and their order but for our own, which stand at the end."""

    @web.middleware
    async def same(request, handler):
        return await handler(request.clone())

    async with upstream_running(answer_always) as upstream:
        config = EdgeConfig(upstream_port=upstream.port, trusted_proxies=trusted)
        for middlewares in ((), (same,)):
            judge = blocklist_middleware(gate_for(config))
            async with (
                lane_running(LaneConfig.of_edge(config), (judge, *middlewares)) as port,
                client_to(port) as client,
            ):
                await client.send(REQUESTS[number])
                assert (await read_head(client.reader)).status == 200
        by_codec, by_us = upstream.heads
        assert by_codec.start == by_us.start
        assert _comparable(by_codec.fields) == _comparable(by_us.fields)


def _comparable(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(
        (name.lower(), "" if name.lower() == "x-request-id" else value.lower()) for name, value in fields
    )


async def test_a_gate_counts_and_reports_what_it_denies():
    """The admin API's denials come from here."""
    segment = Segment.create(1)
    gate = Gate(GateConfig(trusted_proxies=TRUSTED), segment, 0)
    gate.install(blocklist())

    async def hello(request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application(middlewares=[blocklist_middleware(gate)])
    application.router.add_get("/", hello)
    async with TestServer(application) as server, client_to(server.port or 0) as client:
        await client.ask(get("/"))
        await client.ask(get("/nothing"))
        await client.ask(get("/", via("203.0.113.7")))
    counters = segment.counters()
    assert (counters["requests"], counters["denied"]) == (3, 1)
    assert (counters["responses_2xx"], counters["responses_4xx"]) == (1, 2)
    assert counters["requests_in_flight"] == 0
    event = json.loads(gate.drain_events())
    assert event["client"] == "203.0.113.7"


async def test_a_client_that_leaves_is_counted_as_gone():
    """499, and nothing stays in flight."""
    segment = Segment.create(1)
    config = EdgeConfig()
    gate = Gate(gate_config(config), segment, 0)
    gate.install(blocklist())
    arrived = asyncio.Event()

    @web.middleware
    async def hold(request, handler):
        arrived.set()
        await asyncio.Event().wait()

    async with lane_running(LaneConfig.of_edge(config), (blocklist_middleware(gate), hold)) as port:
        async with client_to(port) as client:
            await client.send(get("/"))
            await asyncio.wait_for(arrived.wait(), 5)
            assert segment.counters()["requests_in_flight"] == 1
        async with asyncio.timeout(5):
            while segment.counters()["requests_in_flight"]:  # noqa: ASYNC110  # shared memory has no event
                await asyncio.sleep(0)
        assert segment.counters()["client_gone"] == 1


async def test_observing_lets_through_and_counts():
    """A dry run must look like production to the client."""
    segment = Segment.create(1)
    gate = Gate(GateConfig(trusted_proxies=TRUSTED, observe=True), segment, 0)
    gate.install(blocklist())

    async def hello(request: web.Request) -> web.Response:
        return web.Response()

    for middleware in (
        blocklist_middleware(gate),
        blocklist_middleware(blocklist(), Policy(trusted_proxies=TRUSTED, observe=True)),
    ):
        application = web.Application(middlewares=[middleware])
        application.router.add_get("/", hello)
        async with TestClient(TestServer(application)) as client:
            answer = await client.get("/", headers={"X-Forwarded-For": "203.0.113.7"})
            assert answer.status == 200
    assert segment.counters()["observed"] == 1


@pytest.mark.parametrize(("on_missing", "status"), [("closed", 503), ("open", 200)])
async def test_without_a_list_the_policy_decides(on_missing: Literal["open", "closed"], status: int):
    """A start without lists must not open the door unasked."""

    async def hello(request: web.Request) -> web.Response:
        return web.Response()

    gate = Gate(GateConfig(on_missing=on_missing), Segment.create(1), 0)
    policy = Policy(on_missing=on_missing)
    for middleware in (blocklist_middleware(gate), blocklist_middleware(lambda: None, policy)):
        application = web.Application(middlewares=[middleware])
        application.router.add_get("/", hello)
        async with TestClient(TestServer(application)) as client:
            assert (await client.get("/")).status == status


def test_a_gate_takes_no_policy():
    """Two places for one rule would disagree."""
    with pytest.raises(ValueError, match="gate"):
        blocklist_middleware(gate_for(), Policy())
