"""A lane process of ours and a plain aiohttp proxy, each on a unix socket behind the same front."""

import os
import socket
import sys
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

_SETTINGS = """[upstream]
url = "http://127.0.0.1:{upstream_port}"

[[lanes]]
name = "bench"
middlewares = ["bench.peers.lane:mark"]
python_path = ["{root}"]
"""
_FRONT = """  upstream behind_{name} {{ server unix:{path}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://behind_{name};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header Via "1.1 nginx";
    }}
  }}"""


@web.middleware
async def mark(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The least that a middleware can do; both subjects carry it."""
    request["bench"] = True
    return await handler(request)


def lane(folder: Path, path: Path, upstream_port: int) -> list[str]:
    """As the supervisor starts it: on a socket that it inherits."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "sentra.toml"
    config.write_text(
        _SETTINGS.format(upstream_port=upstream_port, root=Path(__file__).parents[2]), encoding="utf-8"
    )
    return [sys.executable, "-m", "bench.peers.lane", str(path), str(config), str(folder)]


def plain(path: Path, upstream_port: int) -> list[str]:
    return [sys.executable, "-m", "bench.peers.plain_aiohttp", f"unix:{path}", str(upstream_port)]


def front(name: str, port: int, path: Path) -> str:
    """A server of nginx's that stands where the edge does."""
    return _FRONT.format(name=name, port=port, path=path)


def _become_lane(path: str, config: str, folder: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4096)
    listener.set_inheritable(True)
    arguments = ["--lane", "bench", "--config", config, "--listen-fd", str(listener.fileno())]
    command = [sys.executable, "-P", "-m", "proxy.lane.process", *arguments, "--runtime-dir", folder]
    root = str(Path(__file__).parents[2])
    os.execve(command[0], command, os.environ | {"PYTHONPATH": root})


if __name__ == "__main__":
    _become_lane(*sys.argv[1:4])
