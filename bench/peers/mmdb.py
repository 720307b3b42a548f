"""IPv4 hosts -> a MaxMind DB file, for the reader `maxminddb`.

mmdb-writer takes 50 us of CPU time for a host; this one knows only single IPv4 hosts that share one record,
and takes 4 us. Format: MaxMind DB File Format Specification 2.0.
"""

import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

_BITS = 32
_SEPARATOR = bytes(16)
_METADATA_MARK = b"\xab\xcd\xefMaxMind.com"
_STRING, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 5, 6, 7, 9, 11
_FIRST_EXTENDED_TYPE = 8
_LARGEST_SHORT_SIZE = 28


def write(path: Path, addresses: Iterable[int], record: dict[str, int]) -> None:
    """Each address gets `record`; everything else is not found."""
    path.write_bytes(encode(sorted(set(addresses)), record))


def encode(addresses: Sequence[int], record: dict[str, int]) -> bytes:
    """`addresses`: ascending and distinct."""
    node_count = _count_nodes(addresses)
    tree = _tree(addresses, node_count)
    if sys.byteorder == "little":
        tree.byteswap()
    metadata = {
        "node_count": _number(_UINT32, node_count),
        "record_size": _number(_UINT16, 32),
        "ip_version": _number(_UINT16, 4),
        "database_type": _text("bench"),
        "languages": _control(_ARRAY, 0),
        "binary_format_major_version": _number(_UINT16, 2),
        "binary_format_minor_version": _number(_UINT16, 0),
        # libmaxminddb takes zero for a missing field.
        "build_epoch": _number(_UINT64, 1),
        "description": _control(_MAP, 0),
    }
    body = _encoded_map({name: _number(_UINT16, value) for name, value in record.items()})
    return tree.tobytes() + _SEPARATOR + body + _METADATA_MARK + _encoded_map(metadata)


def _count_nodes(addresses: Sequence[int]) -> int:
    """A node for each distinct prefix of 0 to 31 bits."""
    count = _BITS if addresses else 1
    previous = addresses[0] if addresses else 0
    for address in addresses:
        if differs := (address ^ previous).bit_length():
            count += differs - 1
        previous = address
    return count


def _tree(addresses: Sequence[int], node_count: int) -> "array[int]":
    """Two records a node: a node's number, the record's place, or `node_count` for nothing."""
    found = node_count + len(_SEPARATOR)
    tree = array("I", [node_count]) * (2 * node_count)
    # The way to the address before, a node for each depth; ascending order leaves only its lower part.
    way = [0] * _BITS
    next_node = 1
    previous = None
    for address in addresses:
        shared = 0 if previous is None else _BITS - (address ^ previous).bit_length()
        node = way[shared]
        for depth in range(shared, _BITS - 1):
            tree[2 * node + (address >> (_BITS - 1 - depth) & 1)] = next_node
            node = next_node
            way[depth + 1] = node
            next_node += 1
        tree[2 * node + (address & 1)] = found
        previous = address
    return tree


def _encoded_map(values: dict[str, bytes]) -> bytes:
    return _control(_MAP, len(values)) + b"".join(_text(name) + value for name, value in values.items())


def _text(value: str) -> bytes:
    return _control(_STRING, len(value.encode("utf-8"))) + value.encode("utf-8")


def _number(kind: int, value: int) -> bytes:
    length = {_UINT16: 2, _UINT32: 4, _UINT64: 8}[kind]
    return _control(kind, length) + value.to_bytes(length, "big")


def _control(kind: int, size: int) -> bytes:
    """Type in the upper three bits, size in the lower five; the forms of larger sizes are not needed here."""
    if size > _LARGEST_SHORT_SIZE:
        raise ValueError(f"a size of {size} is above {_LARGEST_SHORT_SIZE}, whose form is not written here")
    if kind < _FIRST_EXTENDED_TYPE:
        return bytes((kind << 5 | size,))
    return bytes((size, kind - 7))
