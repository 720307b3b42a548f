"""The whole program replaced while requests flow."""

import asyncio
import os
import signal
import socket
import time

import pytest

from tests.e2e.load import Load, client_of_each_slot
from tests.e2e.processes import Edge, ask, children_of, wait_until

# Four whole starts of a program that shares its two cores with the load.
pytestmark = pytest.mark.timeout(180)

_PAUSE_SECONDS = 0.01


async def restart(edge: Edge) -> str:
    """As an operator does; returns what the command said."""
    done = await asyncio.to_thread(edge.command, "restart", "--config", str(edge.config_path))
    assert done.returncode == 0, done.stderr + edge.running.log()  # type: ignore[union-attr]  # it runs
    return done.stdout


async def test_restarts_under_load_fail_no_request(edge: Edge):
    """Neither on connections that are kept nor on new ones, and what was learnt stays in force."""
    assert edge.add_block("203.0.113.9").status == 201
    seen = {edge.supervisor_pid}
    async with (
        Load(edge.port, clients=12, pause_seconds=_PAUSE_SECONDS) as kept,
        Load(edge.port, clients=4, pause_seconds=_PAUSE_SECONDS, is_fresh=True) as fresh,
    ):
        for _ in range(2):
            await kept.progress(200)
            said = await restart(edge)
            assert f"process {edge.supervisor_pid} serves" in said
            assert edge.get_as("203.0.113.9").status == 403
            assert edge.get_as("198.51.100.7").status == 403
            await fresh.progress(50)
            seen.add(edge.supervisor_pid)
    assert kept.faults == []
    assert fresh.faults == []
    assert len(seen) == 3
    assert edge.running is not None
    assert edge.running.process.wait(20) == 0
    assert edge.command("unblock", "203.0.113.9").returncode == 0
    assert ask(edge.ops_port, "/readyz").status == 200


async def test_workers_replaced_under_load_fail_no_request(edge: Edge):
    """Each with what control has told the others."""
    assert edge.add_block("203.0.113.9").status == 201
    before = edge.workers()
    async with (
        Load(edge.port, clients=8, pause_seconds=_PAUSE_SECONDS) as kept,
        Load(edge.port, clients=4, pause_seconds=_PAUSE_SECONDS, is_fresh=True) as fresh,
    ):
        await kept.progress(100)
        arguments = ("reload", "--workers", "--config", str(edge.config_path))
        done = await asyncio.to_thread(edge.command, *arguments)
        assert done.returncode == 0, done.stderr
        assert edge.get_as("203.0.113.9").status == 403
        await kept.progress(200)
        await fresh.progress(50)
    assert kept.faults == []
    assert fresh.faults == []
    wait_until(lambda: not set(before.values()) & set(edge.workers().values()), "the old ones ended")
    assert len(edge.workers()) == 2
    wait_until(lambda: edge.metric("sentra_connections_open") >= 0, "the gauges are sound")


async def test_sigusr2_under_load_fails_no_request(edge: Edge):
    """The same for service managers that know signals only."""
    first = edge.supervisor_pid
    async with Load(edge.port, clients=8, pause_seconds=_PAUSE_SECONDS) as load:
        os.kill(first, signal.SIGUSR2)
        assert edge.running is not None
        while await asyncio.to_thread(edge.running.process.poll) is None:
            await load.progress(50)
    assert load.faults == []
    assert edge.running.process.returncode == 0
    assert edge.supervisor_pid != first


async def test_new_settings_are_in_force_when_the_command_returns(edge: Edge):
    """Also those that a SIGHUP cannot change, such as the number of workers."""
    edge.configure(edge='mode = "observe"\n', workers=3)
    await restart(edge)
    workers = edge.workers()
    assert sorted(workers) == [0, 1, 2]
    async with client_of_each_slot(edge.port, workers) as by_slot:
        for client in by_slot.values():
            assert (await client.get(client="198.51.100.7"))[0] == 200


