"""What Python programs ask today whether a target is listed: listed targets -> a call for one target.

Answers differ in richness: sets know no networks and no scores. The packages are the dependency group
`bench`.
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.peers import mmdb

Call = Callable[[Any], object]

SCORE = 8


def package(name: str) -> Any:  # noqa: ANN401  # packages without types
    """Imported when it is built: other benches do not need it."""
    return importlib.import_module(name)


# ---------------------------------------------------------------- addresses


def address_set(texts: Iterable[str]) -> Call:
    return frozenset(texts).__contains__


def number_set(addresses: Iterable[int]) -> Call:
    return frozenset(addresses).__contains__


def roaring(addresses: Iterable[int]) -> Call:
    return package("pyroaring").BitMap(addresses).__contains__  # type: ignore[no-any-return]  # untyped


def radix(texts: Iterable[str]) -> Call:
    tree = package("radix").Radix()
    add = tree.add
    for text in texts:
        add(text).data["score"] = SCORE
    return tree.search_best  # type: ignore[no-any-return]  # untyped


def pytricia(texts: Iterable[str]) -> Call:
    trie = package("pytricia").PyTricia(32)
    insert = trie.insert
    for text in texts:
        insert(text, SCORE)
    return trie.get  # type: ignore[no-any-return]  # untyped


def maxmind(addresses: Iterable[int], path: Path) -> Call:
    """Writes the file and opens it, mapped, with the reader in C."""
    mmdb.write(path, addresses, {"score": SCORE})
    return open_maxmind(path)


def open_maxmind(path: Path) -> Call:
    reader = package("maxminddb").open_database(path, package("maxminddb").MODE_MMAP_EXT)
    return reader.get  # type: ignore[no-any-return]  # untyped


# ---------------------------------------------------------------- names


def suffix_set(names: Iterable[str]) -> Call:
    """Strips a label at a time until a listed name is left."""
    listed = frozenset(names)

    def is_listed(name: str) -> bool:
        while name:
            if name in listed:
                return True
            _, _, name = name.partition(".")
        return False

    return is_listed


def marisa(names: Iterable[str]) -> Call:
    """A static trie of the names backwards, so that a listed suffix is a prefix."""
    trie = package("marisa_trie").Trie([f"{name[::-1]}." for name in names])
    prefixes = trie.prefixes

    def listed_suffixes(name: str) -> Sequence[str]:
        return prefixes(f"{name[::-1]}.")  # type: ignore[no-any-return]  # untyped

    return listed_suffixes
