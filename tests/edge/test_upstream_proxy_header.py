"""PROXY protocol to upstreams: the header's bytes, and connections that speak for one client."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as some

from proxy.edge import upstream_proxy_header
from proxy.edge.config_upstreams import TargetConfig, UpstreamConfig
from tests.edge.conftest import StartEdge
from tests.support.client import get, post
from tests.support.origin import Origin, OriginConnection, answer

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"


@pytest.mark.parametrize(
    ("source", "destination", "line"),
    [
        (("192.0.2.1", 5), ("198.51.100.2", 80), b"PROXY TCP4 192.0.2.1 198.51.100.2 5 80\r\n"),
        (("2001:db8::1", 5), ("2001:db8::2", 80), b"PROXY TCP6 2001:db8::1 2001:db8::2 5 80\r\n"),
        (("192.0.2.1", 0), ("2001:db8::2", 80), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 0 80\r\n"),
    ],
)
def test_version_1_is_one_line_in_one_family(source, destination, line: bytes):
    """The receiver knows no line with two families; the longest has 107 bytes."""
    made = upstream_proxy_header.header("v1", source, destination)
    words = made.split()
    assert [ipaddress.ip_address(word.decode()) for word in words[2:4]] == [
        ipaddress.ip_address(word.decode()) for word in line.split()[2:4]
    ]
    assert (words[:2], words[4:]) == (line.split()[:2], line.split()[4:])
    assert made.endswith(b"\r\n")
    assert len(made) <= 107


@given(some.ip_addresses(), some.ip_addresses(), some.integers(0, 65535), some.integers(0, 65535))
def test_version_2_reads_back_as_what_was_said(first, second, first_port: int, second_port: int):
    """Section 2.2: signature, version and command, family, length, addresses, ports."""
    made = upstream_proxy_header.header("v2", (str(first), first_port), (str(second), second_port))
    assert made[:13] == SIGNATURE + b"\x21"
    size = {0x11: 4, 0x21: 16}[made[13]]
    assert int.from_bytes(made[14:16]) == len(made) - 16 == 2 * size + 4
    addresses = made[16:]
    found = [ipaddress.ip_address(addresses[at : at + size]) for at in (0, size)]
    assert [getattr(address, "ipv4_mapped", None) or address for address in found] == [
        getattr(address, "ipv4_mapped", None) or address for address in (first, second)
    ]
    assert int.from_bytes(addresses[-4:-2]) == first_port
    assert int.from_bytes(addresses[-2:]) == second_port


@pytest.mark.parametrize(
    ("client", "peer", "local", "expected"),
    [
        pytest.param(
            "192.0.2.1", ("192.0.2.1", 7), ("10.0.0.1", 80), (("192.0.2.1", 7), ("10.0.0.1", 80)), id="direct"
        ),
        pytest.param(
            "192.0.2.1",
            ("::ffff:192.0.2.1", 7, 0, 0),
            ("::ffff:10.0.0.1", 80, 0, 0),
            (("192.0.2.1", 7), ("10.0.0.1", 80)),
            id="mapped",
        ),
        pytest.param(
            "192.0.2.1",
            ("10.9.9.9", 7),
            ("10.0.0.1", 80),
            (("192.0.2.1", 0), ("10.0.0.1", 80)),
            id="behind a proxy",
        ),
        pytest.param(
            "2001:db8::1", "", "/run/edge.sock", (("2001:db8::1", 0), ("::", 0)), id="unix listener"
        ),
    ],
)
def test_port_is_said_only_when_it_is_the_clients(client, peer, local, expected):
    """A port of somebody else beside the client's address would be a lie in two logs."""
    assert upstream_proxy_header.endpoints(client, peer, local) == expected


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_each_connection_says_whom_it_speaks_for_and_serves_nobody_else(
    start_edge: StartEdge, origin: Origin, version
):
    """The upstream takes the address of the connection for that of every request on it."""
    headers: list[bytes] = []

    async def behave(connection: OriginConnection) -> None:
        if version == "v1":
            headers.append(await connection.read_until(b"\r\n"))
        else:
            start = await connection.read_exactly(16)
            headers.append(start + await connection.read_exactly(int.from_bytes(start[14:])))
        await connection.read_request()
        await connection.send(answer())
        await connection.see_end()

    origin.behave = behave
    target = TargetConfig("127.0.0.1", origin.port)
    edge = await start_edge(upstreams=(UpstreamConfig("default", (target,), proxy_protocol=version),))
    ports = []
    for source in ("127.0.0.7", "127.0.0.8"):
        client = await edge.connect(source=source)
        ports += [client.socket.getsockname()[1]] * 2
        assert (await client.fetch(get())).body == b"hello"
        assert (await client.fetch(post(b"x" * 50_000))).body == b"hello"
    expected = [
        upstream_proxy_header.header(version, (source, port), ("127.0.0.1", edge.port))
        for source, port in zip(["127.0.0.7"] * 2 + ["127.0.0.8"] * 2, ports, strict=True)
    ]
    assert headers == expected
    assert edge.worker.context.upstreams.idle_count == 0


async def test_client_behind_a_trusted_proxy_is_named_by_its_own_address(
    start_edge: StartEdge, origin: Origin
):
    """Two clients on one connection of the proxy are two addresses to the upstream."""
    headers: list[bytes] = []

    async def behave(connection: OriginConnection) -> None:
        headers.append(await connection.read_until(b"\r\n"))
        await connection.read_request()
        await connection.send(answer())

    origin.behave = behave
    target = TargetConfig("127.0.0.1", origin.port)
    edge = await start_edge(
        trusted_proxies=("127.0.0.1/32",),
        upstreams=(UpstreamConfig("default", (target,), proxy_protocol="v1"),),
    )
    client = await edge.connect()
    for address in ("192.0.2.1", "2001:db8::9"):
        assert (await client.fetch(get("/", f"X-Forwarded-For: {address}"))).status == 200
    assert [header.split()[2] for header in headers] == [b"192.0.2.1", b"2001:db8::9"]
    assert [header.split()[4] for header in headers] == [b"0", b"0"]
