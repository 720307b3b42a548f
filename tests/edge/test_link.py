"""The control socket from the worker's end: what is applied, acknowledged, refused and survived."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastmatch._native import Builder, Entry, pack_entries
from proxy import frames
from proxy.edge.config import EdgeConfig
from proxy.edge.config_upstreams import TargetConfig, UpstreamConfig
from proxy.frames import Frame, FrameReader, Kind
from tests.edge.conftest import Edge, StartEdge, until
from tests.support.client import get
from tests.support.origin import Origin

BLOCKED_SOURCE = "127.0.0.66"
BLOCKED = Entry(BLOCKED_SOURCE, score=9)


class Control:
    """The control process's end: remembers what came, sends what the test says."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "control.sock"
        self.received: list[Frame] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        incoming = FrameReader()
        try:
            while data := await reader.read(65536):
                self.received.extend(incoming.feed(data))
        finally:
            writer.close()

    def send(self, frame: bytes) -> None:
        self.writers[-1].write(frame)

    def of(self, kind: Kind) -> list[bytes]:
        return [frame.payload for frame in self.received if frame.kind is kind]

    @property
    def acknowledged(self) -> list[tuple[int, int]]:
        return [frames.decode_acknowledge(payload) for payload in self.of(Kind.ACKNOWLEDGE)]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self.writers:
                writer.close()
            await self._server.wait_closed()
            self._server = None
        self.path.unlink(missing_ok=True)


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    control = Control(tmp_path)
    await control.start()
    yield control
    await control.stop()


def decision_file(directory: Path, name: str, *entries: Entry, sequence: int = 1) -> Path:
    builder = Builder()
    for entry in entries:
        builder.add(entry)
    path = directory / f"decision-{name}.bin"
    builder.write(str(path), str(directory / f"evidence-{name}.bin"), epoch=1, sequence=sequence)
    return path


async def status_for(edge: Edge, source: str) -> int:
    client = await edge.connect(source=source)
    return (await client.fetch(get())).status


async def test_worker_says_hello_with_its_slot(edge: Edge, control: Control):
    """Control knows by it who has which list."""
    await until(lambda: bool(control.of(Kind.HELLO)))
    assert frames.decode_hello(control.of(Kind.HELLO)[0])[0] == 0


async def test_list_and_overlay_are_in_force_when_acknowledged(control: Control, edge: Edge, tmp_path: Path):
    """Base and overlay count together."""
    await until(lambda: bool(control.writers))
    path = decision_file(tmp_path, "a", BLOCKED, sequence=7)
    control.send(frames.encode_install(1, 7, str(path)) + frames.encode_overlay(1, 7, pack_entries([])))
    await until(lambda: control.acknowledged == [(1, 7)])
    assert await status_for(edge, BLOCKED_SOURCE) == 403
    assert await status_for(edge, "127.0.0.67") == 200
    control.send(frames.encode_overlay(1, 8, pack_entries([Entry("127.0.0.67", score=9, origin="operator")])))
    await until(lambda: control.acknowledged[-1] == (1, 8))
    assert edge.worker.context.gate.version == (1, 8)
    assert await status_for(edge, BLOCKED_SOURCE) == 403
    assert await status_for(edge, "127.0.0.67") == 403


async def test_first_base_waits_for_its_overlay_too(control: Control, edge: Edge, tmp_path: Path):
    """Alone it lets through whom an operator blocked since it was compiled, and denies whom one freed."""
    await until(lambda: bool(control.writers))
    before = edge.worker.context.gate.version
    control.send(frames.encode_install(1, 3, str(decision_file(tmp_path, "first", BLOCKED, sequence=3))))
    await until(lambda: edge.worker.lists._next is not None)
    assert edge.worker.context.gate.version == before
    gone = Entry(BLOCKED_SOURCE, disposition="tombstone")
    later = Entry("127.0.0.67", score=9, origin="operator")
    control.send(frames.encode_overlay(1, 4, pack_entries([gone, later])))
    await until(lambda: control.acknowledged == [(1, 4)])
    assert await status_for(edge, BLOCKED_SOURCE) == 200
    assert await status_for(edge, "127.0.0.67") == 403


