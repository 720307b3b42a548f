"""One list in a fresh process -> how much the process has grown by it, as JSON on stdout.

`hold KIND FOLDER NAME`, `compile FOLDER NAME`, or `map DECISION`, which says `mapped` and keeps it until its
input ends.
"""

import gc
import json
import sys
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench import lists
from bench.peers import matchers
from fastmatch import Blocklist, Builder

_CHUNK_BYTES = 16 << 20
HELD_KINDS = ("sentra", "pytricia", "py-radix", "set", "set-of-int", "pyroaring", "maxminddb")


def main(arguments: list[str]) -> None:
    match arguments:
        case ["hold", kind, folder, name]:
            print(json.dumps({"resident_bytes": hold(kind, Path(folder), name)}))
        case ["compile", folder, name]:
            print(json.dumps({"peak_bytes": compile_list(Path(folder), name)}))
        case ["map", decision]:
            held = Blocklist.open(decision)
            print("mapped", flush=True)
            sys.stdin.read()
            del held
        case _:
            raise SystemExit(__doc__)


def hold(kind: str, folder: Path, name: str) -> int:
    """Imports come first, addresses one by one: nothing that was freed before can hide the growth."""
    build = _builders(folder, name)[kind]
    _warm_up(kind)
    gc.collect()
    before = _status_bytes("VmRSS")
    held = build()
    gc.collect()
    grown = _status_bytes("VmRSS") - before
    del held
    return grown


def _builders(folder: Path, name: str) -> dict[str, Callable[[], object]]:
    lines = lists.lines_file(folder, name)
    return {
        "sentra": partial(Blocklist.open, str(lists.decision_file(folder, name))),
        "pytricia": lambda: matchers.pytricia(_texts(lines)),
        "py-radix": lambda: matchers.radix(_texts(lines)),
        "set": lambda: matchers.address_set(_texts(lines)),
        "set-of-int": lambda: matchers.number_set(_numbers(lines)),
        "pyroaring": lambda: matchers.roaring(array("I", _numbers(lines))),
        "maxminddb": lambda: _touched(matchers.open_maxmind(folder / "hosts.mmdb"), lines),
    }


def _touched(call: matchers.Call, lines: Path) -> matchers.Call:
    """A mapped file counts by the pages that were read."""
    for text in _texts(lines):
        call(text)
    return call


def _warm_up(kind: str) -> None:
    small = ("192.0.2.1",)
    match kind:
        case "pytricia":
            matchers.pytricia(small)
        case "py-radix":
            matchers.radix(small)
        case "pyroaring":
            matchers.roaring((1, 2))
        case "maxminddb":
            matchers.package("maxminddb")


def _texts(lines: Path) -> Iterator[str]:
    with lines.open(encoding="ascii") as source:
        for line in source:
            yield line.rstrip("\n")


def _numbers(lines: Path) -> Iterator[int]:
    for text in _texts(lines):
        first, second, third, fourth = text.split(".")
        yield int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth)


def compile_list(folder: Path, name: str) -> int:
    """Lines of a file into the two files, 16 MiB of text at a time."""
    before = _status_bytes("VmRSS")
    builder = Builder()
    with lists.lines_file(folder, name).open("rb") as source:
        while text := source.read(_CHUNK_BYTES):
            lists.add_text(builder, text + source.readline())
    decision, evidence = lists.decision_file(folder, name), lists.evidence_file(folder, name)
    builder.write(str(decision), str(evidence), epoch=1, sequence=1)
    return _status_bytes("VmHWM") - before


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
