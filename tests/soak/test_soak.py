"""The soak's own parts: a load that overlooks a wrong byte, or faults that do not happen, would prove
nothing.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from tests.soak import faults
from tests.soak.attackers import Crowd
from tests.soak.checking_load import Load, connection_to
from tests.soak.figures import Figures
from tests.soak.origin import OriginProtocol


@contextlib.asynccontextmanager
async def listening(protocol: Callable[[], asyncio.Protocol]) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Spoiling(asyncio.Protocol):
    """Answers every request with the same bytes, and closes when they say so."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer)
        self._transport.close()


async def came_from(port: int, seconds: float = 0.2) -> dict[str, int]:
    load = Load(port, seconds, 50, 1, 1)
    await load.run()
    return dict(load.came)


async def test_right_answers_of_every_kind_are_known_as_such():
    """In lengths, in chunks, and for uploads."""
    async with listening(OriginProtocol) as port:
        came = await came_from(port, 1.0)
    assert set(came) == {"right"}
    assert came["right"] > 20


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", "wrong body"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "status 502"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "undocumented status"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwro", "cut within an answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n", "cut within an answer"),
        (b"", "no answer"),
    ],
)
async def test_everything_else_is_told_apart(answer: bytes, expected: str):
    """A cut is the client's to see; a body that looks whole and is not would be ours."""
    async with listening(lambda: Spoiling(answer)) as port:
        came = await came_from(port)
    assert came[expected] > 0
    assert "right" not in came


FAULTS = [
    ("reset", ConnectionResetError),
    ("refuse", ConnectionResetError),
    ("truncate", asyncio.IncompleteReadError),
    ("stall", TimeoutError),
]


@pytest.mark.parametrize(("fault", "seen"), FAULTS)
async def test_fault_happens_where_it_was_meant(fault: str, seen: type[Exception]):
    """After a thousand bytes of the answer, or at once."""
    async with listening(OriginProtocol) as origin:
        pair = faults.Pair(origin, fault, 1000, 0.0)
        async with listening(lambda: pair.edge) as port, connection_to(port) as connection:
            connection.writer.write(b"GET /bytes/5000 HTTP/1.1\r\n\r\n")
            with pytest.raises(seen):
                async with asyncio.timeout(0.5):
                    await connection.reader.readexactly(5000)
        pair.close()


@pytest.mark.parametrize("fault", ["delay", "slow"])
async def test_fault_that_only_takes_time_spoils_nothing(fault: str):
    """The edge has to wait, and then the answer is whole."""
    async with listening(OriginProtocol) as origin:
        pair = faults.Pair(origin, fault, 1000, 0.05)
        async with listening(lambda: pair.edge) as port, connection_to(port) as connection:
            status, body, _ = await connection.ask(b"GET /bytes/5000 HTTP/1.1\r\n\r\n")
        pair.close()
    assert (status, body) == (200, b"x" * 5000)


def test_slow_connection_that_is_never_closed_is_told():
    """A deadline that does not exist must not look like one that was kept."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as deaf:
        crowd = Crowd(deaf.getsockname()[1], {"header": 0.1, "body": 0.1, "read": 0.1}, patience_seconds=0.2)
        crowd.run(0.2, 6, 100)
    assert [ends.summary()["never_count"] for ends in crowd.ends.values()] == [2, 2, 2]


def test_missed_figure_is_counted(capsys: pytest.CaptureFixture[str]):
    """The exit status is made of this."""
    figures = Figures()
    figures.at_most("fine", 1, 1)
    figures.at_least("too few", 0, 1)
    figures.known("told", 3)
    assert figures.missed_count == 1
    assert capsys.readouterr().out.count("MISSED") == 1
