"""What a load balancer sees of the whole program while it drains."""

import signal
import socket

from tests.e2e.processes import Edge, ask, wait_until


def test_readiness_ends_before_the_last_exchange_does(edge: Edge):
    """New connections are refused from the signal on: nobody may be sent here meanwhile."""
    assert edge.stop() == 0
    text = edge.config_path.read_text()
    edge.config_path.write_text(text.replace("drain_seconds = 1.0", "drain_seconds = 25.0"))
    running = edge.start()
    assert ask(edge.ops_port, "/readyz").status == 200
    with socket.create_connection(("127.0.0.1", edge.port)) as streaming:
        streaming.sendall(b"GET /events HTTP/1.1\r\nHost: edge.example\r\n\r\n")
        assert streaming.recv(12) == b"HTTP/1.1 200"
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: ask(edge.ops_port, "/readyz").status == 503, "it is not ready any more")
        assert ask(edge.ops_port, "/readyz").json()["stopping"] is True
        assert ask(edge.ops_port, "/livez").status == 200
        assert edge.workers(), "an exchange was under way all the time"
    assert running.process.wait(20) == 0
