"""A restart of the whole program: queues, control and lock change hands, whoever dies meanwhile."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.supervisor import messages
from tests.supervisor.conftest import Launch, Running, has_stopped, is_running, wait_until


def restart_in_background(running: Running) -> Callable[[], messages.Message]:
    """Ask for a restart; returns how to wait for the answer."""
    answers: list[messages.Message] = []

    def ask() -> None:
        with suppress(messages.MessageError):  # a test may kill the one who would answer
            answers.append(running.ask_for(messages.RESTART))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()

    def answer() -> messages.Message:
        asking.join(10)
        return answers[0]

    return answer


def serves(running: Running, workers: set[int]) -> bool:
    """Who answers a new connection is one of these."""
    return running.ask(running.connect())[1] in workers


def test_restart_serves_the_queue_of_the_old_program(launch: Launch):
    """A connection that nobody has accepted yet must survive the whole program."""
    running = launch()
    running.wait_ready()
    old = running.worker_pid(0)
    os.kill(old, signal.SIGSTOP)
    wait_until(lambda: has_stopped(old), "the worker has stopped")
    queued = running.connect()
    answer = running.ask_for(messages.RESTART)
    assert answer.kind == messages.DONE, answer
    assert answer.number("process_id") == running.supervisor_pid() != running.process.pid
    assert running.ask(queued)[1] != old
    os.kill(old, signal.SIGCONT)
    assert running.process.wait(10) == 0
    assert not is_running(old)
    assert serves(running, {running.worker_pid(0)})


def test_two_controls_never_work_at_a_time(launch: Launch):
    """Both would write the store."""
    running = launch()
    running.wait_ready()
    for _ in range(2):
        assert running.ask_for(messages.RESTART).kind == messages.DONE
    assert not running.pids("second-writer")
    assert len(running.pids("control")) == 3


def test_sigusr2_restarts_as_well(launch: Launch):
    """For service managers that know signals only."""
    running = launch()
    running.wait_ready()
    running.process.send_signal(signal.SIGUSR2)
    assert running.process.wait(10) == 0
    assert running.supervisor_pid() != running.process.pid


def test_restarted_program_ignores_no_signal_and_stops_with_everything(launch: Launch):
    """The successor is a program like the first."""
    running = launch(workers=2)
    running.wait_ready()
    assert running.ask_for(messages.RESTART).kind == messages.DONE
    assert running.process.wait(10) == 0
    successor, workers = running.supervisor_pid(), [running.worker_pid(slot) for slot in range(2)]
    os.kill(successor, signal.SIGTERM)
    wait_until(lambda: not any(map(is_running, [successor, *workers])), "all ended")
    assert (running.directory / "draining").exists()
    assert not (running.directory / messages.SOCKET_NAME).exists()
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_handover_is_no_drain_for_a_load_balancer(launch: Launch):
    """The file would make the new program answer 503 to /readyz."""
    running = launch()
    running.wait_ready()
    assert running.ask_for(messages.RESTART).kind == messages.DONE
    assert running.process.wait(10) == 0
    assert not (running.directory / "draining").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"CONTROL_STATUS": "2"}, "its control ended with status 2"),
        ({"CONTROL_STATUS": "1"}, "its control ended with status 1"),
        ({"CRASHING_SLOT": "1"}, "its worker ended with status 1"),
        ({"HOLD_CONTROL": "1", "TAKEOVER_SECONDS": "0.3"}, "did not serve within 0.3 s"),
        ({"HOLD_WORKER": "1", "TAKEOVER_SECONDS": "0.8"}, "did not serve within 0.8 s"),
        ({"WORKERS": "0"}, "ended before it could serve"),
    ],
    ids=["control refuses", "control crashes", "worker crashes", "control hangs", "worker hangs", "no start"],
)
def test_failed_successor_leaves_the_old_program_as_it_was(
    launch: Launch, changes: dict[str, str], reason: str
):
    """The same workers, a control, and the reason for whoever asked."""
    running = launch(workers=2)
    running.wait_ready()
    workers = {running.worker_pid(slot) for slot in range(2)}
    (control,) = running.pids("control")
    running.change_successor(**changes)
    answer = running.ask_for(messages.RESTART)
    assert answer.kind == messages.REFUSED
    assert reason in answer.text("reason")
    wait_until(lambda: is_running(control) or len(running.pids("control")) > 1, "control is there")
    wait_until(lambda: len(living(running, "control")) == 1, "one control is there")
    assert {running.worker_pid(slot) for slot in range(2)} == workers
    assert serves(running, workers)
    assert running.supervisor_pid() == running.process.pid
    running.change_successor()
    assert running.ask_for(messages.RESTART).kind == messages.DONE


def living(running: Running, fact: str) -> list[int]:
    return [process_id for process_id in running.pids(fact) if is_running(process_id)]


@pytest.mark.parametrize("held", ["control", "worker"])
def test_successor_that_is_killed_leaves_the_old_program_as_it_was(launch: Launch, held: str):
    """Before the commit nothing is lost with it."""
    running = launch()
    running.wait_ready()
    worker = running.worker_pid(0)
    running.change_successor(**{f"HOLD_{held.upper()}": "1"})
    answer = restart_in_background(running)
    wait_until(lambda: running.pids(f"held-{held}"), "the successor is on its way")
    (held_process,) = running.pids(f"held-{held}")
    os.kill(parent_of(held_process), signal.SIGKILL)
    assert answer().kind == messages.REFUSED
    wait_until(lambda: len(living(running, "control")) == 1, "control is there")
    assert running.worker_pid(0) == worker
    wait_until(lambda: not is_running(held_process), "nothing is left of the successor")
    assert serves(running, {worker})


def parent_of(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("held", ["control", "worker"])
def test_successor_serves_when_the_old_supervisor_is_killed(launch: Launch, held: str):
    """It holds the queues: there is nobody to go back to, and nothing to wait for."""
    running = launch()
    running.wait_ready()
    worker = running.worker_pid(0)
    running.change_successor(**{f"HOLD_{held.upper()}": "1"})
    restart_in_background(running)
    wait_until(lambda: running.pids(f"held-{held}"), "the successor is on its way")
    running.process.kill()
    running.process.wait()
    wait_until(lambda: not is_running(worker), "the old worker ended with its supervisor")
    queued = running.connect()
    (running.directory / f"release-{held}").touch()
    wait_until(lambda: living(running, "worker-0"), "the new worker is ready")
    assert running.ask(queued)[1] == running.worker_pid(0)
    wait_until(lambda: len(living(running, "control")) == 1, "one control is there")
    assert not running.pids("second-writer")
    wait_until(lambda: running.ask_for(messages.RELOAD).kind == messages.DONE, "it can be asked")


def test_stop_of_the_old_program_ends_the_successor_too(launch: Launch):
    """A stop is meant for the program, not for one of its processes."""
    running = launch()
    running.wait_ready()
    running.change_successor(HOLD_WORKER="1")
    answer = restart_in_background(running)
    wait_until(lambda: running.pids("held-worker"), "the successor is on its way")
    (held,) = running.pids("held-worker")
    successor = parent_of(held)
    assert running.stop() == 0
    assert answer().text("reason") == "it is stopping"
    wait_until(lambda: not is_running(successor), "the successor ended")
    assert not is_running(held)
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_only_one_takes_over_at_a_time(launch: Launch):
    """Two would start two controls."""
    running = launch()
    running.wait_ready()
    running.change_successor(HOLD_WORKER="1")
    restart_in_background(running)
    wait_until(lambda: running.pids("held-worker"), "a successor is on its way")
    with messages.connect(running.directory, 5.0) as endpoint:
        messages.send(endpoint, messages.TAKE_OVER, protocol=messages.PROTOCOL_VERSION)
        answer = messages.receive(endpoint)
    assert answer.kind == messages.REFUSED
    assert "is taking over already" in answer.text("reason")


@pytest.mark.parametrize("kind", [messages.STOP_CONTROL, messages.COMMIT, messages.FAILED, "nonsense"])
def test_stranger_cannot_take_a_step_of_a_handover(launch: Launch, kind: str):
    """Who has not been offered the sockets has nothing to commit."""
    running = launch()
    running.wait_ready()
    answer = running.ask_for(kind)
    assert answer.kind == messages.REFUSED
    assert len(living(running, "control")) == 1


def test_other_protocol_is_refused_by_number(launch: Launch):
    """An older program must not give its sockets to one that it does not understand."""
    running = launch()
    running.wait_ready()
    with messages.connect(running.directory, 5.0) as endpoint:
        messages.send(endpoint, messages.TAKE_OVER, protocol=99)
        assert messages.receive(endpoint).text("reason") == "hand-over protocol 99 is not 1"


def test_more_workers_join_and_fewer_keep_every_queue(launch: Launch):
    """A queue that closes loses what is in it, so a worker takes a second one."""
    running = launch(workers=2)
    running.wait_ready()
    for count in (3, 1):
        running.change_successor(WORKERS=str(count))
        assert running.ask_for(messages.RESTART).kind == messages.DONE
        wait_until(lambda: len(living_workers(running)) == count, "the old workers have gone")  # noqa: B023 - called at once
        connections = [running.connect() for _ in range(30)]
        assert {running.ask(connection)[0] for connection in connections} == set(range(count))
    # Three queues and one worker.
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in living_workers(running)]
    (command,) = commands
    assert command[command.index(b"--listen-fd") + 1].count(b",") == 2


def living_workers(running: Running) -> list[int]:
    return [pid for slot in range(3) for pid in living(running, f"worker-{slot}")]


def test_take_over_from_nobody_is_refused_in_one_line(launch: Launch, tmp_path: Path):
    """Started by mistake it must not bind beside what it did not find."""
    (tmp_path / "run0").mkdir()
    running = launch(takes_over=True)
    assert running.process.wait(10) == 2
    (line,) = running.log().splitlines()
    assert line.startswith("nothing to take over: ")


def test_service_manager_hears_who_the_main_process_is(launch: Launch, tmp_path: Path):
    """systemd would otherwise take the end of the old supervisor for the end of the service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        running = launch(NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(100) == b"READY=1"
        assert running.ask_for(messages.RESTART).kind == messages.DONE
        told = {manager.recv(100), manager.recv(100)}
        assert told == {b"READY=1", b"MAINPID=%d" % running.supervisor_pid()}
        os.kill(running.supervisor_pid(), signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
