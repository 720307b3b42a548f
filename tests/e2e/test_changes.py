"""Changes while requests flow: blocks, lists, configuration."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.load import Client, Load, client_of_each_slot
from tests.e2e.processes import Edge, assert_quick, wait_until

# The normal suite takes a short look; the promise of the README is thirty seconds.
_RELOAD_SECONDS = float(os.environ.get("RELOAD_SECONDS", "8"))


@pytest.mark.parametrize("form", ["203.0.113.{}", "2001:db8:{}::1"])
def test_block_is_enforced_by_every_worker_within_a_tenth_of_a_second(edge: Edge, form: str):
    """Measured from the request that adds it to the first denial on an open connection of each worker."""
    addresses = map(form.format, range(1, 10))
    assert_quick(lambda: asyncio.run(seconds_to_denial(edge, next(addresses))), 0.1)


async def seconds_to_denial(edge: Edge, address: str) -> float:
    async with client_of_each_slot(edge.port, edge.workers()) as by_slot:
        for client in by_slot.values():
            assert (await client.get(client=address))[0] == 200
        started = time.monotonic()
        posted = asyncio.create_task(asyncio.to_thread(edge.add_block, address))
        for client in by_slot.values():
            while not await is_refused(client, address):
                assert time.monotonic() - started < 5
        elapsed = time.monotonic() - started
        assert (await posted).status == 201
    return elapsed


async def is_refused(client: Client, address: str) -> bool:
    """Denied, or cut off: a request that is under way when the block comes may have begun to be answered."""
    try:
        status, _ = await client.get(client=address)
    except (asyncio.IncompleteReadError, ConnectionError):
        return True
    return status == 403


async def denied_by_every_worker(edge: Edge, address: str) -> bool:
    async with client_of_each_slot(edge.port, edge.workers()) as by_slot:
        statuses = {(await client.get(client=address))[0] for client in by_slot.values()}
    return statuses == {403}


async def test_block_by_command_is_in_force_when_the_command_returns_and_after_a_restart(edge: Edge):
    """An operator who has seen the command succeed relies on it."""
    assert edge.get_as("203.0.113.9").status == 200
    done = edge.command("block", "203.0.113.9", "--reason", "tested")
    assert done.returncode == 0, done.stderr
    assert await denied_by_every_worker(edge, "203.0.113.9")
    assert edge.stop() == 0
    edge.start()
    assert await denied_by_every_worker(edge, "203.0.113.9")
    assert edge.get_as("203.0.113.10").status == 200
    assert edge.command("unblock", "203.0.113.9").returncode == 0
    assert edge.get_as("203.0.113.9").status == 200


def test_unblock_of_what_a_list_blocks_says_so_and_an_allow_helps(edge: Edge):
    """An operator must not believe that an address is free when a feed still holds it."""
    done = edge.command("unblock", "198.51.100.7")
    assert done.returncode != 0
    assert "first" in done.stdout + done.stderr
    assert edge.command("allow", "198.51.100.7", "--ttl", "10m").returncode == 0
    assert edge.get_as("198.51.100.7").status == 200
    assert edge.get_as("198.51.100.8").status == 403


async def test_lists_reloaded_every_second_under_load_fail_no_request(edge: Edge):
    """A swap must not be seen by anyone but those it is meant for."""
    lists = edge.lists / "first.txt"
    deadline = time.monotonic() + _RELOAD_SECONDS
    generation = 0
    async with Load(edge.port, clients=16) as load:
        while time.monotonic() < deadline:
            generation += 1
            replace(lists, generation)
            while edge.get_as(f"192.0.2.{generation}").status != 403:
                await load.progress(20)
            await load.progress(2000)
    assert load.faults == []
    assert generation >= 3
    # The list before is gone with it.
    assert edge.get_as(f"192.0.2.{generation - 1}").status == 200


def replace(path: Path, generation: int) -> None:
    """As a careful feed puts a new version in place. Large enough for a compile to take its time."""
    noise = "".join(f"10.{generation % 256}.{number >> 8}.{number & 255}\n" for number in range(65536))
    written = path.with_name("aside")
    written.write_text(f"198.51.100.0/24\n192.0.2.{generation}\n{noise}")
    written.rename(path)


async def test_sighup_with_a_wrong_configuration_changes_nothing(edge: Edge):
    """The fault is logged with file, line and key; what runs goes on."""
    assert edge.running is not None
    workers = edge.workers()
    edge.configure(edge="blok_score = 5\n")
    os.kill(edge.supervisor_pid, signal.SIGHUP)
    edge.running.wait_for_line("blok_score")
    line = 1 + edge.config_path.read_text().splitlines().index("blok_score = 5")
    assert f"sentra.toml:{line}" in edge.running.log()
    assert edge.workers() == workers
    assert edge.get_as("198.51.100.7").status == 403
    assert edge.get_as("192.0.2.1").status == 200


async def test_sighup_with_a_right_configuration_reaches_every_worker(edge: Edge):
    """Without a restart and without a lost connection."""
    async with client_of_each_slot(edge.port, edge.workers()) as by_slot:
        edge.configure(edge='mode = "observe"\n')
        os.kill(edge.supervisor_pid, signal.SIGHUP)
        for client in by_slot.values():
            deadline = time.monotonic() + 10
            while (await client.get(client="198.51.100.7"))[0] != 200:
                assert time.monotonic() < deadline


def test_stop_signal_ends_everything_with_status_zero(edge: Edge):
    """A service manager's stop."""
    everything = [*edge.workers().values(), edge.control()]
    assert edge.stop() == 0
    wait_until(lambda: not any(Path(f"/proc/{process_id}").exists() for process_id in everything), "all gone")