async def test_new_base_comes_into_force_with_the_overlay_behind_it(
    control: Control, edge: Edge, tmp_path: Path
):
    """Each alone would be wrong: the base holds an entry by hand that the old overlay knows nothing of."""
    await until(lambda: bool(control.writers))
    control.send(frames.encode_overlay(1, 2, pack_entries([BLOCKED])))
    await until(lambda: control.acknowledged == [(1, 2)])
    removed = Entry("127.0.0.67", score=9, origin="operator")
    folded = decision_file(tmp_path, "folded", BLOCKED, removed, sequence=3)
    control.send(frames.encode_install(1, 3, str(folded)))
    await until(lambda: edge.worker.lists._next is not None)
    assert await status_for(edge, BLOCKED_SOURCE) == 403
    assert await status_for(edge, "127.0.0.67") == 200
    assert control.acknowledged == [(1, 2)]
    gone = Entry("127.0.0.67", disposition="tombstone", origin="operator")
    control.send(frames.encode_overlay(1, 4, pack_entries([gone])))
    await until(lambda: control.acknowledged[-1] == (1, 4))
    assert await status_for(edge, BLOCKED_SOURCE) == 403
    assert await status_for(edge, "127.0.0.67") == 200


async def test_overlay_of_a_base_that_could_not_be_opened_is_refused(
    control: Control, edge: Edge, tmp_path: Path
):
    """Above another base it would free what operators blocked; everything comes again, as nothing is
    acknowledged."""
    await until(lambda: bool(control.writers))
    control.send(frames.encode_overlay(1, 2, pack_entries([BLOCKED])))
    control.send(frames.encode_install(1, 3, str(tmp_path / "missing.bin")))
    control.send(frames.encode_overlay(1, 4, pack_entries([])))
    good = decision_file(tmp_path, "good", BLOCKED, sequence=3)
    control.send(frames.encode(Kind.CONFIGURE, replace(edge.worker.context.config, via="seen").to_wire()))
    await until(lambda: edge.worker.context.config.via == "seen")
    assert control.acknowledged == [(1, 2)]
    assert await status_for(edge, BLOCKED_SOURCE) == 403
    control.send(frames.encode_install(1, 3, str(good)))
    control.send(frames.encode_overlay(1, 4, pack_entries([])))
    await until(lambda: control.acknowledged[-1] == (1, 4))
    assert await status_for(edge, BLOCKED_SOURCE) == 403


async def test_swap_of_a_base_is_watched_for_stalls(control: Control, edge: Edge, tmp_path: Path, capsys):
    """The longest turn of the loop stands in the log, so that an operator can see what an update costs."""
    await until(lambda: bool(control.writers))
    control.send(frames.encode_install(1, 3, str(decision_file(tmp_path, "any", BLOCKED, sequence=3))))
    shown = ""

    def has_line() -> bool:
        nonlocal shown
        shown += capsys.readouterr().err
        return "list_swap_watched" in shown

    await until(has_line)
    line = next(json.loads(line) for line in shown.splitlines() if "list_swap_watched" in line)
    assert 0 <= line["longest_turn_ms"] <= line["longest_wait_ms"]


