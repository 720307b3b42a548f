"""Configurations of nginx: upstream, proxy, proxy with our work, `return 403`."""

import grp
import os
import pwd
from pathlib import Path

from bench.peers.certificate import Pair

_FRAME = """daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 16384; multi_accept off; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{inside}
}}
"""

_PROXY = """  upstream behind {{
    server 127.0.0.1:{upstream_port};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port}{tls} backlog=4096;
{certificate}    location / {{
{before}
      proxy_pass http://behind;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
{fields}
    }}
  }}"""

_CERTIFICATE = """    ssl_certificate {pair.certificate};
    ssl_certificate_key {pair.key};
    ssl_protocols TLSv1.2 TLSv1.3;
"""

_OUR_FIELDS = """      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header Via "1.1 nginx";"""


def _command(folder: Path, inside: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    path.write_text(_FRAME.format(folder=folder, inside=inside), encoding="utf-8")
    return ["nginx", "-e", str(folder / "error.log"), "-c", str(path)]


def upstream(folder: Path, port: int, files: Path) -> list[str]:
    """`/` answers 200 with 13 bytes, `/files/` serves sized bodies."""
    inside = f"""  server {{
    listen 127.0.0.1:{port} backlog=4096;
    sendfile on;
    tcp_nopush on;
    location / {{ default_type text/plain; return 200 "hello, world\\n"; }}
    location /files/ {{ alias {files}/; }}
  }}"""
    return _command(folder, inside)


def proxy(folder: Path, port: int, upstream_port: int, pair: Pair | None = None) -> list[str]:
    """A plain reverse proxy with upstream keep-alive: the least that does the job. With a certificate: over
    TLS.
    """
    inside = _proxy(port, upstream_port, pair=pair)
    return _command(folder, inside)


def front(folder: Path, servers: str) -> list[str]:
    """Servers as `peers/lane.py` writes them, run by our own user: a lane hears nobody else."""
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    return [*_command(folder, servers), "-g", f"user {user} {group};"]


def equal_work(folder: Path, port: int, upstream_port: int, addresses: Path) -> list[str]:
    """With the list in `geo` and the fields that we set too. Counters are `stub_status`, which always
    count.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = folder / "geo.conf"
    with addresses.open(encoding="ascii") as source, entries.open("w", encoding="ascii") as target:
        target.writelines(f"{line.strip()} 1;\n" for line in source if line[:1].isdigit())
    blocked = "      if ($is_blocked) { return 403; }"
    table = f"  geo $is_blocked {{ default 0; include {entries}; }}\n"
    inside = table + _proxy(port, upstream_port, before=blocked, fields=_OUR_FIELDS)
    return _command(folder, inside)


def _proxy(
    port: int, upstream_port: int, *, before: str = "", fields: str = "", pair: Pair | None = None
) -> str:
    certificate = "" if pair is None else _CERTIFICATE.format(pair=pair)
    return _PROXY.format(
        port=port,
        upstream_port=upstream_port,
        tls=" ssl" if pair is not None else "",
        certificate=certificate,
        before=before,
        fields=fields,
    )


def deny(folder: Path, port: int) -> list[str]:
    """The cheapest refusal: `return 403` with nginx's own page."""
    return _command(folder, f"  server {{ listen 127.0.0.1:{port} backlog=4096; return 403; }}")
