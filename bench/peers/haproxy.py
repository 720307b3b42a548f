"""Configurations of HAProxy: proxy, proxy with our work, `http-request deny`."""

from pathlib import Path

from bench.peers.certificate import Pair

_FRAME = """global
  nbthread 1
  maxconn 12000
  no strict-limits
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 600s
frontend front
  bind 127.0.0.1:{port} backlog 4096{tls}
{rules}
{backend}
"""

_BACKEND = """  default_backend behind
backend behind
  server one 127.0.0.1:{upstream_port} pool-max-conn 256
"""

_OUR_WORK = """  http-request deny deny_status 403 if {{ src,map_ip({map_file},0) -m int 1 }}
  option forwardfor
  unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header Via "1.1 haproxy"
"""


def _command(folder: Path, port: int, rules: str, backend: str, pair: Pair | None = None) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "haproxy.cfg"
    tls = f" ssl crt {pair.both}" if pair is not None else ""
    path.write_text(_FRAME.format(port=port, rules=rules, backend=backend, tls=tls), encoding="utf-8")
    return ["haproxy", "-db", "-q", "-f", str(path)]


def proxy(folder: Path, port: int, upstream_port: int, pair: Pair | None = None) -> list[str]:
    """A plain reverse proxy with connection reuse. With a certificate: over TLS."""
    return _command(folder, port, "", _BACKEND.format(upstream_port=upstream_port), pair)


def equal_work(folder: Path, port: int, upstream_port: int, addresses: Path) -> list[str]:
    """With the list in a map and the fields that we set too. HAProxy always counts."""
    folder.mkdir(parents=True, exist_ok=True)
    map_file = folder / "blocked.map"
    with addresses.open(encoding="ascii") as source, map_file.open("w", encoding="ascii") as target:
        target.writelines(f"{line.strip()} 1\n" for line in source if line[:1].isdigit())
    rules = _OUR_WORK.format(map_file=map_file)
    return _command(folder, port, rules, _BACKEND.format(upstream_port=upstream_port))


def deny(folder: Path, port: int) -> list[str]:
    """Refuses in the frontend with HAProxy's own page; the connection is kept."""
    return _command(folder, port, "  http-request deny deny_status 403", "")
