"""The life of children: restart, stop, signals. Real processes, real sockets."""

import json
import os
import select
import signal
import socket
import time
from pathlib import Path

import pytest

from proxy.control.putback import read_deaths
from tests.supervisor.conftest import Launch, has_stopped, is_running, wait_until


def test_killed_worker_is_replaced_and_its_queued_connection_is_served(launch: Launch):
    """The queue belongs to the supervisor's socket, so a connection nobody has accepted yet must survive."""
    running = launch()
    running.wait_ready()
    killed = running.worker_pid(0)
    os.kill(killed, signal.SIGSTOP)
    # Until it has stopped it may still take the connection out of the queue.
    wait_until(lambda: has_stopped(killed), "the worker has stopped")
    queued = running.connect()
    os.kill(killed, signal.SIGKILL)
    slot, process_id = running.ask(queued)
    assert slot == 0
    assert process_id != killed


def test_death_of_one_worker_leaves_the_connections_of_the_other(launch: Launch):
    """Only the dead worker's own connections may end."""
    running = launch(workers=2)
    running.wait_ready()
    by_slot: dict[int, tuple[socket.socket, int]] = {}
    while len(by_slot) < 2:
        connection = running.connect()
        slot, process_id = running.ask(connection)
        by_slot.setdefault(slot, (connection, process_id))
    os.kill(by_slot[0][1], signal.SIGKILL)
    wait_until(lambda: len(running.pids("worker-0")) == 2, "the replacement serves")
    assert running.ask(by_slot[1][0]) == (1, by_slot[1][1])
    with pytest.raises(ConnectionError):
        running.ask(by_slot[0][0])


def test_killed_control_is_started_again_and_workers_stay(launch: Launch):
    """Workers go on with what they have; control re-attaches."""
    running = launch()
    running.wait_ready()
    worker = running.worker_pid(0)
    os.kill(running.pids("control")[0], signal.SIGKILL)
    wait_until(lambda: len(running.pids("control")) == 2, "control is back")
    assert running.worker_pid(0) == worker


def test_crash_loop_is_slowed_and_does_not_end_the_other_worker(launch: Launch):
    """One broken slot must neither burn the machine nor take the service down."""
    running = launch(workers=2, CRASHING_SLOT="1")
    wait_until(lambda: '"restart_seconds": 0.5' in running.log(), "the slot was tried again, later each time")
    exits = [json.loads(line) for line in running.log().splitlines() if '"child_exited"' in line]
    assert [line["restart_seconds"] for line in exits if line["slot"] == 1] == [0.0, 0.25, 0.5]
    # Each connection has an even chance to wait in the queue of the broken slot.
    connections = [running.connect() for _ in range(30)]
    for connection in connections:
        connection.sendall(b"who\n")
    answered, _, _ = select.select(connections, [], [], 10)
    assert answered[0].recv(100).split() == [b"0", b"%d" % running.worker_pid(0)]


