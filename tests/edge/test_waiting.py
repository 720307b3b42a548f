"""An upstream that may be asked so much at once and no more: who waits, for how long, and what ends it."""

import asyncio
from functools import partial

from tests.edge.conftest import Edge, StartEdge, until
from tests.edge.origins import running_origins, upstream
from tests.support.client import Client, get, post
from tests.support.origin import Origin, OriginConnection, answer


class Counted:
    """An origin that answers when it is told to, and knows how many requests it had at once."""

    def __init__(self, origin: Origin) -> None:
        self.now = 0
        self.most = 0
        self.gate = asyncio.Semaphore(0)
        origin.behave = self.behave

    async def behave(self, connection: OriginConnection) -> None:
        while True:
            message = await connection.read_request()
            self.now += 1
            self.most = max(self.most, self.now)
            await self.gate.acquire()
            self.now -= 1
            await connection.send(answer(message.body or b"ok"))

    def has(self, count: int) -> bool:
        return self.now == count

    def release(self, count: int = 1) -> None:
        for _ in range(count):
            self.gate.release()


def is_counted(edge: Edge, name: str, value: int) -> bool:
    return edge.counter(name) == value


async def ask(edge: Edge, count: int, request: bytes | None = None) -> list[Client]:
    """Clients that have asked, each counted in or waiting before the next one comes."""
    clients = []
    for _ in range(count):
        client = await edge.connect()
        expected = edge.counter("requests_in_flight") + 1
        await client.send(request or get())
        await until(partial(is_counted, edge, "requests_in_flight", expected))
        clients.append(client)
    return clients


def waiting(edge: Edge) -> int:
    return edge.counter("upstream_waiting")


async def test_more_than_the_limit_wait_and_all_are_served_in_order(start_edge: StartEdge, origin: Origin):
    """The upstream never has more at once; nobody is refused, and nobody is overtaken."""
    counted = Counted(origin)
    edge = await start_edge(upstreams=(upstream(origin, in_flight_count=2),))
    clients = await ask(edge, 6)
    assert (counted.now, waiting(edge)) == (2, 4)
    for index, client in enumerate(clients):
        if index == 2:
            assert waiting(edge) == 2
        counted.release()
        assert (await client.read_response()).status == 200
        await until(partial(counted.has, min(2, 5 - index)))
    assert counted.most == 2
    assert waiting(edge) == 0
    assert len(origin.connections) == 2


async def test_upload_that_waits_stays_in_its_socket_and_arrives_whole(start_edge: StartEdge, origin: Origin):
    """Whoever waits must not fill our memory meanwhile."""
    counted = Counted(origin)
    edge = await start_edge(upstreams=(upstream(origin, in_flight_count=1),))
    (first,) = await ask(edge, 1)
    body = bytes(range(256)) * 8000
    client = await edge.connect()
    sender = asyncio.get_running_loop().create_task(client.send(post(body)))
    await until(lambda: waiting(edge) == 1)
    counted.release(2)
    assert (await first.read_response()).status == 200
    assert (await client.read_response()).body == body
    await sender


async def test_full_queue_is_503_with_retry_after_and_the_client_stays(start_edge: StartEdge, origin: Origin):
    """A wait that would only end in a refusal is refused at once."""
    counted = Counted(origin)
    edge = await start_edge(upstreams=(upstream(origin, in_flight_count=1, queue_count=1),))
    clients = await ask(edge, 2)
    refused = await edge.connect()
    for _ in range(2):
        response = await refused.fetch(get())
        assert (response.status, response.head.get("retry-after")) == (503, "1")
    assert edge.counter("upstream_queue_full") == 2
    counted.release(2)
    assert [(await client.read_response()).status for client in clients] == [200, 200]
    counted.release()
    assert (await refused.fetch(get())).status == 200


