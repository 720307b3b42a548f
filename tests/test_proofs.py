"""tests/README.md says which test proves what. What it names exists, and nothing is claimed without a
test.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.corpus import ACCEPTED, REFUSED

_ROOT = Path(__file__).resolve().parents[1]
_README = _ROOT / "tests/README.md"
_CASES = [case.name for case in REFUSED] + [case.name for case in ACCEPTED]
_CITED = re.compile(r"`(?P<path>[\w/.]*\.(?:py|rs))?::(?P<name>\w+|\*)`")


def rows() -> Iterator[tuple[str, str]]:
    """(what, proofs) of every table."""
    for line in _README.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 2 and cells[1] != "proved by":
            yield cells[0], cells[1]


def citations(proofs: str) -> Iterator[tuple[Path, str]]:
    """A name without a path belongs to the file named before it."""
    path = ""
    for found in _CITED.finditer(proofs):
        path = found["path"] or path
        yield (_ROOT if path.endswith(".rs") else _ROOT / "tests") / path, found["name"]


@pytest.mark.parametrize(("what", "proofs"), [pytest.param(*row, id=row[0]) for row in rows()])
def test_row_is_proved_by_tests_that_exist(what: str, proofs: str):
    """A renamed test takes its row along, or this fails."""
    cited = list(citations(proofs))
    assert cited, f"{what!r} names no test"
    for path, name in cited:
        text = path.read_text(encoding="utf-8")
        assert name == "*" or re.search(rf"^\s*(async )?(def|fn) {name}\(", text, re.MULTILINE), (path, name)
    if "corpus" in proofs.split(" · "):
        for rule in re.findall(r"^[RS]\d+", what):
            assert any(rule in name.split() for name in _CASES), f"no case tries {rule}"


def test_every_rule_has_a_row():
    """The rules of HTTP/1.1 are numbered; a gap would not be seen otherwise."""
    expected = [
        f"{kind}{number}" for kind, last in (("R", 19), ("S", 10), ("P", 12)) for number in range(1, last + 1)
    ]
    found = [what.split()[0] for what, _ in rows()]
    assert [rule for rule in expected if rule not in found] == []


def test_no_citation_is_overlooked():
    """A slip of the pen would make a proof disappear in silence."""
    text = _README.read_text(encoding="utf-8")
    assert len(re.findall(r"::", text)) == sum(1 for _ in _CITED.finditer(text))
