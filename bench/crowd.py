"""Many connections that have been answered once and say nothing more."""

import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.load import LoadError

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_TIMEOUT_SECONDS = 60.0
_ANSWER_BYTES = 65536
_OTHER_DESCRIPTORS = 200


@contextmanager
def idle_connections(port: int, count: int, context: ssl.SSLContext | None = None) -> Iterator[None]:
    """`count` of them, open until the end. Raises LoadError at any answer but a 200."""
    allow_descriptors(count + _OTHER_DESCRIPTORS)
    with ExitStack() as stack:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)
            if context is not None:
                connection = context.wrap_socket(connection, server_hostname="localhost")
            stack.enter_context(connection)
            connection.sendall(_REQUEST)
            answer = connection.recv(_ANSWER_BYTES)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise LoadError(f"an answer is no 200: {answer[:80]!r}")
        yield


def allow_descriptors(count: int) -> None:
    """For this process and what it starts from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        raise LoadError(f"{count} open files are needed and the limit is {hard}: raise `ulimit -Hn`")
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
