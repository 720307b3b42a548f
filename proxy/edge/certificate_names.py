"""A certificate in PEM -> the DNS names it is for (subjectAltName, RFC 5280 section 4.2.1.6).

Python's ssl tells them only after a handshake. What is read here only chooses a certificate for a client, it
proves nothing; a common name is not looked at, clients have stopped to do so as well (RFC 6125).
"""

import ssl
from collections.abc import Iterator
from typing import Final

_OBJECT_IDENTIFIER: Final = 0x06
_OCTET_STRING: Final = 0x04
_EXTENSIONS: Final = 0xA3
_DNS_NAME: Final = 0x82
_SUBJECT_ALT_NAME: Final = b"\x55\x1d\x11"
_END: Final = "-----END CERTIFICATE-----"


def dns_names(pem: str) -> tuple[str, ...]:
    """Of the first certificate, in lower case, in its order. Raises ValueError when it is none."""
    start, end = pem.find("-----BEGIN CERTIFICATE-----"), pem.find(_END)
    if start < 0 or end < start:
        raise ValueError("has no certificate in PEM form")
    certificate = ssl.PEM_cert_to_DER_cert(pem[start : end + len(_END)])
    try:
        return tuple(_alternative_names(certificate))
    except IndexError as error:
        raise ValueError("has a certificate that is cut short") from error


def _alternative_names(certificate: bytes) -> Iterator[str]:
    (_, signed) = next(_items(certificate))
    (_, to_be_signed) = next(_items(signed))
    for tag, value in _items(to_be_signed):
        if tag == _EXTENSIONS:
            for _, extensions in _items(value):
                for _, extension in _items(extensions):
                    yield from _names_of(extension)


def _names_of(extension: bytes) -> Iterator[str]:
    parts = list(_items(extension))
    if parts[0] != (_OBJECT_IDENTIFIER, _SUBJECT_ALT_NAME) or parts[-1][0] != _OCTET_STRING:
        return
    for _, names in _items(parts[-1][1]):
        for tag, name in _items(names):
            if tag == _DNS_NAME:
                yield name.decode("ascii").lower()


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, value) of each element in a row. Raises IndexError when one reaches beyond the end."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[position : position + count], "big")
            position += count
        end = position + length
        if end > len(data):
            raise IndexError(end)
        yield tag, data[position:end]
        position = end
