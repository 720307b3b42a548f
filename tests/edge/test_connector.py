"""Names and addresses of the upstream."""

from tests.edge.conftest import StartEdge
from tests.support.client import get
from tests.support.origin import Origin


async def test_every_address_of_a_name_is_tried(start_edge: StartEdge, origin: Origin):
    """`localhost` is ::1 first on many machines, and the origin listens on 127.0.0.1 only."""
    edge = await start_edge(upstream_host="localhost")
    client = await edge.connect()
    assert (await client.fetch(get())).status == 200


async def test_name_that_does_not_resolve_is_502(start_edge: StartEdge, origin: Origin):
    """The worker starts all the same: the name may come."""
    edge = await start_edge(upstream_host="name.invalid")
    client = await edge.connect()
    assert (await client.fetch(get())).status == 502
    edge.configure(upstream_host="127.0.0.1")
    assert (await client.fetch(get())).status == 200


async def test_client_that_leaves_while_connecting_leaves_nothing_behind(
    start_edge: StartEdge, origin: Origin
):
    """The attempt is cancelled with its exchange."""
    edge = await start_edge(connection_count=100)
    for _ in range(20):
        client = await edge.connect()
        await client.send(get())
        client.reset()
    client = await edge.connect()
    assert (await client.fetch(get())).status == 200
    assert edge.worker.context.upstreams.idle_count <= 21
