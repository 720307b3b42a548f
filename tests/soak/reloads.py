"""Configuration taken again each second under load: no request fails."""

import asyncio
import signal
from pathlib import Path

from tests.e2e.load import Load
from tests.e2e.processes import Edge
from tests.soak.figures import Figures
from tests.soak.program import edge_before, origin_port, running

_LIST = '[[lists]]\npath = "lists/first.txt"\nsource = "first"\nscore = 9\n'


def run(figures: Figures, folder: Path, seconds: float) -> None:
    figures.heading(f"SIGHUP each second, {seconds:g} s")
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
    async with Load(edge.port) as load:
        for number in range(count):
            edge.config_path.write_text(texts[number % 2])
            (edge.lists / "first.txt").write_text(f"198.51.100.{number % 250}\n")
            assert edge.running is not None
            edge.running.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(1.0)
        await load.progress()
    assert edge.running is not None
    taken = edge.running.log().count('"configuration_changed"')
    figures.at_least("configurations taken", taken, 0.9 * count)
    figures.known("requests answered", load.answered)
    figures.at_most("requests failed", len(load.faults), 0)
    for fault in load.faults[:3]:
        print(f"    {fault}", flush=True)
