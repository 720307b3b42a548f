"""Events of the workers: any amount may come, a bounded amount is kept."""

import pytest

from proxy.control import denials as recording
from proxy.control.denials import DenialRecorder, parse
from proxy.errors import StoreError


class Kept:
    """The one method of a store that the recorder uses."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.is_broken = False

    async def add_denials(self, new) -> None:
        if self.is_broken:
            raise StoreError("disk full")
        self.lines += [denial.line for denial in new]


async def test_lines_of_all_frames_are_written_in_order():
    kept = Kept()
    recorder = DenialRecorder(kept)  # type: ignore[arg-type]  # the one method that is used
    recorder.take(b'{"n":1}\n{"n":2}\n\n')
    recorder.take(b'{"n":3}')
    await recorder.flush()
    assert kept.lines == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
    assert (recorder.recorded_count, recorder.dropped_count) == (3, 0)


async def test_more_than_fits_is_counted_not_kept(monkeypatch):
    """A flood of denials is exactly when memory is short."""
    monkeypatch.setattr(recording, "_PENDING_COUNT", 2)
    recorder = DenialRecorder(Kept())  # type: ignore[arg-type]  # the one method that is used
    recorder.take(b"{}\n" * 5)
    await recorder.flush()
    assert (recorder.recorded_count, recorder.dropped_count) == (2, 3)


async def test_oversized_and_foreign_lines_are_counted_not_kept():
    kept = Kept()
    recorder = DenialRecorder(kept)  # type: ignore[arg-type]  # the one method that is used
    recorder.take(b'{"x":"%s"}\nnot json\n[]\n{}\n' % (b"x" * 9000))
    await recorder.flush()
    assert (recorder.recorded_count, recorder.dropped_count, kept.lines) == (1, 3, [b"{}"])


async def test_store_that_refuses_costs_the_batch_and_nothing_else():
    """Denials are history; the edge goes on."""
    kept = Kept()
    recorder = DenialRecorder(kept)  # type: ignore[arg-type]  # the one method that is used
    kept.is_broken = True
    recorder.take(b"{}\n")
    await recorder.flush()
    kept.is_broken = False
    recorder.take(b"{}\n")
    await recorder.flush()
    assert (recorder.recorded_count, recorder.dropped_count) == (1, 1)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"time": 10.5, "client": "192.0.2.1"}', (10500, "192.0.2.1")),
        (b"{}", (99000, "")),
        (b'{"time": "x", "client": 5}', (99000, "")),
    ],
)
def test_time_and_client_are_taken_where_they_are(line, expected):
    """A worker of another version may send other fields."""
    denial = parse(line, 99.0)
    assert denial is not None
    assert (denial.time_ms, denial.client) == expected
