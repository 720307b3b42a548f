"""Listening sockets: probed first, one queue per slot."""

import socket

import pytest

from proxy.errors import ConfigError
from proxy.supervisor.sockets import open_listeners, probe


@pytest.fixture
def shared_listener():
    """A listener that lets others share its port, as an earlier instance of ours would."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def test_probe_refuses_a_port_that_would_be_shared(shared_listener):
    """The bind of the real sockets would succeed, so only the probe can see it."""
    port = shared_listener.getsockname()[1]
    with pytest.raises(ConfigError, match=rf"^port {port} on 127\.0\.0\.1 is taken$"):
        probe([("127.0.0.1", port)])


def test_probe_passes_connections_in_time_wait():
    """A restart right after a stop must not have to wait a minute."""
    ((listener,),) = open_listeners([("127.0.0.1", 0)], 1)
    with listener:
        listener.setblocking(True)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # closes first, so the TIME_WAIT is on the server's side
            assert client.recv(1) == b""
    probe([("127.0.0.1", port)])


@pytest.mark.parametrize("host", ["not an address", "example.test", "256.1.1.1"])
def test_probe_names_a_host_that_is_no_address(host):
    """A name would be resolved once and silently stay."""
    with pytest.raises(ConfigError, match="write an IP address"):
        probe([(host, 8080)])


def test_slots_share_a_chosen_port_and_have_queues_of_their_own():
    """A replacement inherits exactly the queue of the dead worker."""
    listeners = open_listeners([("127.0.0.1", 0), ("::1", 0)], 3)
    try:
        assert [len(slot) for slot in listeners] == [2, 2, 2]
        assert len({slot[0].getsockname() for slot in listeners}) == 1
        assert len({slot[0].fileno() for slot in listeners}) == 3
        assert len({slot[1].getsockname() for slot in listeners}) == 1
    finally:
        for slot in listeners:
            for listener in slot:
                listener.close()
