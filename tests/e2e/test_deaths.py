"""What kill -9 of each process may cost, seen from clients of the whole program."""

import asyncio
import os
import signal
import time

from tests.e2e.load import Client, Load, client_of_each_slot, owner_of
from tests.e2e.processes import Edge, assert_quick, is_running, wait_until


async def test_control_killed_under_load_costs_no_request_and_comes_back(edge: Edge):
    """Workers go on with what they have; the new control process finds them again and can change them."""
    earlier = edge.ready_count("control")
    async with Load(edge.port) as load:
        await load.progress()
        os.kill(edge.control(), signal.SIGKILL)
        await load.progress()
        await asyncio.to_thread(wait_until, lambda: edge.ready_count("control") > earlier, "control is back")
        await load.progress()
    assert load.faults == []
    assert edge.command("block", "203.0.113.9").returncode == 0
    async with client_of_each_slot(edge.port, edge.workers()) as by_slot:
        for client in by_slot.values():
            assert (await client.get(client="203.0.113.9"))[0] == 403


async def test_worker_killed_under_load_ends_only_its_own_connections(edge: Edge):
    """The other worker's clients must not notice."""
    async with Load(edge.port, clients=24) as load:
        await load.progress()
        workers = edge.workers()
        owners = {client.local_port: owner_of(client, edge.port, workers) for client in load.connections}
        os.kill(workers[0], signal.SIGKILL)
        await load.progress()
    ended = {int(fault.split(":")[0]) for fault in load.faults}
    assert ended == {port for port, slot in owners.items() if slot == 0}


def test_killed_worker_is_back_in_under_a_second_with_its_lists(edge: Edge):
    """Its queue waits for it, so a client only sees a slow answer. The second is a promise of the README."""
    assert_quick(lambda: asyncio.run(seconds_without(0, edge)), 1.0)


async def seconds_without(slot: int, edge: Edge) -> float:
    """From the kill of the slot's worker until a connection is served there; nobody is refused meanwhile."""
    os.kill(edge.workers()[slot], signal.SIGKILL)
    started = time.monotonic()
    owner = None
    while owner != slot:
        async with Client(edge.port) as client:
            assert (await client.get())[0] == 200
            assert (await client.get(client="198.51.100.7"))[0] == 403
            owner = owner_of(client, edge.port, edge.workers())
    return time.monotonic() - started


async def test_gauges_of_a_killed_worker_are_cleared(edge: Edge):
    """Connections that ended with it must not count as open for ever."""
    async with client_of_each_slot(edge.port, edge.workers()) as by_slot:
        open_count = edge.metric("sentra_connections_open")
        assert open_count >= len(by_slot)
        os.kill(edge.workers()[0], signal.SIGKILL)
        await asyncio.to_thread(
            wait_until,
            lambda: 0 < edge.metric("sentra_connections_open") < open_count,
            "only the living are counted",
        )


def test_supervisor_killed_takes_everything_with_it(edge: Edge):
    """Nobody would restart or stop the others any more."""
    everything = [*edge.workers().values(), edge.control()]
    os.kill(edge.supervisor_pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, everything)), "the others ended")


def test_list_is_put_back_when_workers_die_of_it(edge: Edge):
    """Nobody is awake at three in the morning. The replacements serve with what was there before."""
    (edge.lists / "first.txt").write_text("192.0.2.0/24\n")
    wait_until(lambda: edge.get_as("192.0.2.1").status == 403, "the new list is in force")
    killed: set[int] = set()
    while len(killed) < 3:
        for process_id in set(edge.workers().values()) - killed:
            os.kill(process_id, signal.SIGKILL)
            killed.add(process_id)
    wait_until(lambda: "lists" in edge.admin("/v1/status").json()["put_back"], "the list was put back")

    def is_everywhere() -> bool:
        # Each connection has an even chance to meet either worker.
        answers = [(edge.get_as("198.51.100.7").status, edge.get_as("192.0.2.1").status) for _ in range(8)]
        return set(answers) == {(403, 200)}

    wait_until(is_everywhere, "the list before is in force")
