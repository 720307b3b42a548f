"""Verbs that work on files: run in this process, in a folder of their own."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.cli import main

Sentra = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path: Path):
    """The variables and the folder of whoever runs the tests must not decide them."""
    for name in list(os.environ):
        if name.startswith("SENTRA_") or name in ("TYK_GATEWAY_URL", "LOG_LEVEL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sentra(capsys) -> Sentra:
    """Runs one command; returns (exit status, what it printed, what it complained)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
