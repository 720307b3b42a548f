"""Several upstream targets for one edge."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from proxy.edge.config_upstreams import TargetConfig, UpstreamConfig
from tests.edge.conftest import Edge
from tests.support.client import get
from tests.support.origin import Origin, OriginConnection, answer


@contextlib.asynccontextmanager
async def running_origins(count: int) -> AsyncIterator[list[Origin]]:
    """Each answers with its own index."""
    async with contextlib.AsyncExitStack() as stack:
        origins = [Origin() for _ in range(count)]
        for index, origin in enumerate(origins):
            await origin.start()
            stack.push_async_callback(origin.close)
            origin.behave = answer_with(str(index).encode())
        yield origins


def answer_with(body: bytes):
    async def behave(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await connection.send(answer(body))

    return behave


def upstream(
    *origins: Origin, name: str = "default", weights: tuple[int, ...] = (), **keys: Any
) -> UpstreamConfig:
    targets = tuple(
        TargetConfig("127.0.0.1", origin.port, weight=weight)
        for origin, weight in zip(origins, weights or (1,) * len(origins), strict=True)
    )
    return UpstreamConfig(name=name, targets=targets, **keys)


async def bodies(
    edge: Edge, count: int, *, source: str = "127.0.0.1", request: bytes | None = None
) -> list[str]:
    """What `count` requests of one connection are answered with."""
    client = await edge.connect(source=source)
    return [(await client.fetch(request or get())).body.decode() for _ in range(count)]
