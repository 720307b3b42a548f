"""Active checks: what is asked, what counts, and who is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from proxy.control.checks import Checked, CheckRule, after, fault_of
from proxy.control.process import reload
from proxy.frames import Kind
from tests.control.conftest import Pod, until
from tests.support.authority import Authority
from tests.support.origin import Origin, OriginConnection, answer
from tests.support.tls_origin import TlsOrigin

RULE = CheckRule("/", "a", 1.0, healthy_count=2, unhealthy_count=3, statuses=(200,), body_contains=None)


def run(*faults: bool, before: Checked | None = None) -> list[bool]:
    ups = []
    for is_fault in faults:
        before = after(before, "bad" if is_fault else "", RULE)
        ups.append(before.is_up)
    return ups


def test_first_answer_decides():
    """A pod that starts beside a dead target must not learn it from its clients."""
    assert run(True) == [False]
    assert run(False) == [True]


def test_later_ones_decide_by_their_number_in_a_row():
    """One lost packet is no outage, one good answer no recovery."""
    assert run(False, True, True, True) == [True, True, True, False]
    assert run(False, True, True, False, True, True, True) == [True] * 6 + [False]
    assert run(True, False, False) == [False, False, True]
    assert run(True, False, True, False, False) == [False] * 4 + [True]


@given(some.lists(some.booleans(), min_size=1))
def test_state_turns_only_when_so_many_in_a_row_say_so(faults: list[bool]):
    """Held against the whole history."""
    ups = run(*faults)
    for index in range(1, len(faults)):
        if ups[index] != ups[index - 1]:
            needed = RULE.unhealthy_count if ups[index - 1] else RULE.healthy_count
            assert faults[index - needed + 1 : index + 1] == [ups[index - 1]] * needed


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, b"it is pass here", ""),
        (204, b"pass", "status 204"),
        (200, b"fail", "body without the wanted text"),
    ],
)
def test_answer_is_held_against_the_rule(status: int, body: bytes, fault: str):
    rule = CheckRule("/", "a", 1.0, 2, 3, statuses=(200, 201), body_contains="pass")
    assert fault_of(status, body, rule) == fault


class Checking:
    """A pod with the checks running and origins that answer with what a test says."""

    def __init__(self, pod: Pod, origins: list[Origin]) -> None:
        self.pod = pod
        self.origins = origins
        self.statuses = ["200 OK"] * len(origins)
        self.task: asyncio.Task[None] | None = None
        for index, origin in enumerate(origins):
            origin.behave = self.behaviour(index)

    def behaviour(self, index: int):
        async def behave(connection: OriginConnection) -> None:
            await connection.read_request()
            await connection.send(answer(b'{"status":"pass"}', status=self.statuses[index]))

        return behave

    def names(self) -> list[str]:
        return [f"127.0.0.1:{origin.port}" for origin in self.origins]

    def configure(self, health: str, urls: list[str] | None = None) -> None:
        targets = ", ".join(
            f'{{ url = "{url}" }}' for url in urls or [f"http://{name}" for name in self.names()]
        )
        self.pod.configure(f'[[upstreams]]\nname = "tyk"\ntargets = [{targets}]\nhealth = {{ {health} }}\n')

    async def start(self, health: str, urls: list[str] | None = None) -> None:
        self.configure(health, urls)
        await self.run()

    async def run(self) -> None:
        await self.pod.start()
        self.task = asyncio.ensure_future(self.pod.control.health.run_forever())

    def ups(self) -> dict[str, bool]:
        return {name: item.is_up for name, item in self.pod.control.health.notes("tyk").items()}

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            assert self.task.cancelled()


FAST = "interval_seconds = 0.1, timeout_seconds = 1, healthy_count = 1, unhealthy_count = 2"


@pytest.fixture
async def checking(pod: Pod) -> AsyncIterator[Checking]:
    origins = [Origin(), Origin()]
    for origin in origins:
        await origin.start()
    made = Checking(pod, origins)
    yield made
    await made.stop()
    for origin in origins:
        await origin.close()


async def test_workers_are_told_who_is_down_and_who_is_back(checking: Checking):
    """Also the worker that attaches later, by the frames of its attach."""
    await checking.start(f'path = "/healthz?full=1", {FAST}')
    first, second = checking.names()
    worker = await checking.pod.current_worker()
    await until(lambda: worker.health == {"tyk": {first: True, second: True}}, "both are up")
    checking.statuses[1] = "503 Service Unavailable"
    await until(lambda: worker.health == {"tyk": {first: True, second: False}}, "the second is down")
    assert checking.pod.control.health.notes("tyk")[second].note == "status 503"
    late = await checking.pod.current_worker(1)
    await until(lambda: late.health == {"tyk": {first: True, second: False}}, "a late worker knows")
    assert late.kinds[-1] is Kind.HEALTH
    assert b'"tyk"' in (checking.pod.runtime_directory / "attach.frames").read_bytes()
    checking.statuses[1] = "200 OK"
    await until(lambda: worker.health == {"tyk": {first: True, second: True}}, "the second is back")
    assert checking.origins[0].requests[0].head.start_line == "GET /healthz?full=1 HTTP/1.1"
    assert checking.origins[0].requests[0].head.all("host") == [first]


async def test_target_that_is_dead_at_the_start_is_known_at_once(checking: Checking):
    """Refused is down; the note says why."""
    await checking.origins[0].stop_listening()
    await checking.start(f'path = "/", {FAST}')
    await until(lambda: checking.ups() == dict(zip(checking.names(), (False, True), strict=True)), "checked")
    assert "Connect" in checking.pod.control.health.notes("tyk")[checking.names()[0]].note


async def test_tyk_preset_asks_ready(checking: Checking):
    """It is 503 while Redis is away and as soon as Tyk stops, when /hello is 200 still."""
    checking.statuses[0] = "503 Service Unavailable"
    await checking.start(f'preset = "tyk", {FAST}')
    await until(lambda: checking.ups() == dict(zip(checking.names(), (False, True), strict=True)), "checked")
    assert checking.origins[0].requests[0].head.start_line == "GET /ready HTTP/1.1"


async def test_target_that_is_silent_or_moves_or_says_the_wrong_thing_is_down(checking: Checking):
    """A redirect is not followed: it would ask somebody else."""

    async def silent(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.see_end()

    async def moved(connection: OriginConnection) -> None:
        await connection.read_request()
        await connection.send(answer(b"pass", "Location: http://127.0.0.1:9/", status="302 Found"))

    checking.origins[0].behave = silent
    checking.origins[1].behave = moved
    await checking.start(
        'path = "/", body_contains = "pass", interval_seconds = 0.1, timeout_seconds = 0.1, healthy_count = 1'
    )
    await until(lambda: checking.ups() == dict.fromkeys(checking.names(), False), "both are down")
    notes = checking.pod.control.health.notes("tyk")
    assert [notes[name].note for name in checking.names()] == ["no answer within 0.1 s", "status 302"]
    checking.origins[0].behave = checking.origins[1].behave = checking.behaviour(0)
    await until(lambda: checking.ups() == dict.fromkeys(checking.names(), True), "the text is found")


async def test_unix_socket_is_checked_like_any_target(checking: Checking, tmp_path: Path):
    origin = Origin()
    path = str(tmp_path / "app.sock")
    await origin.start(path=path)
    await checking.start(f'path = "/", {FAST}', [f"unix:{path}"])
    await until(lambda: checking.ups() == {f"unix:{path}": True}, "it is up")
    await origin.close()


async def test_https_target_is_checked_over_tls_by_its_own_rules(checking: Checking, tmp_path: Path):
    """What requests would not believe is no healthy target; files that were replaced are read anew."""
    authority = Authority(tmp_path / "authority")
    origin = TlsOrigin(authority.issue("up", "up.example"))
    await origin.start()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.certificate.read_bytes())
    name = f"127.0.0.1:{origin.port}"
    tls = f'tls = {{ ca = "{ca}", server_name = "up.example" }}'
    checking.pod.configure(
        f'[[upstreams]]\nname = "tyk"\ntargets = [{{ url = "https://{name}" }}]\n{tls}\n'
        f'health = {{ path = "/", {FAST} }}\n'
    )
    await checking.run()
    await until(lambda: checking.ups() == {name: True}, "it is up")
    assert (origin.names[0], origin.heads[0].get("host")) == ("up.example", name)
    ca.write_bytes(Authority(tmp_path / "other").certificate.read_bytes())
    await until(lambda: checking.ups() == {name: False}, "nobody vouches for it")
    ca.unlink()
    await until(
        lambda: "cannot be read" in checking.pod.control.health.notes("tyk")[name].note, "the note says so"
    )
    await origin.close()


async def test_reload_takes_other_targets_and_forgets_nothing_of_those_that_stay(checking: Checking):
    """A SIGHUP each second must not make a dead target look untried."""
    checking.statuses[0] = "500 Internal Server Error"
    await checking.start(f'path = "/", {FAST}')
    first, second = checking.names()
    await until(lambda: checking.ups() == {first: False, second: True}, "checked")
    checking.configure(f'path = "/", {FAST}', [f"http://{first}"])
    await reload(checking.pod.control, checking.pod.options)
    assert checking.ups()[first] is False
    await until(lambda: checking.ups() == {first: False}, "the other one is no target any more")
    checking.pod.configure()
    await reload(checking.pod.control, checking.pod.options)
    assert checking.ups() == {}


async def test_status_and_metrics_show_targets_and_their_health(checking: Checking):
    """What an operator looks at first when requests fail."""
    checking.statuses[0] = "503 Service Unavailable"
    await checking.start(f'path = "/", {FAST}')
    first, second = checking.names()
    await until(lambda: checking.ups() == {first: False, second: True}, "checked")
    _, status = await checking.pod.call("GET", "/v1/status")
    shown = {upstream["name"]: upstream for upstream in status["upstreams"]}
    assert list(shown) == ["default", "tyk"]
    assert {row["target"]: (row["up"], row["check"]) for row in shown["tyk"]["targets"]} == {
        first: (False, "status 503"),
        second: (True, ""),
    }
    _, text = await checking.pod.call("GET", "/metrics", port="ops")
    assert f'sentra_target_up{{target="{first}",upstream="tyk"}} 0.0' in text
    assert f'sentra_target_up{{target="{second}",upstream="tyk"}} 1.0' in text
