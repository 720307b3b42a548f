"""Workers replaced one by one: nobody who connects meets a closed door."""

import os
import signal

import pytest

from proxy.supervisor import messages
from tests.supervisor.conftest import Launch, Running, has_stopped, is_running, wait_until


def worker_of(running: Running, slot: int) -> int | None:
    living = [process_id for process_id in running.pids(f"worker-{slot}") if is_running(process_id)]
    return living[0] if living else None


def test_every_worker_is_replaced_and_their_queues_are_served(launch: Launch):
    """The new process is in the other slot of its own: the old one still counts while it drains."""
    running = launch(workers=2)
    running.wait_ready()
    old = [running.worker_pid(slot) for slot in range(2)]
    for process_id in old:
        os.kill(process_id, signal.SIGSTOP)
    wait_until(lambda: all(has_stopped(process_id) for process_id in old), "they have stopped")
    queued = [running.connect() for _ in range(8)]
    assert running.ask_for(messages.REPLACE_WORKERS).kind == messages.DONE
    new = [running.worker_pid(slot) for slot in (2, 3)]
    answers = [running.ask(connection) for connection in queued]
    assert set(answers) <= set(zip((2, 3), new, strict=True))
    for process_id in old:
        os.kill(process_id, signal.SIGCONT)
    wait_until(lambda: not any(map(is_running, old)), "the old ones ended")
    wait_until(lambda: running.log().count('"child_exited"') == 2, "and were noticed")
    assert running.ask_for(messages.REPLACE_WORKERS).kind == messages.DONE
    assert all(worker_of(running, slot) not in (None, *old) for slot in range(2))
    wait_until(lambda: not any(map(is_running, new)), "the second ones ended")


def test_new_worker_that_dies_later_is_started_again_where_it_was(launch: Launch):
    """It is a worker like any other."""
    running = launch()
    running.wait_ready()
    assert running.ask_for(messages.REPLACE_WORKERS).kind == messages.DONE
    killed = running.worker_pid(1)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: worker_of(running, 1) not in (None, killed), "a replacement serves")
    assert running.ask(running.connect()) == (1, running.worker_pid(1))


@pytest.mark.parametrize(
    ("environment", "kept", "reason"),
    [
        ({"CRASHING_SLOT": "2"}, {0, 1}, "a new worker ended with status 1"),
        ({"CRASHING_SLOT": "3"}, {1, 2}, "a new worker ended with status 1"),
        (
            {"HOLD_WORKER": "1", "HOLD_SLOT": "2", "TAKEOVER_SECONDS": "0.5"},
            {0, 1},
            "it did not serve within 0.5 s",
        ),
    ],
    ids=["the first crashes", "the second crashes", "the first hangs"],
)
def test_worker_whose_successor_fails_goes_on(
    launch: Launch, environment: dict[str, str], kept: set[int], reason: str
):
    """The others that are new by then are as good as the old."""
    running = launch(workers=2, **environment)
    running.wait_ready()
    answer = running.ask_for(messages.REPLACE_WORKERS)
    assert answer.kind == messages.REFUSED
    assert reason in answer.text("reason")
    wait_until(
        lambda: {slot for slot in range(4) if worker_of(running, slot)} == kept, "these serve, and no others"
    )
    slots = {running.ask(running.connect())[0] for _ in range(30)}
    assert slots == kept


def test_second_replacement_waits_for_the_drain_of_the_first(launch: Launch):
    """There are two slots for each worker, and both are taken."""
    running = launch(drain_seconds=600.0, STUBBORN="1")
    running.wait_ready()
    assert running.ask_for(messages.REPLACE_WORKERS).kind == messages.DONE
    assert "still drain" in running.ask_for(messages.REPLACE_WORKERS).text("reason")
    for process_id in (running.worker_pid(0), running.worker_pid(1)):
        os.kill(process_id, signal.SIGKILL)
    wait_until(lambda: not worker_of(running, 0), "the old one ended")


def test_stop_in_the_middle_of_a_replacement_ends_everything(launch: Launch):
    """Whoever asked hears that it came to nothing."""
    running = launch(workers=2, HOLD_WORKER="1", HOLD_SLOT="3")
    running.wait_ready()
    with messages.connect(running.directory, 10.0) as endpoint:
        messages.send(endpoint, messages.REPLACE_WORKERS)
        wait_until(lambda: running.pids("held-worker"), "the second is on its way")
        assert running.ask_for(messages.RESTART).text("reason") == "its workers are being replaced"
        children = running.children()
        assert running.stop() == 0
        assert messages.receive(endpoint).text("reason") == "it is stopping"
    assert not any(map(is_running, children))
