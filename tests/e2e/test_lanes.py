"""Client -> edge -> lane -> origin as whole programs: what a lane adds, and what it cannot take with it."""

import asyncio
import os
import signal

import pytest

from tests.e2e.conftest import EdgeMaker
from tests.e2e.processes import Answer, Edge, ask, children_of, wait_until

MINE = """
import asyncio
import os
import time

from aiohttp import web


@web.middleware
async def middleware(request, handler):
    match request.headers["X-Do"]:
        case "raise":
            raise RuntimeError("a fault of the middleware")
        case "sleep":
            await asyncio.sleep(3600)
        case "block":
            time.sleep(3600)
        case "exit":
            os._exit(7)
    response = await handler(request)
    response.headers["X-Lane"] = f"{request.remote} {VERSION}"
    return response
"""
ROUTES = """
[[lanes]]
name = "app"
python_path = ["modules"]
middlewares = ["mine:middleware"]
head_seconds = 1
stall_seconds = 2

[[routes]]
name = "app"
headers = [{ name = "X-Do" }]
lane = "app"

[[routes]]
name = "rest"
"""


def write_module(edge: Edge, version: str, text: str = MINE) -> None:
    (edge.folder / "modules").mkdir(exist_ok=True)
    (edge.folder / "modules/mine.py").write_text(f'VERSION = "{version}"\n{text}')


@pytest.fixture
def edge(make_edge: EdgeMaker, gateway_port: int) -> Edge:
    """One worker; requests with X-Do go through a lane, all others straight to the gateway."""
    made = make_edge(gateway_port, workers=1, more=ROUTES)
    write_module(made, "first")
    made.start()
    return made


def lane_of(edge: Edge) -> int:
    """The lane's process id; waits for a replacement."""

    def found() -> list[int]:
        return [number for number, command in children_of(edge.supervisor_pid).items() if "--lane" in command]

    wait_until(lambda: len(found()) == 1, "one process of the lane")
    return found()[0]


def through_the_lane(edge: Edge, do: str = "nothing", *, method: str = "GET") -> Answer:
    headers = {"X-Do": do, "X-Forwarded-For": "192.0.2.7"}
    path = "/bytes/10?a=%2F" if method == "GET" else "/echo"
    return ask(edge.port, path, method=method, headers=headers)


def test_a_request_through_a_lane_is_the_edges_with_the_users_change(edge: Edge):
    """Verdict and client are the edge's; the middleware sees the client, and changes the answer."""
    answer = through_the_lane(edge)
    assert (answer.status, answer.headers["X-Lane"], len(answer.body)) == (200, "192.0.2.7 first", 10)
    straight = edge.get("/bytes/10")
    assert (straight.status, straight.headers["X-Lane"]) == (200, None)
    assert (edge.folder / "state/run/lane-app.sock").stat().st_mode & 0o777 == 0o600
    assert edge.add_block("192.0.2.7").status == 201
    assert through_the_lane(edge).status == 403


@pytest.mark.parametrize(
    ("do", "method", "status"),
    # A GET is sent once more, and ends the process once more.
    [("raise", "GET", 500), ("sleep", "GET", 504), ("block", "GET", 504), ("exit", "POST", 502)],
)
def test_what_a_middleware_does_harms_only_its_route(edge: Edge, do: str, method: str, status: int):
    """It raises, sleeps for ever, blocks its process, or ends it: everybody else is served as before."""
    assert through_the_lane(edge, do, method=method).status == status
    assert edge.get("/bytes/10").status == 200
    wait_until(lambda: through_the_lane(edge).status == 200, "the lane serves again")


def test_a_killed_lane_process_is_replaced_and_its_queue_waits(edge: Edge):
    """The socket is the supervisor's: connections wait in it for the replacement."""
    killed = lane_of(edge)
    assert through_the_lane(edge).status == 200
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: through_the_lane(edge).status == 200, "the lane serves again")
    assert lane_of(edge) != killed


def test_a_lane_that_cannot_start_stops_the_start_with_its_key(edge: Edge):
    """Exit status 2 and file, line and key, like any other fault of the configuration."""
    assert edge.stop() == 0
    (edge.folder / "modules/mine.py").write_text("1 / 0\n")
    assert edge.spawn().process.wait(30) == 2
    assert "lanes.0.middlewares.0: cannot be imported: ZeroDivisionError" in (edge.folder / "log").read_text()


def version_of(edge: Edge) -> str:
    answer = through_the_lane(edge)
    assert answer.status == 200
    return answer.headers["X-Lane"].split()[1]


async def test_a_reload_takes_a_changed_middleware_without_losing_a_request(edge: Edge):
    """The new process serves before the old one ends. POST: nothing here is sent twice in silence."""
    answered: list[int] = []
    is_over = False

    def load() -> None:
        while not is_over:
            answered.append(through_the_lane(edge, method="POST").status)

    loads = [asyncio.create_task(asyncio.to_thread(load)) for _ in range(3)]
    write_module(edge, "second")
    os.kill(edge.supervisor_pid, signal.SIGHUP)
    await asyncio.to_thread(wait_until, lambda: version_of(edge) == "second", "the new module serves")
    write_module(edge, "third")
    os.kill(edge.supervisor_pid, signal.SIGHUP)
    await asyncio.to_thread(wait_until, lambda: version_of(edge) == "third", "the newest module serves")
    is_over = True
    await asyncio.gather(*loads)
    assert len(answered) > 10
    assert set(answered) == {200}


def test_a_reload_with_a_broken_middleware_keeps_the_one_that_serves(edge: Edge):
    """The log says why, with file, line and key."""
    serving = lane_of(edge)
    write_module(edge, "broken", "1 / 0\n")
    os.kill(edge.supervisor_pid, signal.SIGHUP)
    assert edge.running is not None
    edge.running.wait_for_line("replacement_failed")
    assert "lanes.0.middlewares.0: cannot be imported: ZeroDivisionError" in edge.running.log()
    assert (version_of(edge), lane_of(edge)) == ("first", serving)


def test_a_restarted_program_hands_the_lanes_socket_on(edge: Edge):
    """The new program's lane serves the same queue with the new module."""
    write_module(edge, "second")
    done = edge.command("restart", "--config", str(edge.config_path))
    assert done.returncode == 0, done.stderr
    wait_until(lambda: version_of(edge) == "second", "the new lane serves")
