"""A lane process as the supervisor starts it, with settings and modules of a test."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from tests.lane.peers import Client

ROOT = Path(__file__).resolve().parents[2]
BOUND_SECONDS = 20.0
# As an edge worker tells it.
FROM_EDGE = (
    "X-Forwarded-For: 192.0.2.9",
    "X-Real-IP: 192.0.2.9",
    "X-Forwarded-Proto: https",
    "X-Request-Id: 0123456789abcdef",
    "X-Sentra-Score: 3",
    "Via: 1.1 sentra",
)


@dataclass
class RunningLane:
    process: asyncio.subprocess.Process
    path: Path
    log_path: Path

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        try:
            yield Client(reader, writer)
        finally:
            writer.close()

    def log(self) -> str:
        return self.log_path.read_text()


def write_settings(folder: Path, upstream_port: int, lane: str, edge: str = "") -> Path:
    """`lane`: lines of [[lanes]]; the module `mine` of a test lies beside the file."""
    path = folder / "sentra.toml"
    path.write_text(
        f"""
[edge.timeouts]
drain_seconds = 3
{edge}
[upstream]
url = "http://127.0.0.1:{upstream_port}"
[[lanes]]
name = "app"
python_path = ["."]
{lane}
"""
    )
    return path


async def start(folder: Path, config: Path, listener: socket.socket) -> RunningLane:
    log_path = folder / "lane.log"
    with log_path.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "proxy.lane.process", "--lane", "app", "--config", str(config)),
            *("--listen-fd", str(listener.fileno()), "--runtime-dir", str(folder)),
            pass_fds=(listener.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    return RunningLane(process, Path(listener.getsockname()), log_path)


@asynccontextmanager
async def lane_process(
    folder: Path, upstream_port: int, middlewares: str, lane: str = "", edge: str = ""
) -> AsyncIterator[RunningLane]:
    """Ready. `middlewares`: the source of the module `mine`, whose `middleware` the lane carries."""
    (folder / "mine.py").write_text(
        "import asyncio\nimport os\nimport time\n\nfrom aiohttp import web\n\n" + middlewares
    )
    config = write_settings(folder, upstream_port, f'middlewares = ["mine:middleware"]\n{lane}', edge)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(folder / "lane-app.sock"))
        listener.listen(64)
        lane_running = await start(folder, config, listener)
        try:
            assert lane_running.process.stdout is not None
            async with asyncio.timeout(BOUND_SECONDS):
                line = await lane_running.process.stdout.readline()
            assert line == b"ready lane=app number=0\n", lane_running.log()
            yield lane_running
        finally:
            if lane_running.process.returncode is None:
                lane_running.process.kill()
            await lane_running.process.wait()
