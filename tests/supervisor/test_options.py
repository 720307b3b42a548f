"""How many workers a machine can feed."""

import os
from pathlib import Path

import pytest

from proxy.supervisor import ListenerAddress, Programs, SupervisorOptions, available_cpu_count
from proxy.supervisor.options import _quota_cpu_count


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000", None),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("nonsense", None),
    ],
)
def test_quota_of_the_second_layout_is_rounded_up(tmp_path: Path, content: str, expected: int | None):
    """Half a core more than one is worth a second worker."""
    (tmp_path / "cpu.max").write_text(content)
    assert _quota_cpu_count(tmp_path) == expected


def test_quota_of_the_first_layout_is_read(tmp_path: Path):
    """Older container hosts; -1 stands for no limit there."""
    folder = tmp_path / "cpu"
    folder.mkdir()
    (folder / "cpu.cfs_quota_us").write_text("300000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert _quota_cpu_count(tmp_path) == 3
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert _quota_cpu_count(tmp_path) is None


def test_count_stays_within_the_affinity():
    """More workers than cores only take turns."""
    assert 1 <= available_cpu_count() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "options",
    [
        SupervisorOptions(runtime_directory=Path("run"), listen=(("::1", 8080),), worker_count=2),
        SupervisorOptions(
            runtime_directory=Path("/var/run/é"),
            listen=(("127.0.0.1", 1), ("127.0.0.1", 2)),
            worker_count=3,
            listeners=(ListenerAddress("a", "::", 443), ListenerAddress("b", path="/run/b", mode=0o600)),
            limit_entry_count=4,
            address_entry_count=5,
            engine="aiohttp",
            config_path=Path("sentra.toml"),
            control_listen=(("127.0.0.1", 3),),
            gateway_listen=("127.0.0.1", 4),
            drain_seconds=1.5,
            stop_seconds=2.5,
            ready_command=("echo", 'it\'s "ready"'),
            programs=Programs(edge=("other",)),
        ),
    ],
)
def test_options_travel_as_json(options: SupervisorOptions):
    """Between the process that read settings and the one that supervises."""
    assert SupervisorOptions.from_json(options.to_json()) == options
