"""Workers that die of what was swapped in get back what was there before."""

import signal
import time
from pathlib import Path

import pytest

from proxy import frames
from proxy.control import process, putback
from proxy.control.putback import Death, Trial, Verdict, judge, read_deaths, swapped
from proxy.edge.config import EdgeConfig
from proxy.frames import FrameReader, Kind
from tests.control.conftest import Pod, until
from tests.control.programs import ControlProgram

_BAD_LIST = "192.0.2.0/24\n"


def died(runtime_directory: Path, count: int = 3, *, status: int = -signal.SIGSEGV) -> None:
    """As the supervisor notes it."""
    with (runtime_directory / "worker.exits").open("a") as exits:
        exits.writelines(f"{time.monotonic():.3f} {slot} {100 + slot} {status}\n" for slot in range(count))


async def look(pod: Pod) -> None:
    control = pod.control
    await putback.look((control.configuration, control.lists), control.runtime_directory)


async def reload(pod: Pod, edge: str) -> None:
    pod.configure(edge)
    await process.reload(pod.control, pod.options)


@pytest.mark.parametrize(
    ("trial", "deaths", "now", "verdict"),
    [
        ((100, 100), [], 110, Verdict.WAIT),
        ((100, 100), [101, 102], 110, Verdict.WAIT),
        ((100, 100), [101, 102, 103], 104, Verdict.PUT_BACK),
        ((100, 100), [100, 130, 130], 130, Verdict.PUT_BACK),
        ((100, 100), [], 130, Verdict.WAIT),
        ((100, 100), [], 130.1, Verdict.PROVEN),
        ((100, 100), [101, 102], 130.1, Verdict.PROVEN),
        ((100, 100), [101, 102, 130.1], 131, Verdict.PROVEN),
        ((100, 100), [98, 99, 99.9], 110, Verdict.WAIT),
        ((100, 100), [99, 101, 102], 110, Verdict.WAIT),
        ((100, 100), [103, 101, 102], 140, Verdict.PUT_BACK),
        ((100, 120), [101, 115, 125], 126, Verdict.PUT_BACK),
        ((100, 120), [121], 150, Verdict.WAIT),
        ((100, 170), [101, 135, 169], 171, Verdict.WAIT),
        ((100, 170), [101, 142, 155, 169], 171, Verdict.PUT_BACK),
    ],
    ids=[
        "nobody dies",
        "two are bad luck",
        "three are not",
        "the bounds belong to it",
        "not proven at 30 s",
        "proven after 30 s",
        "two do not stop the proof",
        "a third after 30 s is too late",
        "deaths before the swap",
        "one of three before the swap",
        "seen late and unordered",
        "a second swap does not start the count anew",
        "a second swap starts the proof anew",
        "three deaths over more than 30 s",
        "three of four within 30 s",
    ],
)
def test_three_deaths_within_thirty_seconds_of_a_swap_put_it_back(trial, deaths, now, verdict):
    exits = [Death(at, 0, 1, -signal.SIGKILL) for at in deaths]
    assert judge(Trial("before", *trial), exits, now) is verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(1, Verdict.PUT_BACK), (-signal.SIGSEGV, Verdict.PUT_BACK), (0, Verdict.WAIT), (-15, Verdict.WAIT)],
)
def test_worker_that_was_asked_to_stop_has_not_died(status, verdict):
    """A person may stop workers as well, one after the other."""
    exits = [Death(101, slot, 1, status) for slot in range(3)]
    assert judge(Trial("before", 100, 100), exits, 102) is verdict


@pytest.mark.parametrize(
    ("trial", "before", "after", "expected"),
    [
        (None, "a", "b", Trial("a", 9, 9)),
        (None, "a", "a", None),
        (Trial("a", 1, 2), "b", "c", Trial("a", 1, 9)),
        (Trial("a", 1, 2), "b", "b", Trial("a", 1, 2)),
        (Trial("a", 1, 2), "b", "a", None),
    ],
    ids=["first swap", "the same again", "another meanwhile", "the same meanwhile", "taken back by hand"],
)
def test_what_a_swap_makes_of_a_trial(trial, before, after, expected):
    assert swapped(trial, before, after, 9) == expected


def test_exits_are_read_from_the_first_that_counts(tmp_path):
    """The supervisor may be writing, and what it wrote long ago is of no interest."""
    path = tmp_path / "worker.exits"
    assert read_deaths(path, 0) == ()
    path.write_text("1.000 0 10 -9\n5.000 1 11 1\nnonsense\n6.500 0 12 -11\n7.0 0")
    assert read_deaths(path, 5) == (Death(5.0, 1, 11, 1), Death(6.5, 0, 12, -11))


