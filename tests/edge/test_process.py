"""The worker as a process of its own: its start, its system calls, its end."""

import asyncio
import shutil
import signal
from pathlib import Path

import pytest

from fastmatch._native import Entry
from proxy.edge.config import EdgeConfig
from proxy.edge.config_listeners import ListenerConfig, TlsConfig
from tests.edge.conftest import until
from tests.edge.process import leave_attach_file, running_worker
from tests.support.authority import Pair
from tests.support.client import Client, get
from tests.support.origin import Origin, OriginConnection, answer
from tests.support.tls_client import TlsClient, client_context

MOVES_BYTES = "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg"


async def test_worker_serves_and_denies_from_what_control_left(origin: Origin, tmp_path: Path):
    """No control process is there: the start needs none."""
    leave_attach_file(tmp_path, EdgeConfig(upstream_port=origin.port), [Entry("127.0.0.66", score=9)])
    async with running_worker(tmp_path) as worker:
        client = await Client.connect(worker.port)
        assert (await client.fetch(get())).body == b"hello"
        blocked = await Client.connect(worker.port, source="127.0.0.66")
        assert (await blocked.fetch(get())).status == 403
        client.close()
        blocked.close()


async def test_sigterm_drains_and_exits_with_0(origin: Origin, tmp_path: Path):
    """The exchange under way is finished first."""
    gate = asyncio.Event()

    async def held(connection: OriginConnection) -> None:
        await connection.read_request()
        await gate.wait()
        await connection.send(answer())

    origin.behave = held
    leave_attach_file(tmp_path, EdgeConfig(upstream_port=origin.port))
    async with running_worker(tmp_path) as worker:
        client = await Client.connect(worker.port)
        await client.send(get())
        await until(lambda: len(origin.requests) == 1)
        worker.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while True:
                try:
                    (await Client.connect(worker.port)).close()
                except ConnectionError:
                    break
                await asyncio.sleep(0.01)
        gate.set()
        assert (await client.read_response()).body == b"hello"
        assert await client.see_end() == "fin"
        async with asyncio.timeout(5):
            assert await worker.process.wait() == 0
        client.close()


@pytest.mark.parametrize("over_tls", [False, True])
async def test_request_costs_two_reads_and_two_writes(
    origin: Origin, tmp_path: Path, pair: Pair, over_tls: bool
):
    """Two writes per event are two system calls: that alone made 1.33 x nginx of 1.0. TLS adds none."""
    strace = shutil.which("strace")
    assert strace is not None, "strace is not installed: apt-get install strace"
    listeners = (ListenerConfig("tls", tls=TlsConfig((pair.files,))),) if over_tls else ()
    leave_attach_file(tmp_path, EdgeConfig(upstream_port=origin.port, listeners=listeners))
    trace = tmp_path / "trace"
    count = 50
    async with running_worker(
        tmp_path,
        *(strace, "-f", "-o", str(trace), "-e", f"trace={MOVES_BYTES}"),
        listener="tls" if over_tls else "",
    ) as worker:
        client = await (TlsClient if over_tls else Client).connect(worker.port)
        if isinstance(client, TlsClient):
            await client.begin_tls(client_context())
        for _ in range(3):
            await client.fetch(get())
        before = calls(trace)
        for _ in range(count):
            assert (await client.fetch(get())).status == 200
        # The worker waits for the next request: nothing of this one is still to come.
        seen = calls(trace)[len(before) :]
        client.close()
    reads = [line for line in seen if "read" in line.split("(")[0] or "recv" in line.split("(")[0]]
    assert (len(reads), len(seen) - len(reads)) == (2 * count, 2 * count)


def calls(trace: Path) -> list[str]:
    """Traced calls on sockets. Not counted: eventfds by which threads wake the loop move 8 bytes."""
    return [line for line in trace.read_text().splitlines() if "(" in line and not line.endswith("= 8")]