async def test_bad_list_is_refused_and_the_good_one_stays(control: Control, edge: Edge, tmp_path: Path):
    """A corrupt or missing file, or overlay, must never end in no list."""
    await until(lambda: bool(control.writers))
    control.send(frames.encode_install(1, 2, str(decision_file(tmp_path, "good", BLOCKED, sequence=2))))
    control.send(frames.encode_overlay(1, 2, pack_entries([])))
    (tmp_path / "corrupt.bin").write_bytes(b"rubbish" * 1000)
    control.send(frames.encode_install(1, 3, str(tmp_path / "corrupt.bin")))
    control.send(frames.encode_install(1, 4, str(tmp_path / "missing.bin")))
    control.send(frames.encode_overlay(1, 5, b"rubbish"))
    control.send(frames.encode(Kind.CONFIGURE, replace(edge.worker.context.config, via="seen").to_wire()))
    await until(lambda: edge.worker.context.config.via == "seen")
    assert control.acknowledged == [(1, 2)]
    assert await status_for(edge, BLOCKED_SOURCE) == 403


async def test_configuration_applies_to_the_next_request(control: Control, edge: Edge, tmp_path: Path):
    """SIGHUP ends here."""
    await until(lambda: bool(control.writers))
    control.send(frames.encode_overlay(1, 2, pack_entries([BLOCKED])))
    control.send(
        frames.encode(Kind.CONFIGURE, replace(edge.worker.context.config, block_score=9.5).to_wire())
    )
    await until(lambda: edge.worker.context.config.block_score == 9.5)
    assert await status_for(edge, BLOCKED_SOURCE) == 200


async def test_bad_configuration_is_refused_and_the_running_one_stays(control: Control, edge: Edge):
    """Whatever the control process sends."""
    await until(lambda: bool(control.writers))
    before = edge.worker.context.config
    control.send(frames.encode(Kind.CONFIGURE, b"{not json"))
    control.send(frames.encode(Kind.CONFIGURE, b"[]"))
    control.send(frames.encode(Kind.CONFIGURE, b'{"head_seconds": "soon"}'))
    control.send(frames.encode(Kind.CONFIGURE, replace(before, trusted_proxies=("nonsense",)).to_wire()))
    control.send(frames.encode_overlay(1, 2, pack_entries([])))
    await until(lambda: bool(control.acknowledged))
    assert edge.worker.context.config is before
    assert await status_for(edge, "127.0.0.1") == 200


async def test_denials_travel_up_within_a_second_or_two(control: Control, edge: Edge):
    """As JSON lines, in one frame per second."""
    await until(lambda: bool(control.writers))
    await edge.block(BLOCKED)
    assert await status_for(edge, BLOCKED_SOURCE) == 403
    await until(lambda: bool(control.of(Kind.EVENTS)))
    assert BLOCKED_SOURCE.encode() in control.of(Kind.EVENTS)[0]


async def test_worker_serves_on_and_attaches_again_when_control_is_away(control: Control, edge: Edge):
    """Kill -9 of the control process."""
    await until(lambda: bool(control.writers))
    control.send(frames.encode_overlay(1, 2, pack_entries([BLOCKED])))
    await until(lambda: control.acknowledged == [(1, 2)])
    await control.stop()
    assert await status_for(edge, BLOCKED_SOURCE) == 403
    assert await status_for(edge, "127.0.0.1") == 200
    await control.start()
    await until(lambda: len(control.of(Kind.HELLO)) == 2)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\xff" * 100, id="no frame"),
        pytest.param(frames.encode(Kind.INSTALL, b"\0" * 16 + b"/\xff"), id="path that is no text"),
        pytest.param(frames.encode(Kind.INSTALL, b"short"), id="short payload"),
        pytest.param(frames.encode_hello(0, 1), id="frame of the other direction"),
    ],
)
async def test_rubbish_from_control_costs_the_link_not_the_worker(control: Control, edge: Edge, sent: bytes):
    """It attaches again."""
    await until(lambda: bool(control.writers))
    control.send(sent)
    await until(lambda: len(control.of(Kind.HELLO)) == 2)
    assert await status_for(edge, "127.0.0.1") == 200


