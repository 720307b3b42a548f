"""The socket between control and workers: nothing missed, nobody waited for."""

import asyncio
import contextlib
import os

import pytest

from fastmatch._native import Blocklist
from proxy import frames
from proxy.control import links as linking
from proxy.control.links import Links
from proxy.edge.config import EdgeConfig
from proxy.errors import ConfigError
from proxy.frames import FrameReader, Kind
from tests.control.conftest import Pod, until


async def block(pod: Pod, target: str, **values: object) -> dict[str, object]:
    status, answer = await pod.call("POST", "/v1/blocks", {"target": target, **values})
    assert status in (200, 201), answer
    return answer


async def test_attaching_worker_gets_configuration_list_and_overlay(running_pod: Pod):
    """In this order: the overlay lies on the list, and both are judged by the configuration."""
    await block(running_pod, "203.0.113.7")
    worker = await running_pod.current_worker()
    assert worker.kinds == [Kind.CONFIGURE, Kind.INSTALL, Kind.OVERLAY]
    assert EdgeConfig.from_wire(worker.configuration) == running_pod.control.state.config
    assert worker.blocks("198.51.100.7")
    assert worker.blocks("203.0.113.7")
    assert worker.version == running_pod.control.state.version


async def test_change_reaches_every_worker_before_the_answer(running_pod: Pod):
    """What the answer says of the workers is true when it is read."""
    workers = [await running_pod.current_worker(slot) for slot in range(3)]
    answer = await block(running_pod, "203.0.113.7")
    assert answer["applied"] == {"workers": 3, "of": 3}
    assert all(worker.blocks("203.0.113.7") for worker in workers)


async def test_answer_does_not_wait_for_a_silent_worker(running_pod: Pod):
    """It says 1 of 2 after the named time: durable is durable, and the silent one gets it again."""
    good, silent = await running_pod.current_worker(0), await running_pod.current_worker(1)
    silent.acknowledges = False
    answer = await block(running_pod, "203.0.113.7")
    assert answer["applied"] == {"workers": 1, "of": 2}
    assert good.blocks("203.0.113.7")


async def test_answer_stops_waiting_when_the_silent_worker_leaves(running_pod: Pod, monkeypatch):
    """A worker that dies meanwhile gets the change when it comes back."""
    running_pod.configure(control='auth = "none"\napply_seconds = 10')
    await running_pod.restart()
    worker = await running_pod.current_worker()
    worker.acknowledges = False
    asked = asyncio.ensure_future(block(running_pod, "203.0.113.7"))
    await until(lambda: worker.blocks("203.0.113.7"), "the worker has the block")
    await worker.close()
    assert (await asked)["applied"] == {"workers": 0, "of": 0}


async def test_worker_that_does_not_acknowledge_gets_everything_again(running_pod: Pod, monkeypatch):
    """A frame that was lost in a worker must not be lost for good."""
    worker = await running_pod.current_worker()
    worker.acknowledges = False
    await block(running_pod, "203.0.113.7")
    monkeypatch.setattr(linking, "RESEND_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(linking, "RESEND_EVERY_SECONDS", 0.01)
    resending = asyncio.ensure_future(running_pod.control.links.resend_forever())
    await until(lambda: worker.kinds.count(Kind.CONFIGURE) >= 2, "everything was sent again")
    await until(lambda: worker.is_closed, "a worker that never answers is cut off")
    assert worker.kinds.count(Kind.CONFIGURE) == 1 + linking.RESEND_LIMIT_COUNT
    resending.cancel()


async def test_worker_that_is_current_is_left_alone(running_pod: Pod, monkeypatch):
    worker = await running_pod.current_worker()
    monkeypatch.setattr(linking, "RESEND_AFTER_SECONDS", 0.0)
    await block(running_pod, "203.0.113.7")
    running_pod.control.links.resend()
    await block(running_pod, "203.0.113.8")
    assert worker.kinds.count(Kind.CONFIGURE) == 1


async def test_worker_that_reads_nothing_is_cut_off(running_pod: Pod, monkeypatch):
    """It must not take the memory of the control process with it."""
    monkeypatch.setattr(linking, "UNREAD_LIMIT_BYTES", 0)
    _, writer = await asyncio.open_unix_connection(
        str(running_pod.runtime_directory / "control.sock"), limit=1
    )
    writer.write(frames.encode_hello(0, 1))
    await until(lambda: running_pod.control.links.applied((0, 0))[1] == 1, "it is attached")
    filler = frames.encode(Kind.OVERLAY, bytes(1 << 20))
    links = running_pod.control.links
    for _ in range(3):
        links.broadcast(filler, filler, None)
    await until(lambda: links.applied((0, 0))[1] == 0, "it is detached")
    writer.close()


async def test_worker_that_attaches_again_replaces_its_earlier_link(running_pod: Pod):
    """Its old socket is not gone yet; it must not be waited for."""
    first = await running_pod.current_worker(0)
    second = await running_pod.worker(0, process_id=first.process_id)
    await until(lambda: first.is_closed, "the first is cut off")
    await until(lambda: second.version == running_pod.control.state.version, "the second is current")
    assert len(running_pod.control.links.workers()) == 1


async def test_worker_that_drains_hears_of_blocks_beside_the_one_that_follows_it(running_pod: Pod):
    """A block closes what its target has open, wherever that is."""
    draining = await running_pod.current_worker(0)
    serving = await running_pod.worker(0, process_id=4712)
    await until(lambda: serving.version == running_pod.control.state.version, "the new one is current")
    answer = await block(running_pod, "203.0.113.7")
    assert answer["applied"] == {"workers": 2, "of": 2}
    assert draining.blocks("203.0.113.7")
    assert serving.blocks("203.0.113.7")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x00\x63",
        frames.encode(Kind.HELLO, b"x"),
        frames.encode_hello(0, 1) + frames.encode(Kind.ACKNOWLEDGE, b"x"),
        frames.encode_hello(0, 1) + frames.encode(Kind.INSTALL, b""),
        b"\xff\xff\xff\xff\x01",
    ],
    ids=["unknown kind", "short hello", "short acknowledge", "downward kind", "oversized"],
)
async def test_peer_that_does_not_speak_our_frames_is_cut_off(running_pod: Pod, data: bytes):
    """And nobody else suffers."""
    worker = await running_pod.current_worker(1)
    reader, writer = await asyncio.open_unix_connection(str(running_pod.runtime_directory / "control.sock"))
    writer.write(data)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(65536):
                pass
    writer.close()
    await until(lambda: running_pod.control.links.applied((0, 0))[1] == 1, "only the worker is attached")
    assert not worker.is_closed