def test_unasked_exits_are_noted_for_control(launch: Launch):
    """Control takes a bad list back by this file; a worker may die before it can speak."""
    running = launch(workers=2)
    running.wait_ready()
    killed, begun = running.worker_pid(1), time.monotonic()
    os.kill(killed, signal.SIGKILL)
    exits = running.directory / "worker.exits"
    wait_until(exits.read_text, "the exit is noted")
    (death,) = read_deaths(exits, since=begun - 0.001)  # written in milliseconds
    assert (death.slot, death.process_id, death.status) == (1, killed, -signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_everything_with_status_zero(launch: Launch, number: signal.Signals):
    """Ctrl-C and a service manager's stop leave no process."""
    running = launch(workers=2)
    running.wait_ready()
    # The command that said `ready` is a child as well, for a moment.
    wait_until(lambda: len(running.children()) == 3, "control and two workers are the only children")
    children = running.children()
    assert running.stop(number) == 0
    assert [child for child in children if is_running(child)] == []


def test_worker_that_ignores_the_signal_is_killed_after_the_drain_time(launch: Launch):
    """A stop has an end whatever a worker does."""
    running = launch(drain_seconds=0.3, STUBBORN="1")
    running.wait_ready()
    assert running.stop() == 0
    assert len(running.pids("terminated")) == 1
    assert '"child_killed"' in running.log()


def test_draining_is_written_down_before_a_worker_is_asked_to_stop(launch: Launch):
    """Control is asked last; a load balancer has to hear from it first."""
    running = launch(drain_seconds=600.0, STUBBORN="1")
    running.wait_ready()
    marker = running.directory / "draining"
    assert not marker.exists()
    running.process.send_signal(signal.SIGTERM)
    wait_until(lambda: running.pids("terminated"), "the worker was asked to stop")
    assert marker.exists()


def test_draining_of_an_earlier_run_is_forgotten(launch: Launch, tmp_path: Path):
    """A program that was started again would never be ready."""
    (tmp_path / "run0").mkdir()
    (tmp_path / "run0/draining").touch()
    running = launch()
    running.wait_ready()
    assert not (running.directory / "draining").exists()


def test_second_signal_kills_at_once(launch: Launch):
    """The drain time here is longer than the bound of the test."""
    running = launch(drain_seconds=600.0, STUBBORN="1")
    running.wait_ready()
    running.process.send_signal(signal.SIGINT)
    wait_until(lambda: running.pids("terminated"), "the worker was asked to stop")

    def press_again() -> bool:
        running.process.send_signal(signal.SIGINT)
        return running.process.poll() is not None

    wait_until(press_again, "the impatient signal ended it")
    assert running.process.returncode == 0


def test_doubled_signal_is_one_wish(launch: Launch):
    """`timeout -s INT` signals the process and its group; workers must still get their time to drain."""
    running = launch()
    running.wait_ready()
    running.process.send_signal(signal.SIGINT)
    assert running.stop(signal.SIGINT) == 0
    assert '"child_killed"' not in running.log()


def test_stopping_supervisor_refuses_new_connections(launch: Launch):
    """A copy of the socket that stays open would let clients wait for nobody."""
    running = launch(drain_seconds=600.0)
    running.wait_ready()
    assert running.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_children_end_when_the_supervisor_is_killed(launch: Launch):
    """Nobody would restart or stop them any more."""
    running = launch(workers=2)
    running.wait_ready()
    children = running.children()
    running.process.kill()
    running.process.wait()
    wait_until(lambda: not any(map(is_running, children)), "children ended")


def test_sighup_reaches_control_and_nobody_else(launch: Launch):
    """A worker's default for SIGHUP is death."""
    running = launch(workers=2)
    running.wait_ready()
    workers = [running.worker_pid(slot) for slot in range(2)]
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: running.pids("reloaded") == running.pids("control"), "control was told")
    assert [running.worker_pid(slot) for slot in range(2)] == workers


def test_control_that_refuses_the_first_start_ends_it_with_status_two(launch: Launch):
    """A wrong configuration must be seen at once, not tried for ever."""
    running = launch(CONTROL_STATUS="2")
    assert running.process.wait(10) == 2
    assert "the file is wrong" in running.log()


def test_control_that_crashes_at_the_first_start_is_tried_again(launch: Launch):
    """Only status 2 says that another try is useless."""
    running = launch(CONTROL_STATUS="1")
    wait_until(lambda: running.log().count('"child": "control"') >= 4, "control was tried again")
    assert running.process.poll() is None


def test_lines_of_children_are_relayed_and_ready_lines_are_not(launch: Launch):
    """The log holds what children say; `ready` is between us."""
    running = launch(workers=2)
    running.wait_ready()
    wait_until(lambda: running.log().count("a line of worker") == 2, "lines arrived")
    lines = running.log().splitlines()
    assert {"a line of worker 0", "a line of worker 1"} < set(lines)
    assert not [line for line in lines if line.startswith("ready ")]


def test_control_inherits_the_segment_and_no_listening_socket(launch: Launch):
    """A descriptor that leaks into a sibling would keep a closed queue alive."""
    running = launch(workers=2)
    running.wait_ready()
    wait_until(lambda: "control_inherited" in running.log(), "control has said what it holds")
    line = next(line for line in running.log().splitlines() if "control_inherited" in line)
    # 0-2, the segment, its store, and the folder that is being listed.
    assert len(json.loads(line)["descriptors"]) == 6


def test_second_supervisor_on_the_port_says_so_in_one_line(launch: Launch):
    """With SO_REUSEPORT alone it would silently take half of the connections."""
    first = launch()
    first.wait_ready()
    second = launch(port=first.port)
    assert second.process.wait(10) == 2
    assert second.log() == f"port {first.port} on 127.0.0.1 is taken\n"