async def test_nothing_is_read_without_a_trial(running_pod: Pod, monkeypatch):
    """The look is taken every second, for ever."""
    monkeypatch.setattr(putback, "read_deaths", lambda *_: pytest.fail("read"))
    await look(running_pod)


async def test_list_that_workers_die_of_is_put_back_and_not_tried_again(running_pod: Pod):
    before = running_pod.control.state.base
    assert before is not None
    running_pod.write(_BAD_LIST)
    await running_pod.control.lists.refresh()
    worker = await running_pod.current_worker()
    assert worker.blocks("192.0.2.1")
    died(running_pod.runtime_directory, 2)
    await look(running_pod)
    assert running_pod.control.put_backs == {}
    died(running_pod.runtime_directory, 1)
    await look(running_pod)
    await until(lambda: worker.blocks("198.51.100.7"), "the list before is in force")
    assert not worker.blocks("192.0.2.1")
    running_pod.control.lists.reconfigure(
        running_pod.control.running.settings, running_pod.control.running.rules
    )
    await running_pod.control.lists.refresh()
    assert running_pod.control.state.base == before
    await running_pod.restart()
    await running_pod.control.lists.refresh()
    assert running_pod.control.state.base is not None
    assert running_pod.control.state.base.files == before.files
    assert list(running_pod.control.put_backs) == ["lists"]
    running_pod.write("203.0.113.0/24\n")
    await running_pod.control.lists.refresh()
    assert running_pod.control.put_backs == {}
    worker = await running_pod.current_worker()
    assert worker.blocks("203.0.113.1")


async def test_list_that_was_repaired_by_hand_is_no_longer_refused(running_pod: Pod):
    """The alarm ends when its cause has gone from disk."""
    running_pod.write(_BAD_LIST)
    await running_pod.control.lists.refresh()
    died(running_pod.runtime_directory)
    await look(running_pod)
    assert list(running_pod.control.put_backs) == ["lists"]
    version = running_pod.control.state.version
    running_pod.write("198.51.100.0/24\n")
    await running_pod.control.lists.refresh()
    assert running_pod.control.put_backs == {}
    assert running_pod.control.state.version == version
    await running_pod.restart()
    assert running_pod.control.put_backs == {}


async def test_manual_blocks_stay_above_the_list_that_was_put_back(running_pod: Pod):
    """Nobody asked for those to be undone, also not the one made in between."""
    running_pod.write(_BAD_LIST)
    await running_pod.control.lists.refresh()
    await running_pod.call("POST", "/v1/blocks", {"target": "203.0.113.7"})
    died(running_pod.runtime_directory)
    await look(running_pod)
    worker = await running_pod.current_worker()
    assert worker.blocks("203.0.113.7")
    assert not worker.blocks("192.0.2.1")


async def test_swaps_on_trial_go_back_to_the_last_that_was_proven(running_pod: Pod):
    """One that was in force for a second has shown nothing; its file may go, the proven one's may not."""
    for number in range(6):
        running_pod.write(f"192.0.2.{number}\n")
        await running_pod.control.lists.refresh()
    died(running_pod.runtime_directory)
    await look(running_pod)
    worker = await running_pod.current_worker()
    assert worker.blocks("198.51.100.7")


async def test_first_list_has_nothing_to_go_back_to(pod: Pod):
    await pod.start()
    died(pod.runtime_directory)
    await look(pod)
    assert pod.control.put_backs == {}
    assert (await pod.current_worker()).blocks("198.51.100.7")


async def test_configuration_that_workers_die_of_is_put_back_and_not_tried_again(running_pod: Pod):
    """What is asked of us tells what is in force, not what stands in the file."""
    worker = await running_pod.current_worker()
    before = running_pod.control.state.config
    await reload(running_pod, "[edge]\nblock_score = 3\nmode = 'observe'")
    assert EdgeConfig.from_wire(worker.configuration).block_score == 3
    died(running_pod.runtime_directory)
    await look(running_pod)
    await until(lambda: EdgeConfig.from_wire(worker.configuration) == before, "the one before is in force")
    await reload(running_pod, "[edge]\nblock_score = 3\nmode = 'observe'")
    await running_pod.restart()
    worker = await running_pod.current_worker()
    assert EdgeConfig.from_wire(worker.configuration) == before
    status = (await running_pod.call("GET", "/v1/status"))[1]
    assert (status["block_score"], status["mode"], list(status["put_back"])) == (
        7.0,
        "enforce",
        ["configuration"],
    )
    assert (await running_pod.call("GET", "/v1/lookup?target=198.51.100.7"))[1]["block_score"] == 7.0
    await reload(running_pod, "[edge]\nblock_score = 4")
    assert EdgeConfig.from_wire(worker.configuration).block_score == 4
    assert running_pod.control.put_backs == {}
    await running_pod.restart()
    assert running_pod.control.state.config.block_score == 4


