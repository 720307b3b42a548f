"""List files: reloaded when they change, never lost when they break."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.control.conftest import Pod, until


async def refreshed(pod: Pod) -> None:
    await pod.control.lists.refresh()


def note(pod: Pod, source: str = "bad"):
    assert pod.control.lists.manifest is not None
    return next(item for item in pod.control.lists.manifest.lists if item.source == source)


async def test_changed_list_is_in_force_in_every_worker(running_pod: Pod):
    worker = await running_pod.current_worker()
    running_pod.write("192.0.2.0/24\n")
    await refreshed(running_pod)
    await until(lambda: worker.blocks("192.0.2.1"), "the new entry is in force")
    assert not worker.blocks("198.51.100.7")


async def test_manual_entries_stay_above_a_new_base(running_pod: Pod):
    """A feed's update must not free what an operator blocked, not for one request."""
    await running_pod.call("POST", "/v1/blocks", {"target": "203.0.113.7"})
    worker = await running_pod.current_worker()
    running_pod.write("192.0.2.0/24\n")
    await refreshed(running_pod)
    await until(lambda: worker.blocks("192.0.2.1"), "the new base is in force")
    await until(lambda: worker.version == running_pod.control.state.version, "with its overlay")
    assert worker.blocks("203.0.113.7")


async def test_unchanged_lists_are_not_compiled_again(running_pod: Pod):
    before = running_pod.control.state.version
    await refreshed(running_pod)
    (running_pod.folder / "bad.txt").touch()
    await refreshed(running_pod)
    assert running_pod.control.state.version == before


@pytest.mark.parametrize(
    "content", ["", "# only comments\n", "<html>403</html>\n"], ids=["empty", "comments", "page"]
)
async def test_broken_list_keeps_what_was_good(running_pod: Pod, content: str):
    worker = await running_pod.current_worker()
    running_pod.write(content)
    await refreshed(running_pod)
    assert worker.blocks("198.51.100.7")
    _, answer = await running_pod.call("GET", "/v1/status")
    assert answer["lists"][0]["state"] == "kept"
    assert "bad.txt" in answer["lists"][0]["refusal"]


async def test_broken_list_does_not_stop_the_others(pod: Pod):
    pod.configure(lists=("bad", "other"))
    pod.write("192.0.2.1\n", "other")
    await pod.start()
    worker = await pod.current_worker()
    pod.write("", "bad")
    pod.write("192.0.2.2\n", "other")
    await refreshed(pod)
    await until(lambda: worker.blocks("192.0.2.2"), "the other list moved on")
    assert worker.blocks("198.51.100.7")
    assert not worker.blocks("192.0.2.1")


async def test_repaired_list_is_taken_at_once(running_pod: Pod):
    running_pod.write("")
    await refreshed(running_pod)
    assert note(running_pod).refusal is not None
    running_pod.write("192.0.2.0/24\n")
    await refreshed(running_pod)
    assert note(running_pod).refusal is None
    assert (await running_pod.current_worker()).blocks("192.0.2.1")


async def test_broken_list_is_kept_across_a_restart(running_pod: Pod):
    """A restart is when things are broken."""
    running_pod.write("")
    await refreshed(running_pod)
    await running_pod.restart()
    worker = await running_pod.current_worker()
    assert worker.blocks("198.51.100.7")
    await refreshed(running_pod)
    assert note(running_pod).refusal is not None
    assert worker.blocks("198.51.100.7")


async def test_list_may_shrink_to_nothing_when_that_is_meant(pod: Pod):
    pod.configure()
    pod.config_path.write_text(
        pod.config_path.read_text().replace('source = "bad"', 'source = "bad"\nallow_empty = true')
    )
    await pod.start()
    worker = await pod.current_worker()
    pod.write("# none today\n")
    await refreshed(pod)
    await until(lambda: not worker.blocks("198.51.100.7"), "the entry is gone")


async def test_deleted_list_keeps_what_was_good(running_pod: Pod):
    """A mount that failed looks like this."""
    (running_pod.folder / "bad.txt").unlink()
    await refreshed(running_pod)
    assert (await running_pod.current_worker()).blocks("198.51.100.7")
    assert "cannot be read" in note(running_pod).refusal


async def test_restart_begins_with_the_last_good_base(running_pod: Pod):
    """Before any list is read: the version in force is the one from before."""
    before = running_pod.control.state.base
    assert before is not None
    (running_pod.folder / "bad.txt").unlink()
    await running_pod.restart()
    after = running_pod.control.state.base
    assert after is not None
    assert after.files == before.files
    assert after.created == before.created


async def test_restart_with_the_same_lists_compiles_nothing(running_pod: Pod):
    before = running_pod.control.state.version
    await running_pod.restart()
    await refreshed(running_pod)
    assert running_pod.control.state.version == before


@pytest.mark.parametrize("name", ["base.json", "decision-*.bin", "evidence-*.bin"])
async def test_damaged_base_is_compiled_anew(running_pod: Pod, name: str):
    """Files of ours on a bad disk are no reason to stay down."""
    await running_pod.stop()
    for path in (running_pod.folder / "var/lists").glob(name):
        path.write_bytes(b"garbage")
    await running_pod.start()
    assert (await running_pod.current_worker()).blocks("198.51.100.7")


async def test_no_lists_are_an_empty_base(pod: Pod):
    """An operator can block by hand from the first minute."""
    pod.configure(lists=())
    await pod.start()
    worker = await pod.current_worker()
    await pod.call("POST", "/v1/blocks", {"target": "203.0.113.7"})
    assert worker.blocks("203.0.113.7")


