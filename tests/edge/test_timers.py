"""The wheel: nothing expires early, nothing is forgotten, and nothing is looked at for nothing."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.edge.timers import NEVER, TURN_SECONDS, Wheel, turns


class Thing:
    """Records the turns at which it expired."""

    def __init__(self, wheel: Wheel) -> None:
        self.wheel = wheel
        self.deadline = NEVER
        self.due = NEVER
        self.expired: list[int] = []

    def expire(self) -> None:
        self.expired.append(self.wheel.turn)

    def wait(self, turn_count: int) -> None:
        self.deadline = self.wheel.turn + turn_count
        if self.deadline < self.due:
            self.wheel.arm(self)


def wheel() -> Wheel:
    loop = asyncio.new_event_loop()
    loop.close()
    return Wheel(loop)


def test_deadline_lasts_at_least_as_long_as_was_asked_for():
    """The present turn may be almost over."""
    for seconds in (0.0, 0.01, 0.05, 0.051, 1.0, 30.0):
        assert (turns(seconds) - 1) * TURN_SECONDS >= seconds


def test_thing_expires_once_at_its_deadline():
    """The plain case."""
    turning = wheel()
    thing = Thing(turning)
    thing.wait(3)
    turning.advance(10)
    assert thing.expired == [3]


def test_deadline_that_moved_away_is_kept():
    """What a request does: it stores, and the wheel finds out when the old bucket comes."""
    turning = wheel()
    thing = Thing(turning)
    thing.wait(3)
    turning.advance(2)
    thing.wait(5)
    turning.advance(6)
    assert thing.expired == []
    turning.advance(7)
    assert thing.expired == [7]


def test_deadline_that_moved_nearer_is_kept():
    """Keep-alive to linger."""
    turning = wheel()
    thing = Thing(turning)
    thing.wait(100)
    thing.wait(2)
    turning.advance(200)
    assert thing.expired == [2]


def test_forgotten_thing_is_in_no_bucket():
    """A closed connection must not live on until its deadline."""
    turning = wheel()
    thing = Thing(turning)
    thing.wait(100)
    turning.disarm(thing)
    assert turning._buckets == {}
    turning.advance(200)
    assert thing.expired == []


def test_thing_that_another_expiry_disarmed_stays_disarmed():
    """A timeout of one side closes the other, which may be in the same bucket."""
    turning = wheel()
    first, second = Thing(turning), Thing(turning)

    def expire_both() -> None:
        for thing in (first, second):
            thing.deadline = NEVER
            thing.expired.append(turning.turn)

    first.expire = second.expire = expire_both  # type: ignore[method-assign]
    first.wait(1)
    second.wait(1)
    turning.advance(5)
    assert first.expired == second.expired == [1]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30), st.integers(0, 10)), max_size=60))
def test_any_sequence_of_deadlines_expires_when_a_plain_list_says(steps: list[tuple[int, int, int]]):
    """Against the obvious model: one deadline per thing, looked at every turn."""
    turning = wheel()
    things = [Thing(turning) for _ in range(4)]
    model: dict[int, int] = {}
    expected: list[list[int]] = [[] for _ in things]
    for index, turn_count, advance in steps:
        things[index].wait(turn_count)
        model[index] = turning.turn + turn_count
        for turn in range(turning.turn + 1, turning.turn + advance + 1):
            for due in [number for number, deadline in model.items() if deadline == turn]:
                expected[due].append(turn)
                del model[due]
        turning.advance(turning.turn + advance)
    assert [thing.expired for thing in things] == expected
