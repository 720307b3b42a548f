"""Entries by hand are compiled into the lists while requests flow and control is killed: nothing lapses."""

import asyncio
import os
import random
import signal

import pytest

from tests.e2e.conftest import EdgeMaker
from tests.e2e.load import Client, client_of_each_slot
from tests.e2e.processes import Edge, wait_until

BLOCKED = "203.0.113.250"
REMOVED = "203.0.113.251"
CHANGING = tuple(f"203.0.113.{number}" for number in range(8))
STEPS = 60
KILLS = 4

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def edge(make_edge: EdgeMaker, gateway_port: int) -> Edge:
    """Every change is folded within a second or two; the list changes too."""
    lists = '[[lists]]\npath = "lists/first.txt"\nsource = "first"\nscore = 9\n'
    made = make_edge(gateway_port, more=f"[blocklist]\nreload_seconds = 0.1\nfold_count = 1\n\n{lists}")
    (made.lists / "first.txt").write_text("198.51.100.0/24\n")
    made.start()
    return made


def until_current(edge: Edge) -> None:
    def is_current() -> bool:
        try:
            workers = edge.admin("/v1/status").json()["workers"]
        except OSError:
            return False
        return bool(workers["attached"] == workers["current"] == 2)

    wait_until(is_current, "control is back and every worker has what it has")


def kill_control(edge: Edge) -> None:
    ready = edge.ready_count("control")
    os.kill(edge.control(), signal.SIGKILL)
    wait_until(lambda: edge.ready_count("control") > ready, "a new control process")
    until_current(edge)


class Witness:
    """Asks every worker without pause; an answer that is not the one that must never change is kept."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.answered = 0
        self.faults: list[str] = []
        self.is_over = False

    async def look(self, client: Client) -> None:
        while not self.is_over:
            for address, expected in (
                (BLOCKED, 403),
                ("198.51.100.7", 403),
                (REMOVED, 200),
                ("192.0.2.1", 200),
            ):
                status, _ = await client.get("/bytes/10", client=address)
                if status != expected:
                    self.faults.append(f"{address}: {status}, not {expected}")
                self.answered += 1


def step(edge: Edge, generator: random.Random, blocked: set[str]) -> None:
    address = generator.choice(CHANGING)
    if address in blocked:
        assert edge.admin(f"/v1/blocks?target={address}", method="DELETE").status == 200
        blocked.discard(address)
    else:
        assert edge.add_block(address).status == 201
        blocked.add(address)


def folded_count(edge: Edge) -> int:
    assert edge.running is not None
    return edge.running.log().count('"lists_folded"')


async def test_nothing_lapses_while_entries_are_folded_and_control_is_killed(edge: Edge):
    """What is blocked stays blocked, what was freed stays free, on both workers and for every request."""
    generator = random.Random(5)
    for address in (BLOCKED, REMOVED, *CHANGING[:2]):
        assert edge.add_block(address).status == 201
    wait_until(lambda: folded_count(edge) >= 1, "they are compiled in")
    assert edge.admin(f"/v1/blocks?target={REMOVED}", method="DELETE").status == 200
    blocked = set(CHANGING[:2])
    witness = Witness(edge)

    def change() -> None:
        for number in range(STEPS):
            step(edge, generator, blocked)
            if number % (STEPS // KILLS) == STEPS // KILLS - 1:
                kill_control(edge)
            if number % 20 == 10:
                (edge.lists / "aside").write_text(f"198.51.100.0/24\n192.0.2.{100 + number}\n")
                (edge.lists / "aside").rename(edge.lists / "first.txt")
            if number % 15 == 5:
                before = folded_count(edge)
                while folded_count(edge) == before:
                    step(edge, generator, blocked)
        until_current(edge)

    async with client_of_each_slot(edge.port, edge.workers()) as by_slot:
        looking = [asyncio.create_task(witness.look(client)) for client in by_slot.values()]
        try:
            await asyncio.to_thread(change)
        finally:
            witness.is_over = True
            await asyncio.gather(*looking)
        assert witness.faults == []
        assert witness.answered > 500
        for client in by_slot.values():
            denied = {item for item in CHANGING if (await client.get(client=item))[0] == 403}
            assert denied == blocked
    assert folded_count(edge) >= 3
    kept = edge.admin("/v1/blocks").json()["count"]
    assert kept == len(blocked) + 1
