"""Several listeners of the whole program: TLS, a unix socket, and what SIGHUP and a restart do to them."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from proxy.edge.certificate_names import dns_names
from tests.e2e.conftest import EdgeMaker
from tests.e2e.processes import Edge, wait_until
from tests.support.authority import Authority, Pair
from tests.support.tls_client import client_context

LISTENERS = """
[[listeners]]
name = "public"
listen = "127.0.0.1:{port}"
[listeners.tls]
certificates = [{{ certificate = "live.pem", key = "live.key" }}]

[[listeners]]
name = "local"
listen = "unix:edge.sock"
"""


def install(pair: Pair, folder: Path) -> None:
    """New files under the names that the configuration has."""
    for source, name in ((pair.certificate, "live.pem"), (pair.key, "live.key")):
        shutil.copy(source, folder / f"{name}.new")
        (folder / f"{name}.new").replace(folder / name)


def shown_name(port: int) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), 5) as raw,
        client_context().wrap_socket(raw, server_hostname="a.example") as client,
    ):
        shown = client.getpeercert(binary_form=True)
    assert shown is not None
    return dns_names(ssl.DER_cert_to_PEM_cert(shown))[0]


def status_over_tls(edge: Edge) -> int:
    client = http.client.HTTPSConnection("127.0.0.1", edge.port, timeout=5, context=client_context())
    client.request("GET", "/")
    status = client.getresponse().status
    client.close()
    return status


def status_over_unix(path: Path) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        return int(client.recv(65536).split(b" ")[1])


def edge_with_listeners(make_edge: EdgeMaker, gateway_port: int, pair: Pair) -> Edge:
    edge = make_edge(gateway_port)
    install(pair, edge.folder)
    text = edge.config_path.read_text().replace(f'listen = "127.0.0.1:{edge.port}"\n', "", 1)
    edge.config_path.write_text(text + LISTENERS.format(port=edge.port))
    edge.start()
    return edge


def test_limit_of_one_address_holds_over_all_workers(make_edge: EdgeMaker, gateway_port: int):
    """The kernel spreads one client's connections over the workers, which must not multiply its share."""
    edge = make_edge(gateway_port, workers=2)
    text = edge.config_path.read_text().replace(f'listen = "127.0.0.1:{edge.port}"\n', "", 1)
    limit = f'[[listeners]]\nname = "public"\nlisten = "127.0.0.1:{edge.port}"\nconnections_per_address = 5\n'
    # Whoever may speak for others is not counted.
    edge.config_path.write_text(text.replace('trusted_proxies = ["127.0.0.0/8"]\n', "") + limit)
    edge.start()
    with contextlib.ExitStack() as stack:
        statuses = []
        for _ in range(40):
            client = stack.enter_context(
                contextlib.closing(http.client.HTTPConnection("127.0.0.1", edge.port))
            )
            client.request("GET", "/")
            statuses.append(client.getresponse().status)
    assert statuses.count(200) == 5
    assert statuses.count(503) == 35


def says(edge: Edge, event: str) -> Callable[[], bool]:
    running = edge.running
    assert running is not None
    before = running.log().count(event)
    return lambda: running.log().count(event) > before


def test_listeners_serve_and_take_new_certificates_on_sighup(
    make_edge: EdgeMaker, gateway_port: int, tmp_path: Path
):
    """From the first second no door is open in clear text; a certificate manager needs no restart."""
    authority = Authority(tmp_path / "authority")
    old, new = authority.issue("old", "old.example"), authority.issue("new", "new.example")
    edge = edge_with_listeners(make_edge, gateway_port, old)
    assert status_over_tls(edge) == 200
    assert status_over_unix(edge.folder / "edge.sock") == 200
    assert shown_name(edge.port) == "old.example"
    install(new, edge.folder)
    os.kill(edge.supervisor_pid, signal.SIGHUP)
    # Whichever worker takes the connection.
    wait_until(
        lambda: {shown_name(edge.port) for _ in range(8)} == {"new.example"}, "the new certificate is shown"
    )
    (edge.folder / "live.key").write_text("rubbish")
    is_refused = says(edge, "configuration_refused")
    os.kill(edge.supervisor_pid, signal.SIGHUP)
    wait_until(is_refused, "the reload is refused")
    assert edge.running is not None
    assert "listeners.0.tls.certificates.0.key" in edge.running.log()
    assert shown_name(edge.port) == "new.example"
    assert edge.stop() == 0
    assert not (edge.folder / "edge.sock").exists()


def test_worker_that_is_killed_comes_back_with_its_listeners(
    make_edge: EdgeMaker, gateway_port: int, tmp_path: Path
):
    """It starts from what control left for it, and reads the certificates itself."""
    pair = Authority(tmp_path / "authority").issue("a", "a.example")
    edge = edge_with_listeners(make_edge, gateway_port, pair)
    killed = edge.workers()
    for process_id in killed.values():
        os.kill(process_id, signal.SIGKILL)
    wait_until(
        lambda: len(edge.workers()) == 2 and not set(edge.workers().values()) & set(killed.values()),
        "both are replaced",
    )
    assert [status_over_tls(edge) for _ in range(4)] == [200] * 4
    assert status_over_unix(edge.folder / "edge.sock") == 200