async def test_answer_under_way_is_finished_by_the_old_program(edge: Edge):
    """A restart is no reason to cut a download."""
    edge.configure(drain_seconds=30.0)
    await restart(edge)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(b"GET /stream?count=15&seconds=0.3 HTTP/1.1\r\nHost: edge.example\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    old = edge.supervisor_pid
    await restart(edge)
    assert edge.supervisor_pid != old
    rest = await asyncio.wait_for(reader.read(), 20)
    assert rest.endswith(b"0\r\n\r\n")
    writer.close()


async def test_wrong_configuration_is_named_and_nothing_happens(edge: Edge):
    """Before anything is started."""
    before = children_of(edge.supervisor_pid)
    edge.configure(edge="blok_score = 5\n")
    done = edge.command("restart", "--config", str(edge.config_path))
    line = 1 + edge.config_path.read_text().splitlines().index("blok_score = 5")
    assert done.returncode == 2
    assert f"sentra.toml:{line}" in done.stderr
    assert children_of(edge.supervisor_pid) == before


async def test_successor_that_cannot_serve_is_given_up_without_a_failed_request(edge: Edge):
    """What only shows at the start, here a port that somebody has, must not cost the service."""
    workers = edge.workers()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = edge.config_path.read_text()
        port = taken.getsockname()[1]
        edge.config_path.write_text(text.replace(f"127.0.0.1:{edge.ops_port}", f"127.0.0.1:{port}"))
        async with Load(edge.port, clients=8, pause_seconds=_PAUSE_SECONDS) as load:
            done = await asyncio.to_thread(edge.command, "restart", "--config", str(edge.config_path))
            assert done.returncode == 1
            assert "its control ended with status 2 at the start" in done.stderr
            await load.progress(200)
    assert load.faults == []
    edge.config_path.write_text(text)
    assert edge.workers() == workers
    wait_until(lambda: is_ready(edge), "the old control is back")
    # One worker is enough to be ready; a block is in force where control is attached.
    wait_until(
        lambda: edge.admin("/v1/status").json()["workers"]["current"] == len(workers), "both are attached"
    )
    assert edge.add_block("203.0.113.9").status == 201
    assert edge.get_as("203.0.113.9").status == 403


def is_ready(edge: Edge) -> bool:
    try:
        return ask(edge.ops_port, "/readyz").status == 200
    except ConnectionError:
        return False


async def test_old_program_killed_on_the_way_leaves_the_new_one_serving(edge: Edge):
    """Connections wait in the queues, which the new program holds."""
    edge.configure(drain_seconds=10.0)
    await restart(edge)
    old = edge.supervisor_pid
    asking = asyncio.create_task(
        asyncio.to_thread(edge.command, "restart", "--config", str(edge.config_path))
    )
    assert edge.running is not None
    log = edge.running
    count = log.log().count("handover_started")
    deadline = time.monotonic() + 20
    while log.log().count("handover_started") == count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
    os.kill(old, signal.SIGKILL)
    await asking
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(edge.get)).status != 200:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    wait_until(lambda: is_ready(edge), "the new control serves")
    assert edge.supervisor_pid != old


def test_restart_of_nothing_says_so(make_edge):
    """Not to be mistaken for a refusal of a running program."""
    edge = make_edge(1)
    done = edge.command("restart", "--config", str(edge.config_path))
    assert done.returncode == 3
    assert "is sentra-proxy running?" in done.stderr


@pytest.mark.parametrize("verb", ["reload", "sighup"])
async def test_reload_by_command_and_by_signal_are_the_same(edge: Edge, verb: str):
    """The command is for who does not know the process id."""
    edge.configure(edge='mode = "observe"\n')
    if verb == "reload":
        done = edge.command("reload", "--config", str(edge.config_path))
        assert done.returncode == 0, done.stderr
    else:
        os.kill(edge.supervisor_pid, signal.SIGHUP)
    wait_until(lambda: edge.get_as("198.51.100.7").status == 200, "it is only observed")