async def test_starting_worker_applies_what_control_left_for_it(
    start_edge: StartEdge, origin: Origin, tmp_path: Path
):
    """So it can serve while control is down."""
    path = decision_file(tmp_path, "left", BLOCKED, sequence=4)
    config = EdgeConfig(upstream_port=origin.port, drain_seconds=0.0, via="from-file")
    (tmp_path / "attach.frames").write_bytes(
        frames.encode(Kind.CONFIGURE, config.to_wire())
        + frames.encode_install(1, 4, str(path))
        + frames.encode_overlay(1, 5, pack_entries([Entry("127.0.0.67", score=9)]))
    )
    edge = await start_edge()
    assert edge.worker.context.config.via == "from-file"
    assert edge.worker.context.gate.version == (1, 5)
    assert await status_for(edge, BLOCKED_SOURCE) == 403
    assert await status_for(edge, "127.0.0.67") == 403


async def test_unreadable_attach_file_does_not_stop_a_start(
    start_edge: StartEdge, origin: Origin, tmp_path: Path
):
    """Its fault is logged; what is missing comes when control attaches."""
    (tmp_path / "attach.frames").write_bytes(b"\xff" * 50)
    edge = await start_edge()
    assert await status_for(edge, "127.0.0.1") == 200


async def test_requests_go_on_while_lists_are_swapped(control: Control, edge: Edge, tmp_path: Path):
    """No request fails at a swap."""
    await until(lambda: bool(control.writers))
    paths = [decision_file(tmp_path, str(number), Entry(f"10.0.0.{number}", score=9)) for number in range(2)]
    client = await edge.connect()
    for number in range(200):
        if number % 5 == 0:
            control.send(frames.encode_install(1, number + 1, str(paths[number % 2])))
            control.send(frames.encode_overlay(1, number + 1, pack_entries([])))
        assert (await client.fetch(get())).status == 200
    await until(lambda: len(control.acknowledged) == 40)


async def test_health_is_taken_and_kept_while_control_is_away(
    start_edge: StartEdge, control: Control, origin: Origin
):
    """The last word of the checks counts until there is another one."""
    other = TargetConfig("127.0.0.1", 9)
    upstream = UpstreamConfig("default", (TargetConfig("127.0.0.1", origin.port), other), has_checks=True)
    edge = await start_edge(upstreams=(upstream,))
    await until(lambda: bool(control.writers))
    control.send(frames.encode(Kind.HEALTH, b'{"default": {"127.0.0.1:9": false}, "gone": {"a": true}}'))
    (cluster,) = edge.worker.context.upstreams
    await until(lambda: [target.is_up for target in cluster.targets] == [True, False])
    await control.stop()
    client = await edge.connect()
    assert [(await client.fetch(get())).status for _ in range(4)] == [200] * 4
    assert edge.counter("upstream_connect_errors") == 0


async def test_health_report_that_is_none_is_left_out(edge: Edge, control: Control):
    """The link stays: lists come over it."""
    await until(lambda: bool(control.writers))
    for payload in (b"[]", b'{"default": 1}', b"{"):
        control.send(frames.encode(Kind.HEALTH, payload))
    control.send(frames.encode_overlay(1, 2, pack_entries([])))
    await until(lambda: control.acknowledged == [(1, 2)])


async def test_targets_are_reported_when_they_change(edge: Edge, control: Control, origin: Origin):
    """Once a second at most, and not at all while nothing changes."""
    client = await edge.connect()
    await client.fetch(get())
    name = f"127.0.0.1:{origin.port}"
    row = {
        "upstream": "default",
        "target": name,
        "is_ejected": False,
        "busy": 0,
        "idle": 1,
        "failures": 0,
        "ejections": 0,
    }
    await until(lambda: [json.loads(payload) for payload in control.of(Kind.TARGETS)][-1:] == [[row]])
    count = len(control.of(Kind.TARGETS))
    edge.worker._every_second()
    edge.worker._every_second()
    control.send(frames.encode_overlay(1, 2, pack_entries([])))
    await until(lambda: control.acknowledged == [(1, 2)])
    assert len(control.of(Kind.TARGETS)) == count
