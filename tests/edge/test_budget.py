"""Retries are a share of the requests, whatever happens."""

from hypothesis import given
from hypothesis import strategies as some

from proxy.edge.budget import RetryBudget


def budget(percent: float = 20, minimum_per_second: float = 0) -> RetryBudget:
    made = RetryBudget(0.0)
    made.configure(percent, minimum_per_second)
    return made


def test_share_of_the_requests_may_be_sent_again():
    """20 % of 50 is 10, and the eleventh is refused."""
    made = budget()
    made.requests = 50
    assert [made.withdraw(0.0) for _ in range(11)] == [True] * 10 + [False]


def test_quiet_upstream_has_its_minimum():
    """One request in a minute must not be lost because nothing was earned."""
    made = budget(0, 3)
    assert [made.withdraw(0.0) for _ in range(4)] == [True] * 3 + [False]
    assert made.withdraw(0.4) is True
    assert made.withdraw(0.5) is False


def test_nothing_is_nothing():
    """Both at 0: no retry at all."""
    made = budget(0, 0)
    made.requests = 1000
    assert made.withdraw(1000.0) is False


@given(
    some.lists(some.tuples(some.floats(0, 20), some.integers(0, 500), some.integers(0, 50))),
    some.integers(0, 100),
    some.integers(0, 50),
)
def test_no_history_buys_more_than_share_and_minimum(
    history: list[tuple[float, int, int]], percent: int, minimum_per_second: int
):
    """Held against the sum of what was earned: (pause, requests, retries wished for) in any order."""
    made = budget(percent, minimum_per_second)
    now = requests = granted = 0.0
    for pause, count, wishes in history:
        now += pause
        requests += count
        made.requests += count
        granted += sum(made.withdraw(now) for _ in range(wishes))
    assert granted <= requests * percent / 100 + minimum_per_second * (now + 1) + 1e-6


def test_what_is_saved_up_has_a_limit():
    """A night without a fault is no licence for a storm in the morning."""
    made = budget(20, 3)
    made.requests = 1_000_000
    granted = 0
    while made.withdraw(86400.0):
        granted += 1
    assert granted == 3 * 10 + 100
