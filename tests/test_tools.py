"""The scripts behind the Makefile: what is missing is said in one line, with status 2."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Path]:
    """A folder of programs that is the whole PATH: the shell's own tools, and scripts by name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sed", "echo", "true"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)

    def add(**scripts: str) -> Path:
        for name, script in scripts.items():
            path = folder / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return folder

    return add


def run(tool: str, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(_ROOT / "tools" / tool), *arguments], env={"PATH": str(path)}, capture_output=True, text=True
    )


def assert_one_line(done: subprocess.CompletedProcess[str], expected: str) -> None:
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr


def test_missing_python_is_named(machine, tmp_path: Path):
    """Nothing in the machine can run the script's question."""
    assert_one_line(
        run("make-environment", machine(), str(tmp_path / "env")), "Python 3.11 or newer is needed"
    )


def test_old_python_is_named_with_its_version(machine, tmp_path: Path):
    """The stand-in fails every question, as an old one fails the first."""
    path = machine(python3='if [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi')
    assert_one_line(run("make-environment", path, str(tmp_path / "env")), "found Python 3.9.2")


def test_python_without_venv_is_named(machine, tmp_path: Path):
    """Debian splits it off; the stand-in knows everything but that."""
    path = machine(python3='case "$2" in *venv*) exit 1;; *) exit 0;; esac')
    assert_one_line(run("make-environment", path, str(tmp_path / "env")), "install python3-venv")


def test_missing_rust_is_named(machine):
    """Before anything is installed or built."""
    assert_one_line(run("need-rust", machine()), "a Rust toolchain is needed")


def test_old_rust_is_named_with_its_version(machine):
    """Debian's own is older than the edition that the crates are written in."""
    path = machine(cargo="true", rustc="echo 'rustc 1.63.0 (4b91a6ea7 2022-08-08)'", cc="true")
    assert_one_line(run("need-rust", path), "found rustc 1.63.0")


def test_missing_linker_is_named(machine):
    """Its absence shows otherwise as a page of linker arguments."""
    path = machine(cargo="true", rustc="echo 'rustc 1.95.0 (f2d3ce0bd 2026-03-21)'")
    assert_one_line(run("need-rust", path), "a C linker is needed")


def test_sufficient_rust_passes_in_silence(machine):
    """Every build asks."""
    path = machine(cargo="true", rustc="echo 'rustc 1.95.0 (f2d3ce0bd 2026-03-21)'", cc="true")
    done = run("need-rust", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_missing_test_programs_are_named_for_a_user_without_rights(machine):
    """One line to copy; nothing is skipped in silence."""
    path = machine(
        id="echo 1000", **{"redis-server": "true", "nginx": "true", "haproxy": "true", "curl": "true"}
    )
    done = run("need-packages", path)
    assert_one_line(done, "run sudo apt-get install wrk strace openssl")


def test_missing_test_programs_are_installed_for_root(machine, tmp_path: Path):
    """What apt-get is told, by an apt-get that writes it down."""
    told = tmp_path / "told"
    path = machine(
        id="echo 0", wrk="true", curl="true", **{"redis-server": "true", "apt-get": f'echo "$@" > {told}'}
    )
    done = run("need-packages", path)
    assert done.returncode == 0, done.stderr
    assert told.read_text().split()[-2:] == ["strace", "openssl"]


def test_the_bench_asks_for_the_headers_of_its_python(machine):
    """A peer that has no wheel is built; without Python.h the compiler's message would be the only hint."""
    installed = ("redis-server", "nginx", "haproxy", "wrk", "strace", "curl", "openssl", "cc")
    programs = dict.fromkeys(installed, "true")
    python = 'case "$2" in *Python.h*) exit 1 ;; *) echo python3.11-dev ;; esac'
    path = machine(id="echo 1000", python=python, **programs)
    assert_one_line(
        run("need-packages", path, "bench", "python"), "run sudo apt-get install valgrind python3.11-dev"
    )


def test_every_target_of_the_makefile_has_a_help_line():
    """`make help` is the list that the README points at."""
    text = (_ROOT / "Makefile").read_text()
    helped = set(re.findall(r"^([a-z-]+):.*## \S", text, re.MULTILINE))
    assert {
        "help",
        "run",
        "test",
        "check",
        "bench",
        "build",
        "clean",
        "check-fuzz",
        "check-miri",
        "check-slow",
        "soak",
    } == helped
    # Inside `make test` a make of ours would tell which folder it enters.
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert {line.split()[0] for line in done.stdout.splitlines()} == helped


def test_continuous_integration_runs_what_the_readme_says():
    """One command, executable, with no settings of its own."""
    path = _ROOT / ".ci/run"
    assert os.access(path, os.X_OK)
    assert path.read_text().splitlines()[-1] == "exec make test"
