"""Listening sockets: probed first, one queue per slot."""

import socket
import stat
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.supervisor import ListenerAddress
from proxy.supervisor.sockets import adopt_listeners, open_listeners, probe, probe_unix, remove_unix


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
    ((opened,),) = open_listeners([ListenerAddress("", "127.0.0.1", 0)], 1)
    with opened.socket as listener:
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
    addresses = [ListenerAddress("", "127.0.0.1", 0), ListenerAddress("six", "::1", 0)]
    listeners = open_listeners(addresses, 3)
    try:
        assert [[opened.name for opened in slot] for slot in listeners] == [["", "six"]] * 3
        assert len({slot[0].socket.getsockname() for slot in listeners}) == 1
        assert len({slot[0].socket.fileno() for slot in listeners}) == 3
        assert len({slot[1].socket.getsockname() for slot in listeners}) == 1
    finally:
        for slot in listeners:
            for opened in slot:
                opened.socket.close()


def test_unix_socket_belongs_to_the_first_slot_with_its_mode(tmp_path: Path):
    """The kernel spreads nothing over several; who may connect is the mode's to say."""
    path = tmp_path / "edge.sock"
    address = ListenerAddress("local", path=str(path), mode=0o600)
    ((opened,), empty) = open_listeners([address], 2)
    assert empty == []
    with opened.socket, socket.socket(socket.AF_UNIX) as client:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        client.connect(str(path))
    remove_unix([address])
    assert list(tmp_path.iterdir()) == []


def test_probe_passes_a_unix_socket_that_nobody_listens_on(tmp_path: Path):
    """A killed program leaves its socket behind; the next start must not need a person."""
    path = str(tmp_path / "edge.sock")
    probe_unix(path)
    ((left,),) = open_listeners([ListenerAddress("local", path=path)], 1)
    left.socket.close()
    probe_unix(path)
    ((opened,),) = open_listeners([ListenerAddress("local", path=path)], 1)
    with opened.socket, pytest.raises(ConfigError, match="is taken"):
        probe_unix(path)


def test_probe_keeps_a_file_that_is_no_socket(tmp_path: Path):
    """A mistyped path must not cost somebody a file."""
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="in the way"):
        probe_unix(str(path))
    assert path.read_text() == "mine"


def test_handed_unix_socket_is_taken_at_its_path(tmp_path):
    """Its own name is the one it was bound under, before it was put in place."""
    address = ListenerAddress("app", path=str(tmp_path / "edge.sock"))
    ((first,),) = open_listeners([address], 1)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "edge.sock"))
        ((taken,), ()) = adopt_listeners([address], 2, [first])
        assert taken.socket is first.socket
        accepted, _ = taken.socket.accept()
        accepted.close()
    first.socket.close()


def test_new_address_beside_handed_ones_is_probed(shared_listener):
    """It may be somebody else's, who would lose half of his connections."""
    ((kept,),) = open_listeners([ListenerAddress("", "127.0.0.1", 0)], 1)
    here, taken = (
        ListenerAddress("", *listener.getsockname()) for listener in (kept.socket, shared_listener)
    )
    with kept.socket, pytest.raises(ConfigError, match="is taken"):
        adopt_listeners([here, taken], 1, [kept])


def test_address_that_is_not_wanted_any_more_is_closed():
    """The old program empties its queue; a copy that stays open would let clients wait for nobody."""
    ((kept,),) = open_listeners([ListenerAddress("", "127.0.0.1", 0)], 1)
    ((other,),) = open_listeners([ListenerAddress("", "127.0.0.1", 0)], 1)
    here = ListenerAddress("public", *kept.socket.getsockname())
    ((taken,),) = adopt_listeners([here], 1, [other, kept])
    assert (taken.name, taken.socket) == ("public", kept.socket)
    assert other.socket.fileno() == -1
    kept.socket.close()
