"""What holds the rooms apart: import directions, light starts, a wheel that carries what it should, and a
table of proofs that is true.
"""

import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import proxy
from tests.support.corpus import ACCEPTED, REFUSED

_ROOT = Path(__file__).resolve().parents[1]
_README = _ROOT / "tests/README.md"
_CASES = [case.name for case in REFUSED] + [case.name for case in ACCEPTED]
_CITED = re.compile(r"`(?P<path>[\w/.]*\.(?:py|rs))?::(?P<name>\w+|\*)`")

# What a process that serves or supervises must not pay for at its start.
_HEAVY = ("aiohttp", "pydantic", "pydantic_settings", "structlog", "redis", "prometheus_client")


def modules_after_import(name: str) -> set[str]:
    """Everything that a fresh interpreter has loaded after `import name`."""
    code = f"import sys, {name}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_imported_proxy_is_ours():
    """A package of the same name exists on PyPI."""
    assert Path(proxy.__file__).is_relative_to(_ROOT)


def test_import_directions_hold():
    """The contracts stand in pyproject.toml; a direction that is broken once is never mended."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_edge_worker_starts_without_heavy_packages():
    """A killed worker is back in under a second; pydantic alone costs a third of that on a busy core."""
    assert modules_after_import("proxy.edge.__main__").isdisjoint(_HEAVY)


def test_supervisor_loads_little_beside_the_standard_library():
    """It looks after the others: what it does not have cannot fail."""
    loaded = modules_after_import("proxy.supervisor.__main__")
    assert loaded.isdisjoint({*_HEAVY, "orjson", "uvloop", "asyncio", "ssl", "http.client"})


def test_command_line_starts_without_heavy_packages():
    """`sentra-proxy --help` and the supervisor of a quickstart share this start."""
    assert modules_after_import("proxy.cli").isdisjoint(_HEAVY)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as a user builds it, from the crates that `make build` has compiled already."""
    folder = tmp_path_factory.mktemp("wheel")
    maturin = str(Path(sys.executable).with_name("maturin"))
    command = [
        maturin,
        "build",
        "--release",
        "--locked",
        "--interpreter",
        sys.executable,
        "--out",
        str(folder),
    ]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.timeout(600)
def test_wheel_holds_the_packages_and_no_rust_source(wheel: Path):
    """The crates stand beside the Python package in the checkout; users get the compiled module only."""
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith((".rs", "Cargo.toml", "Cargo.lock"))] == []
    assert [name for name in names if name.startswith(("tests/", "bench/"))] == []
    sources = {
        path.relative_to(_ROOT).as_posix()
        for package in ("proxy", "fastmatch")
        for path in (_ROOT / package).rglob("*.py*")
        if path.suffix in (".py", ".pyi") and "fuzz" not in path.parts
    }
    assert sources <= set(names)
    assert "fastmatch/py.typed" in names
    assert len([name for name in names if name.startswith("fastmatch/_native.cpython-")]) == 1


@pytest.mark.timeout(600)
def test_installed_wheel_imports_in_a_clean_environment(wheel: Path, tmp_path: Path):
    """From site-packages, with no checkout in sight."""
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean/bin/python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, cwd=tmp_path, check=True)
    code = "import fastmatch._native as native, proxy; print(native.__file__); print(proxy.__file__)"
    done = subprocess.run(
        [python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        assert Path(line).is_relative_to(tmp_path / "clean")
    assert (tmp_path / "clean/bin/sentra-proxy").exists()


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
