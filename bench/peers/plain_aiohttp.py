"""`python -m bench.peers.plain_aiohttp PORT|unix:PATH UPSTREAM_PORT`: the proxy that one writes in an hour.

Server and `ClientSession`, streaming, on uvloop, with the settings that everybody should know and no fault
closed.
"""

import asyncio
import sys

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from yarl import URL

from bench.peers.lane import mark

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host")
)


class Proxy:
    def __init__(self, session: ClientSession, upstream: str) -> None:
        self._session = session
        self._upstream = upstream

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        if request.remote:
            headers["X-Forwarded-For"] = request.remote
        url = URL(self._upstream + request.raw_path, encoded=True)
        body = request.content if request.body_exists else None
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            passed = [item for item in answer.headers.items() if item[0].lower() not in _HOP_BY_HOP]
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=dict(passed))
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response


async def serve(where: str, upstream_port: int) -> None:
    session = ClientSession(
        connector=TCPConnector(limit=0),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        timeout=ClientTimeout(total=None),
    )
    path = where.removeprefix("unix:")
    # Behind a front it carries what a lane carries.
    application = web.Application(middlewares=[mark] if path != where else [])
    application.router.add_route(
        "*", "/{tail:.*}", Proxy(session, f"http://127.0.0.1:{upstream_port}").handle
    )
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, auto_decompress=False)
    await runner.setup()
    if path != where:
        await web.UnixSite(runner, path, backlog=4096).start()
    else:
        await web.TCPSite(runner, "127.0.0.1", int(where), backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