async def test_missing_lists_leave_workers_without_a_base_when_closed(pod: Pod):
    """`on_missing = closed`: they deny everything rather than let everything through."""
    (pod.folder / "bad.txt").unlink()
    await pod.start()
    worker = await pod.worker()
    await until(lambda: worker.kinds, "the worker got its configuration")
    assert worker.base is None
    _, answer = await pod.call("GET", "/v1/status")
    assert answer["blocklist"]["state"] == "missing"
    assert "no list could be read" in answer["blocklist"]["fault"]
    _, answer = await pod.call("GET", "/v1/lookup?target=192.0.2.1")
    assert (answer["action"], answer["verdict"]) == ("deny", None)
    status, _ = await pod.call("GET", "/readyz", port="ops")
    assert status == 503


async def test_missing_lists_that_appear_are_taken(pod: Pod):
    (pod.folder / "bad.txt").unlink()
    await pod.start()
    worker = await pod.worker()
    pod.write("198.51.100.0/24\n")
    await refreshed(pod)
    await until(lambda: worker.blocks("198.51.100.7"), "the list is in force")


async def test_missing_lists_are_an_empty_base_when_open(pod: Pod):
    """`on_missing = open`: nothing is denied but what operators block."""
    pod.configure('[blocklist]\non_missing = "open"')
    (pod.folder / "bad.txt").unlink()
    await pod.start()
    worker = await pod.current_worker()
    await pod.call("POST", "/v1/blocks", {"target": "203.0.113.7"})
    assert worker.blocks("203.0.113.7")
    assert not worker.blocks("198.51.100.7")


async def test_new_file_in_the_folder_is_a_new_list(pod: Pod):
    """`make run LISTS=FOLDER`."""
    folder = pod.folder / "lists"
    folder.mkdir()
    (folder / "README.md").write_text("what these are\n")
    pod.configure(f'[blocklist]\nfolder = "{folder}"')
    await pod.start()
    assert pod.control.lists.folder_notes == ("README.md: not a list",)
    worker = await pod.current_worker()
    (folder / "more.netset").write_text("192.0.2.0/24\n")
    await refreshed(pod)
    await until(lambda: worker.blocks("192.0.2.1"), "the new list is in force")
    _, answer = await pod.call("GET", "/v1/status")
    assert [item["source"] for item in answer["lists"]] == ["bad", "more"]


async def test_removed_list_is_gone_with_its_entries(pod: Pod):
    """Not kept: it was taken out of the configuration, not broken."""
    folder = pod.folder / "lists"
    folder.mkdir()
    (folder / "more.netset").write_text("192.0.2.0/24\n")
    pod.configure(f'[blocklist]\nfolder = "{folder}"')
    await pod.start()
    worker = await pod.current_worker()
    assert worker.blocks("192.0.2.1")
    (folder / "more.netset").unlink()
    await refreshed(pod)
    await until(lambda: not worker.blocks("192.0.2.1"), "its entries are gone")


async def test_feeds_cannot_block_what_is_never_blocked(running_pod: Pod):
    """The same list of our own that operators are held to."""
    running_pod.write("10.0.0.0/8\n127.0.0.0/8\n192.0.2.0/24\n")
    await refreshed(running_pod)
    worker = await running_pod.current_worker()
    assert [worker.blocks(address) for address in ("10.1.1.1", "127.0.0.1", "192.0.2.1")] == [
        False,
        False,
        True,
    ]


async def test_old_compiled_files_are_cleaned_up(running_pod: Pod):
    """A reload every second must not fill the disk; what has proven itself stays during a trial."""
    first = running_pod.control.state.base
    assert first is not None
    for number in range(6):
        running_pod.write(f"192.0.2.{number}\n")
        await refreshed(running_pod)
    base = running_pod.control.state.base
    assert base is not None
    left = list((running_pod.folder / "var/lists").glob("decision-*.bin"))
    assert len(left) == 4
    assert {first.files.decision, base.files.decision} < set(left)
    running_pod.control.lists.prove()
    running_pod.write("192.0.2.99\n")
    await refreshed(running_pod)
    left = list((running_pod.folder / "var/lists").glob("decision-*.bin"))
    assert len(left) == 3
    assert base.files.decision in left
    assert first.files.decision not in left


async def test_watching_notices_by_itself(pod: Pod):
    pod.configure("[blocklist]\nreload_seconds = 0.05")
    await pod.start()
    worker = await pod.current_worker()
    watching = asyncio.ensure_future(pod.control.lists.watch_forever())
    pod.write("192.0.2.0/24\n")
    await until(lambda: worker.blocks("192.0.2.1"), "the change was noticed")
    watching.cancel()


async def test_fault_of_the_disk_keeps_what_is_in_force_and_is_tried_again(running_pod: Pod, monkeypatch):
    """A full disk is nobody's list's fault."""
    worker = await running_pod.current_worker()
    real = Path.open

    def full(path, *arguments, **values):
        if path.name.endswith(".new"):
            raise OSError(28, "No space left on device")
        return real(path, *arguments, **values)

    monkeypatch.setattr(Path, "open", full)
    running_pod.write("192.0.2.0/24\n")
    await refreshed(running_pod)
    assert worker.blocks("198.51.100.7")
    assert "No space left" in str(running_pod.control.lists.fault)
    monkeypatch.undo()
    await refreshed(running_pod)
    await until(lambda: worker.blocks("192.0.2.1"), "the change is in force after all")
    assert running_pod.control.lists.fault is None


async def test_age_of_a_list_shows(running_pod: Pod):
    """An alarm on age catches a feed that stopped without an error."""
    _, answer = await running_pod.call("GET", "/v1/status")
    assert 0 <= answer["lists"][0]["age_seconds"] < 60
    assert answer["lists"][0]["loaded"] <= time.time()
