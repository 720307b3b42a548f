"""Bodies through the edge to a real nginx: the same bytes arrive, whatever the framing, 64 at a time."""

import contextlib
import hashlib
import http.client
import json
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.conftest import EdgeMaker
from tests.e2e.nginx import start_nginx
from tests.e2e.processes import Edge, ask, resident_bytes, wait_until

_SIZES = {"none": 0, "one": 1, "small": 65536, "large": 100 * 1024 * 1024}
_AT_A_TIME = 64
_CHUNK_BYTES = 262144
_PATIENCE_SECONDS = 200
_WORKER_LIMIT_BYTES = 150 * 1024 * 1024

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], dict[str, str]]:
    """(folder for nginx, contents, SHA-256 in hexadecimal) by name."""
    folder = tmp_path_factory.mktemp("bodies")
    source = random.Random(20)
    contents = {name: source.randbytes(size) for name, size in _SIZES.items()}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    # nginx states the length of an empty file in any case; this one only becomes empty on its way out.
    (folder / "emptied").write_text('<!--#set var="nothing" value="shown" -->')
    return folder, contents, {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


@pytest.fixture
def nginx_edge(bodies, make_edge: EdgeMaker, gateway_port: int, tmp_path: Path) -> Iterator[Edge]:
    """One worker: it has to carry all 64 streams by itself."""
    nginx, port = start_nginx(tmp_path / "nginx", bodies[0], gateway_port)
    edge = make_edge(port, workers=1, more='[blocklist]\non_missing = "open"\n')
    edge.start()
    wait_until(lambda: edge.get("/length/one").status == 200, "nginx answers")
    framings = [ask(port, f"/{framing}/emptied").headers for framing in ("chunked", "closed")]
    assert [headers["Transfer-Encoding"] for headers in framings] == ["chunked", None]
    assert [headers["Content-Length"] for headers in framings] == [None, None]
    yield edge
    nginx.end()


def download(port: int, path: str) -> str:
    """The SHA-256 of the body; raises when it is cut short."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    digest = hashlib.sha256()
    buffer = bytearray(_CHUNK_BYTES)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        while count := response.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    finally:
        connection.close()
    return digest.hexdigest()


def upload(port: int, content: bytes, *, is_chunked: bool) -> dict[str, object]:
    """What the measuring end says of the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    view = memoryview(content)
    parts = (view[start : start + _CHUNK_BYTES] for start in range(0, len(view), _CHUNK_BYTES))
    headers = {} if is_chunked else {"Content-Length": str(len(content))}
    try:
        # An answer before the body's end is the edge's or nginx's own: its status says what went wrong.
        with contextlib.suppress(BrokenPipeError):
            connection.request("POST", "/upload", body=parts, headers=headers, encode_chunked=is_chunked)
        response = connection.getresponse()
        assert response.status == 200, (response.status, response.getheaders(), response.read())
        answer: dict[str, object] = json.loads(response.read())
    finally:
        connection.close()
    return answer


@pytest.mark.parametrize("name", ["none", "one", "small"])
@pytest.mark.parametrize("framing", ["length", "chunked", "closed"])
def test_download_is_byte_identical(nginx_edge: Edge, bodies, framing: str, name: str):
    """Each framing of RFC 9112 section 6.3 that an answer can have."""
    path = f"/{framing}/{name}" if name != "none" or framing == "length" else f"/{framing}/emptied"
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        digests = list(pool.map(lambda _: download(nginx_edge.port, path), range(_AT_A_TIME)))
    assert set(digests) == {bodies[2][name]}


@pytest.mark.parametrize("name", ["none", "one", "small"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_upload_is_byte_identical(nginx_edge: Edge, bodies, name: str, is_chunked: bool):
    """Both framings that a request can have."""
    content, digest = bodies[1][name], bodies[2][name]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        answers = list(
            pool.map(lambda _: upload(nginx_edge.port, content, is_chunked=is_chunked), range(_AT_A_TIME))
        )
    assert answers == [{"sha256": digest, "length": len(content)}] * _AT_A_TIME


def test_64_large_downloads_at_a_time_are_byte_identical(nginx_edge: Edge, bodies):
    """6.4 GB in mixed framings, and the worker does not grow with them."""
    framings = ["length", "chunked", "closed"]
    paths = [f"/{framings[number % 3]}/large" for number in range(_AT_A_TIME)]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        digests = list(pool.map(lambda path: download(nginx_edge.port, path), paths))
    assert set(digests) == {bodies[2]["large"]}
    assert resident_bytes(nginx_edge.workers()[0]) < _WORKER_LIMIT_BYTES


def test_64_large_uploads_at_a_time_are_byte_identical(nginx_edge: Edge, bodies):
    """6.4 GB up, half with a length and half chunked."""
    content, digest = bodies[1]["large"], bodies[2]["large"]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        answers = list(
            pool.map(
                lambda number: upload(nginx_edge.port, content, is_chunked=number % 2 == 1), range(_AT_A_TIME)
            )
        )
    assert answers == [{"sha256": digest, "length": len(content)}] * _AT_A_TIME
    assert resident_bytes(nginx_edge.workers()[0]) < _WORKER_LIMIT_BYTES


def test_worker_stays_small_while_64_clients_read_slowly(nginx_edge: Edge):
    """Without back-pressure the upstream's speed would fill the worker with 6.4 GB."""
    worker = nginx_edge.workers()[0]
    finished = threading.Event()
    taken = threading.Semaphore(0)

    def read_slowly() -> None:
        with socket.create_connection(("127.0.0.1", nginx_edge.port), timeout=_PATIENCE_SECONDS) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.sendall(b"GET /length/large HTTP/1.1\r\nHost: edge.example\r\n\r\n")
            for _ in range(40):
                client.recv(16384)
                finished.wait(0.05)
            taken.release()
            finished.wait(_PATIENCE_SECONDS)

    highest = 0
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        readers = [pool.submit(read_slowly) for _ in range(_AT_A_TIME)]
        try:
            for _ in range(_AT_A_TIME):
                while not taken.acquire(timeout=0.05):
                    highest = max(highest, resident_bytes(worker))
            highest = max(highest, resident_bytes(worker))
        finally:
            finished.set()
    for reader in readers:
        reader.result()
    assert highest < _WORKER_LIMIT_BYTES
