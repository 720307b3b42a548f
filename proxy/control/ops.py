"""The ops port: /livez, /readyz and /metrics, without a token, for the pod network."""

import asyncio
import time

import orjson
from aiohttp import web

from proxy.control import metrics
from proxy.control.context import Control

_PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def ops_application(control: Control) -> web.Application:
    made = metrics.registry(control)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        is_ready, detail = readiness(control)
        return web.Response(
            status=200 if is_ready else 503, body=orjson.dumps(detail), content_type="application/json"
        )

    async def scrape(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(metrics.exposition, made)
        return web.Response(body=body, headers={"Content-Type": _PROMETHEUS_TEXT})

    application = web.Application()
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", scrape)
    return application


def readiness(control: Control) -> tuple[bool, dict[str, object]]:
    """Ready: not draining, a list in force (or `on_missing` open), and a worker that has it."""
    base = control.state.base
    version = (base.files.epoch, base.files.sequence) if base is not None else control.state.version
    done, total = control.links.applied(version)
    has_list = base is not None or control.state.config.on_missing == "open"
    is_served = done > 0 if base is not None else total > 0
    is_draining = control.is_draining
    detail: dict[str, object] = {
        "ready": has_list and is_served and not is_draining,
        "stopping": is_draining,
        "list": "loaded" if base is not None else "missing",
        "list_age_seconds": int(time.time()) - base.created if base is not None else None,
        "put_back": {name: note.to_json() for name, note in control.put_backs.items()},
        "workers": {"current": done, "attached": total},
    }
    return bool(detail["ready"]), detail
