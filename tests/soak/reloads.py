"""Configuration taken again each second under load, and the whole program replaced: no request fails."""

import asyncio
import signal
from pathlib import Path

from tests.e2e.load import Load
from tests.e2e.processes import Edge
from tests.soak.figures import Figures
from tests.soak.program import edge_before, origin_port, running

# Between two requests of a client: a whole start needs the processor as well.
_PAUSE_SECONDS = 0.005
_LIST = '[[lists]]\npath = "lists/first.txt"\nsource = "first"\nscore = 9\n'


def run(figures: Figures, folder: Path, seconds: float) -> None:
    figures.heading(f"SIGHUP each second, {seconds:g} s, and a restart")
    port = origin_port()
    (folder / "reloads/lists").mkdir(parents=True)
    (folder / "reloads/lists/first.txt").write_text("198.51.100.0/24\n")
    with (
        running("origin", port, folder=folder, ready_port=port),
        edge_before(port, folder / "reloads", workers=2, more=_LIST) as edge,
    ):
        asyncio.run(_reload(figures, edge, int(seconds)))


async def _reload(figures: Figures, edge: Edge, count: int) -> None:
    text = edge.config_path.read_text()
    texts = [text.replace("workers = 2", f"workers = 2\nblock_score = {score}") for score in (6, 8)]
    before = edge.supervisor_pid
    async with (
        Load(edge.port, pause_seconds=_PAUSE_SECONDS) as load,
        Load(edge.port, clients=4, pause_seconds=_PAUSE_SECONDS, is_fresh=True) as fresh,
    ):
        for number in range(count):
            edge.config_path.write_text(texts[number % 2])
            (edge.lists / "first.txt").write_text(f"198.51.100.{number % 250}\n")
            assert edge.running is not None
            edge.running.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(1.0)
        await load.progress()
        done = await asyncio.to_thread(edge.command, "restart", "--config", str(edge.config_path))
        await load.progress()
        await fresh.progress()
    assert edge.running is not None
    taken = edge.running.log().count('"configuration_changed"')
    figures.at_least("configurations taken", taken, 0.9 * count)
    figures.at_most("status of the restart", done.returncode, 0)
    figures.at_least("programs that served", len({before, edge.supervisor_pid}), 2)
    figures.known("requests answered on kept connections", load.answered)
    figures.known("requests answered on new connections", fresh.answered)
    faults = load.faults + fresh.faults
    figures.at_most("requests failed", len(faults), 0)
    for fault in faults[:3]:
        print(f"    {fault}", flush=True)
