"""What holds the rooms apart: import directions, light starts, and a wheel that carries what it should."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import proxy

_ROOT = Path(__file__).resolve().parents[1]

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
