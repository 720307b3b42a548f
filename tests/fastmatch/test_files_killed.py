"""A writer that is killed at any moment leaves the old list or the new one, never a half."""

import errno
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fastmatch import Blocklist, Builder, Entry

HOSTS = 3000
KILLS = int(os.environ.get("SENTRA_KILLS", "25"))

# Argument 1: the directory. Writes the same two names again and again, each time another list.
WRITER = f"""
import sys
from fastmatch import Builder, Entry
sequence = 0
while True:
    sequence += 1
    builder = Builder()
    for number in range({HOSTS}):
        host = f"10.{{sequence % 250}}.{{number // 250}}.{{number % 250}}"
        builder.add(Entry(host, score=9, sources=[str(sequence)]))
    builder.write(f"{{sys.argv[1]}}/decision", f"{{sys.argv[1]}}/evidence", sequence=sequence)
    print(sequence, flush=True)
"""


def check(decision: Path, evidence: Path) -> int:
    """The whole list that is at the final path; its sequence."""
    blocklist = Blocklist.open(str(decision), verify=True)
    _, sequence = blocklist.version
    assert len(blocklist) == HOSTS
    for number in (0, 1234, HOSTS - 1):
        verdict = blocklist[f"10.{sequence % 250}.{number // 250}.{number % 250}"]
        assert verdict.sources == (str(sequence),)
    assert blocklist.lookup(f"10.{(sequence - 1) % 250}.0.1") is None
    # Between the two renames the pair is of two compilations: refused, not mixed up.
    try:
        explained = Blocklist.open(str(decision), str(evidence), verify=True)
    except ValueError as error:
        if "decision and evidence file" not in str(error):
            raise
    else:
        (covering,) = explained.explain(f"10.{sequence % 250}.0.1").covering
        assert covering.entry.sources == (str(sequence),)
    return sequence


def test_a_killed_writer_never_leaves_a_file_that_opens_wrongly(tmp_path):
    """Power and the memory killer do not wait for a good moment."""
    chooser = random.Random(11)
    decision, evidence = tmp_path / "decision", tmp_path / "evidence"
    leftovers = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            # After at least one whole list, at a point that is nowhere in particular.
            for _ in range(chooser.randint(1, 3)):
                published = int(writer.stdout.readline())
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(timeout=chooser.random() * 0.02)
            writer.kill()
        assert check(decision, evidence) >= published
        leftovers += len(list(tmp_path.glob(".*.sentra-part")))
        assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {
            "decision",
            "evidence",
        }
    assert leftovers > 0, "no kill hit a writer at work: the test tests nothing"
    Builder().write(str(decision), str(evidence))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decision", "evidence"]


def written(folder: Path) -> tuple[Path, Path, Builder]:
    """A list at its final path, and a builder of another, larger one."""
    decision, evidence = folder / "decision", folder / "evidence"
    first = Builder()
    first.add(Entry("192.0.2.1", score=5))
    first.write(str(decision), str(evidence))
    larger = Builder()
    for number in range(5000):
        larger.add(Entry(f"10.0.{number // 250}.{number % 250}", score=9))
    return decision, evidence, larger


def test_a_file_that_may_not_grow_is_an_os_error_and_leaves_the_old_list(tmp_path):
    """The running list must stay. Needs no rights, unlike the full disk below."""
    decision, evidence, larger = written(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            larger.write(str(decision), str(evidence))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    still_old(decision, evidence)


def still_old(decision: Path, evidence: Path) -> None:
    assert Blocklist.open(str(decision), str(evidence), verify=True)["192.0.2.1"].score == 5
    assert sorted(path.name for path in decision.parent.iterdir()) == ["decision", "evidence"]


@pytest.fixture
def small_disk(tmp_path):
    """48 KiB that a list of 5000 hosts does not fit into."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_an_os_error_and_leaves_the_old_list(small_disk):
    """The pod's volume is small."""
    decision, evidence, larger = written(small_disk)
    with pytest.raises(OSError) as raised:  # noqa: PT011 - the number says it, the text is the kernel's
        larger.write(str(decision), str(evidence))
    assert raised.value.errno == errno.ENOSPC
    still_old(decision, evidence)


def test_a_read_only_volume_is_an_os_error_and_leaves_the_old_list(small_disk):
    """As Kubernetes mounts them."""
    decision, evidence, larger = written(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError) as raised:  # noqa: PT011 - as above
        larger.write(str(decision), str(evidence))
    assert raised.value.errno == errno.EROFS
    still_old(decision, evidence)


# Root may write where nobody may: the user and group that own nothing.
NOBODY = 65534


@pytest.fixture
def open_folder():
    """As tmp_path, but below no folder that is the test user's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def error_number_of_nobody(write: Callable[[], None]) -> int:
    """Of the OSError that `write` raises without root, 0 for none. In a child: rights do not come back."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            write()
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_directory_without_permission_is_an_os_error_and_leaves_the_old_list(open_folder):
    """A wrong owner is the commonest mistake of a new deployment."""
    decision, evidence, larger = written(open_folder)
    open_folder.chmod(0o555)
    try:
        number = error_number_of_nobody(lambda: larger.write(str(decision), str(evidence)))
    finally:
        open_folder.chmod(0o755)
    assert errno.errorcode[number] == "EACCES"
    still_old(decision, evidence)