async def test_acknowledgement_of_another_epoch_does_not_count(running_pod: Pod):
    """A version of another log says nothing about this one."""
    worker = await running_pod.current_worker()
    epoch, sequence = running_pod.control.state.version
    worker.send(frames.encode_acknowledge(epoch + 1, sequence + 100))
    await until(lambda: running_pod.control.links.applied((epoch, sequence)) == (0, 1), "it does not count")


async def test_attach_file_holds_what_an_attaching_worker_gets(running_pod: Pod):
    """A worker that starts while control is away serves with every block that was ever answered."""
    await block(running_pod, "203.0.113.7")
    content = (running_pod.runtime_directory / "attach.frames").read_bytes()
    configure, install, overlay = FrameReader().feed(content)
    assert EdgeConfig.from_wire(configure.payload) == running_pod.control.state.config
    _, _, path = frames.decode_install(install.payload)
    _, sequence, packed = frames.decode_overlay(overlay.payload)
    blocklist = Blocklist.open(path).with_overlay(packed, sequence=sequence)
    assert blocklist.lookup("203.0.113.7") is not None


async def test_attach_file_that_cannot_be_written_does_not_undo_a_change(running_pod: Pod):
    """The change is durable and in force; only a worker that starts without control would lack it."""
    (running_pod.runtime_directory / "attach.frames").unlink()
    (running_pod.runtime_directory / "attach.frames").mkdir()
    worker = await running_pod.current_worker()
    await block(running_pod, "203.0.113.7")
    assert worker.blocks("203.0.113.7")


async def test_socket_is_for_its_owner_only(running_pod: Pod):
    """Whoever may write there may install a list."""
    mode = (running_pod.runtime_directory / "control.sock").stat().st_mode
    assert mode & 0o077 == 0


async def test_socket_of_another_user_is_refused(running_pod: Pod, monkeypatch):
    """Also when the folder's mode let him in."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if os.getuid() == 0:
        monkeypatch.setattr(linking, "_TRUSTED_USER_IDS", ())
    worker = await running_pod.worker()
    await until(lambda: worker.is_closed, "it is cut off")
    assert worker.kinds == []


async def test_path_too_long_for_a_socket_is_refused_by_name(tmp_path):
    """The kernel's own message names neither path nor limit."""
    with pytest.raises(ConfigError, match="is too long for a unix socket"):
        await Links(tmp_path / ("x" * 120), lambda _: None, lambda *_: None).start()


async def test_socket_file_of_a_dead_process_is_replaced(pod: Pod):
    pod.runtime_directory.mkdir()
    (pod.runtime_directory / "control.sock").write_text("left behind")
    await pod.start()
    assert not (await pod.current_worker()).is_closed


async def test_socket_is_gone_after_the_end(running_pod: Pod):
    worker = await running_pod.current_worker()
    await running_pod.stop()
    await until(lambda: worker.is_closed, "the worker sees the end")
    assert not (running_pod.runtime_directory / "control.sock").exists()
