"""The process as a whole: its start, its signals, its end, and what a kill leaves behind."""

import signal
import socket

import pytest

from proxy.control import process
from proxy.control.__main__ import options_from
from proxy.control.process import restart_needed
from proxy.errors import ConfigError
from proxy.settings import load_settings
from tests.control.programs import ControlProgram


@pytest.fixture
def program(tmp_path):
    made = ControlProgram(tmp_path)
    yield made
    made.clean_up()


def test_ready_line_comes_when_everything_listens(program):
    """The supervisor and `make run` rely on it."""
    program.start()
    status, answer = program.call("GET", "/v1/status")
    assert (status, answer["blocklist"]["state"]) == (200, "loaded")
    assert (program.folder / "var/run/control.sock").is_socket()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_ends_it_cleanly(program, number):
    program.start()
    assert program.end(number) == 0
    assert "control_stopped" in program.log()
    assert not (program.folder / "var/run/control.sock").exists()


def test_stop_does_not_wait_for_an_idle_client(program):
    """Ctrl-C ends everything within two seconds."""
    program.start()
    host, port = program.admin_address.split(":")
    with socket.create_connection((host, int(port))) as idle:
        idle.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(10)
        assert program.end(signal.SIGTERM) == 0


def test_blocks_survive_a_kill(program):
    """What was answered 2xx is not lost: kill -9 right after the answer."""
    program.start()
    for number in range(5):
        assert program.call("POST", "/v1/blocks", {"target": f"203.0.113.{number}"})[0] == 201
    program.end(signal.SIGKILL)
    program.start()
    _, answer = program.call("GET", "/v1/blocks")
    assert sorted(entry["target"] for entry in answer["blocks"]) == [f"203.0.113.{n}/32" for n in range(5)]
    _, answer = program.call("GET", "/v1/lookup?target=203.0.113.4")
    assert answer["action"] == "deny"


def test_hangup_takes_new_settings_and_lists(program):
    program.start()
    (program.folder / "bad.txt").write_text("198.51.100.0/24\n")
    program.configure('[edge]\nblock_score = 6\n[[lists]]\npath = "bad.txt"\nsource = "bad"\nscore = 6.5\n')
    assert program.process is not None
    program.process.send_signal(signal.SIGHUP)
    program.wait_for_log("lists_compiled")
    program.wait_for_log('"source": "bad"')
    _, answer = program.call("GET", "/v1/lookup?target=198.51.100.7")
    while answer["verdict"] is None:
        _, answer = program.call("GET", "/v1/lookup?target=198.51.100.7")
    assert (answer["action"], answer["block_score"], answer["verdict"]["score"]) == ("deny", 6.0, 6.5)


def test_hangup_with_a_fault_changes_nothing_and_names_the_line(program):
    """A bad file at three in the morning must not take the service with it."""
    program.configure("[edge]\nblock_score = 6\n")
    program.start()
    program.configure("[edge]\nblock_score = 5\nblok_score = 1\n")
    assert program.process is not None
    program.process.send_signal(signal.SIGHUP)
    program.wait_for_log("configuration_refused")
    assert f"{program.config_path}:3: edge.blok_score" in program.log()
    assert program.call("GET", "/v1/status")[1]["block_score"] == 6.0


def test_hangup_says_what_needs_a_restart(program):
    program.start()
    program.configure("[edge]\nworkers = 7\n")
    assert program.process is not None
    program.process.send_signal(signal.SIGHUP)
    program.wait_for_log("configuration_changed")
    assert program.call("GET", "/v1/status")[1]["restart_needed"] == ["edge.workers"]


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"text": "[edge]\nblok_score = 1\n"}, "sentra.toml:2: edge.blok_score: unknown key"),
        ({"control": ""}, "control.tokens: there are none"),
    ],
)
def test_wrong_configuration_stops_the_start_with_status_two(program, configuration, message):
    """One clear line, no traceback."""
    program.configure(**configuration)
    program.spawn()
    assert program.end() == 2
    assert message in program.log()
    assert "Traceback" not in program.log()


def test_taken_port_stops_the_start_with_its_name(program):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        program.configure(admin=address)
        program.spawn()
        assert program.end() == 2
    assert f"{address}: cannot be bound" in program.log()


def test_damaged_store_stops_the_start_with_its_name(program):
    """Going on with an empty one would free everything that was ever blocked."""
    (program.folder / "var").mkdir()
    (program.folder / "var/store.sqlite").write_bytes(b"damaged" * 1000)
    program.spawn()
    assert program.end() == 1
    assert "store.sqlite" in program.log()
    assert "Traceback" not in program.log()


def test_second_process_on_the_same_state_is_refused(tmp_path, monkeypatch):
    """Two would undo each other."""
    monkeypatch.setattr(process, "_LOCK_PATIENCE_SECONDS", 0.05)
    with (
        process.state_lock(tmp_path),
        pytest.raises(ConfigError, match="another control process works here"),
        process.state_lock(tmp_path),
    ):
        pytest.fail("both hold it")
    with process.state_lock(tmp_path):
        pass


def test_state_that_cannot_be_written_is_named(program):
    (program.folder / "var").write_text("a file in its place")
    program.spawn()
    assert program.end() == 2
    assert "state.directory" in program.log()


def test_arguments_are_those_of_the_supervisor(tmp_path):
    options = options_from(["--segment-fd", "5", "--runtime-dir", str(tmp_path)])
    assert (options.config_path, options.segment_descriptor, options.runtime_directory) == (None, 5, tmp_path)


def test_only_keys_that_differ_need_a_restart(tmp_path):
    before = load_settings(None)
    path = tmp_path / "sentra.toml"
    path.write_text('[edge]\nlisten = "127.0.0.1:1"\nblock_score = 3\n[state]\ndirectory = "/x"\n')
    assert restart_needed(before, before) == ()
    assert restart_needed(before, load_settings(path)) == ("edge.listen", "state")
    path.write_text('[edge.rate_limiting]\nentry_count = 2048\n[state]\ndirectory = "/x"\n')
    assert restart_needed(before, load_settings(path)) == ("edge.rate_limiting.entry_count", "state")