async def test_waiting_ends_with_503_after_its_time(start_edge: StartEdge, origin: Origin):
    """queue_seconds; the upload that waits is told as well, and what the upstream has goes on."""
    counted = Counted(origin)
    edge = await start_edge(upstreams=(upstream(origin, in_flight_count=1, queue_seconds=0.2),))
    (first,) = await ask(edge, 1)
    late = await edge.connect()
    upload = await edge.connect()
    await upload.send(get("/", "Content-Length: 10", method="POST") + b"12345")
    response = await late.fetch(get())
    assert (response.status, response.head.get("retry-after")) == (503, "1")
    assert (await upload.read_response()).status == 503
    assert edge.counter("upstream_queue_timeouts") == 2
    counted.release()
    assert (await first.read_response()).status == 200
    assert waiting(edge) == 0


async def test_client_that_leaves_while_waiting_gives_up_its_place(start_edge: StartEdge, origin: Origin):
    """The next one is served, and the upstream never hears of the one that left."""
    counted = Counted(origin)
    edge = await start_edge(upstreams=(upstream(origin, in_flight_count=1),))
    first, gone, last = await ask(edge, 3)
    gone.close()
    await until(lambda: waiting(edge) == 1)
    counted.release(2)
    assert (await first.read_response()).status == 200
    assert (await last.read_response()).status == 200
    assert len(origin.requests) == 2
    assert edge.counter("client_gone") == 1


async def test_every_end_of_an_exchange_frees_its_place(start_edge: StartEdge, origin: Origin):
    """Otherwise the limit would shrink with each fault until nothing is left."""

    async def bad(connection: OriginConnection) -> None:
        path = (await connection.read_head()).start_line.split(" ")[1]
        if path == "/reset":
            connection.reset()
        elif path == "/malformed":
            await connection.send(b"HTTP/1.1 999999\r\n\r\n")
        elif path == "/silent":
            await connection.see_end()
        elif path == "/cut":
            await connection.send(answer(b"x" * 100)[:-50])
        elif path == "/early":
            await connection.send(answer(b"hello", "Connection: close"))
            await connection.see_end()

    origin.behave = bad
    edge = await start_edge(
        upstreams=(upstream(origin, in_flight_count=1, head_seconds=0.1, queue_seconds=30.0),)
    )
    expected = {"/reset": 502, "/malformed": 502, "/silent": 504, "/close": 502, "/early": 200}
    for path, status in expected.items():
        client = await edge.connect()
        assert (await client.fetch(get(path))).status == status, path
    client = await edge.connect()
    await client.send(get("/cut"))
    assert await client.see_end() == "reset"
    client = await edge.connect()
    await client.send(get("/silent"))
    await until(lambda: edge.counter("requests_in_flight") == 1)
    client.close()
    client = await edge.connect()
    await client.send(get("/early", "Content-Length: 10", method="POST"))
    assert (await client.read_response()).status == 200
    (cluster,) = edge.worker.context.upstreams
    await until(lambda: cluster.in_flight == 0)
    assert waiting(edge) == 0


async def test_limit_that_is_lifted_lets_in_who_waits(start_edge: StartEdge, origin: Origin):
    """A reload is the remedy of whoever set it too low."""
    counted = Counted(origin)
    edge = await start_edge(upstreams=(upstream(origin, in_flight_count=1),))
    clients = await ask(edge, 4)
    edge.configure(upstreams=(upstream(origin),))
    await until(lambda: counted.now == 4)
    counted.release(4)
    assert [(await client.read_response()).status for client in clients] == [200] * 4


async def test_tunnel_counts_until_it_ends(start_edge: StartEdge):
    """A websocket is a request under way, for hours if need be."""
    async with running_origins(1) as (origin,):

        async def upgrade(connection: OriginConnection) -> None:
            await connection.read_head()
            await connection.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            await connection.see_end()

        origin.behave = upgrade
        edge = await start_edge(upstreams=(upstream(origin, in_flight_count=1),))
        client = await edge.connect()
        fields = (
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: a",
            "Sec-WebSocket-Version: 13",
        )
        await client.send(get("/", *fields))
        assert (await client.read_response()).status == 101
        (cluster,) = edge.worker.context.upstreams
        assert cluster.in_flight == 1
        client.close()
        await until(lambda: cluster.in_flight == 0)
        assert [target.open_count for target in cluster.targets] == [0]
