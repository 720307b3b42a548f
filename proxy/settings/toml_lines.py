"""Text of a TOML file -> the line on which each key stands.

`tomllib` gives values without places, and a refused key without its line sends a person searching. The text
has already been parsed by `tomllib` when this runs, so only places are looked for here, never errors.
"""

import re

KeyPath = tuple[str | int, ...]

_KEY_PART = re.compile(r"""[ \t]*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))[ \t]*""")
_OPENERS, _CLOSERS = "[{", "]}"


def key_lines(text: str) -> dict[KeyPath, int]:
    """Paths of tables (`("lists", 0)`) and keys (`("lists", 0, "score")`) -> line number from 1."""
    lines = text.splitlines()
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    index = 0
    while index < len(lines):
        line = lines[index].strip()
        number = index + 1
        if line.startswith("[["):
            name = _resolve(_parts(line[2:])[0], counts)
            counts[name] = counts.get(name, -1) + 1
            table = (*name, counts[name])
            found.setdefault(name, number)
            found[table] = number
        elif line.startswith("["):
            table = _resolve(_parts(line[1:])[0], counts)
            found.setdefault(table, number)
        elif line and not line.startswith("#"):
            parts, rest = _parts(line)
            for end in range(1, len(parts) + 1):
                found.setdefault((*table, *parts[:end]), number)
            index = _end_of_value(lines, index, rest)
        index += 1
    return found


def _resolve(parts: KeyPath, counts: dict[KeyPath, int]) -> KeyPath:
    """The table that a header names: below an array of tables it is that array's newest element."""
    path: KeyPath = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if path in counts and position < len(parts) - 1:
            path = (*path, counts[path])
    return path


def nearest_line(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """The line of `path`, or of the closest table or key around it."""
    for end in range(len(path), 0, -1):
        if (line := lines.get(path[:end])) is not None:
            return line
    return None


def _parts(text: str) -> tuple[KeyPath, str]:
    """A dotted key at the start of `text` -> (its parts, what follows it)."""
    parts: list[str | int] = []
    position = 0
    while match := _KEY_PART.match(text, position):
        parts.append(next(group for group in match.groups() if group is not None))
        position = match.end()
        if text[position : position + 1] != ".":
            break
        position += 1
    return tuple(parts), text[position:]


def _end_of_value(lines: list[str], index: int, rest: str) -> int:
    """The index of the last line of the value that begins in `rest` on line `index`."""
    depth, quote = _scan(rest, 0, "")
    while (depth > 0 or quote) and index + 1 < len(lines):
        index += 1
        depth, quote = _scan(lines[index], depth, quote)
    return index


def _scan(text: str, depth: int, quote: str) -> tuple[int, str]:
    """(bracket depth, open multi-line quote) after this line, given those before it."""
    position = 0
    while position < len(text):
        if quote:
            position, quote = _skip_string(text, position, quote)
            continue
        character = text[position]
        if character == "#":
            break
        if character in "\"'":
            quote = character * 3 if text.startswith(character * 3, position) else character
            position += len(quote)
            continue
        depth += (character in _OPENERS) - (character in _CLOSERS)
        position += 1
    return depth, quote if len(quote) == 3 else ""


def _skip_string(text: str, position: int, quote: str) -> tuple[int, str]:
    """(where the string ends, the quote that is still open)."""
    while position < len(text):
        if quote[0] == '"' and text[position] == "\\":
            position += 2
        elif text.startswith(quote, position):
            return position + len(quote), ""
        else:
            position += 1
    return position, quote