async def test_reload_of_a_refused_configuration_still_takes_new_tokens(running_pod: Pod):
    """A token that leaked is withdrawn whatever the workers do; it never reaches them."""
    await reload(running_pod, "[edge]\nblock_score = 3")
    died(running_pod.runtime_directory)
    await look(running_pod)
    token = '[[control.tokens]]\nname = "ops"\nsecret = "0123456789abcdef0123456789abcdef"\nscopes = ["read"]'
    running_pod.configure("[edge]\nblock_score = 3", control=token)
    await process.reload(running_pod.control, running_pod.options)
    assert (await running_pod.call("GET", "/v1/status"))[0] == 401
    assert running_pod.control.state.config.block_score == 7


async def test_list_and_configuration_of_one_reload_are_put_back_together(running_pod: Pod):
    """Which of them it was cannot be told."""
    running_pod.write(_BAD_LIST)
    await reload(running_pod, "[edge]\nblock_score = 3")
    died(running_pod.runtime_directory)
    await look(running_pod)
    assert sorted(running_pod.control.put_backs) == ["configuration", "lists"]
    assert running_pod.control.state.config.block_score == 7
    assert (await running_pod.current_worker()).blocks("198.51.100.7")


async def test_reload_that_changes_nothing_for_workers_is_not_on_trial(running_pod: Pod):
    """Three kills after it would otherwise refuse the configuration that always ran."""
    await reload(running_pod, "[log]\nlevel = 'debug'")
    died(running_pod.runtime_directory)
    await look(running_pod)
    assert running_pod.control.put_backs == {}


async def test_what_served_for_thirty_seconds_is_not_put_back(running_pod: Pod, monkeypatch):
    """Later deaths have another cause, and the old list is stale."""
    running_pod.write(_BAD_LIST)
    await reload(running_pod, "[edge]\nblock_score = 3")
    monkeypatch.setattr(putback, "PROOF_SECONDS", 0.0)
    await look(running_pod)
    monkeypatch.undo()
    died(running_pod.runtime_directory)
    await look(running_pod)
    assert running_pod.control.put_backs == {}
    assert running_pod.control.state.config.block_score == 3


async def test_damaged_note_of_a_put_back_is_as_good_as_none(pod: Pod):
    """The configuration in the file is checked, the note is a convenience."""
    (pod.folder / "var").mkdir()
    (pod.folder / "var/configuration.put_back.json").write_text("{")
    pod.configure("[edge]\nblock_score = 3")
    await pod.start()
    assert pod.control.state.config.block_score == 3


def attached(runtime_directory: Path) -> tuple[EdgeConfig, Path]:
    """What a worker that starts now would begin with."""
    content = (runtime_directory / "attach.frames").read_bytes()
    found = {frame.kind: frame.payload for frame in FrameReader().feed(content)}
    _, _, path = frames.decode_install(found[Kind.INSTALL])
    return EdgeConfig.from_wire(found[Kind.CONFIGURE]), Path(path)


def test_running_process_puts_back_by_itself(tmp_path):
    """The whole of it: signal, file of exits, attach file, log, status, ops port."""
    program = ControlProgram(tmp_path)
    lists = '[[lists]]\npath = "bad.txt"\nsource = "bad"\n'
    (tmp_path / "bad.txt").write_text("198.51.100.0/24\n")
    program.configure(lists)
    try:
        program.start()
        before = attached(tmp_path / "var/run")
        (tmp_path / "bad.txt").write_text(_BAD_LIST)
        program.configure(f"[edge]\nblock_score = 3\n{lists}")
        assert program.process is not None
        program.process.send_signal(signal.SIGHUP)
        program.wait_for_log("configuration_changed")
        program.wait_for_log('"sequence": 2')
        assert attached(tmp_path / "var/run") != before
        died(tmp_path / "var/run")
        program.wait_for_log("lists_put_back")
        program.wait_for_log("configuration_put_back")
        assert attached(tmp_path / "var/run") == before
        assert before[1].exists()
        status = program.call("GET", "/v1/status")[1]
        assert sorted(status["put_back"]) == ["configuration", "lists"]
        assert program.call("GET", "/readyz", port="ops")[1]["put_back"] == status["put_back"]
    finally:
        program.clean_up()
