"""How many retries an upstream may be asked for: a share of its requests, and a few in any case.

Without it an upstream that is overloaded gets every request twice, from everybody, at the worst moment.
"""

from typing import Final

# What can be saved up: so much of the minimum, and so many retries earned by requests.
_SAVED_SECONDS: Final = 10.0
_SAVED_COUNT: Final = 100.0
# The bucket counts hundredths of a retry: percents of a request are whole numbers then, and add up exactly.
_ONE: Final = 100.0


class RetryBudget:
    """A bucket. Its owner counts `requests`: an addition is all there is to pay while nothing fails."""

    __slots__ = ("_at", "_balance", "_minimum_per_second", "_percent", "requests")

    def __init__(self, now: float) -> None:
        self._at = now
        self._balance = 0.0
        self._percent = 0.0
        self._minimum_per_second = 0.0
        self.requests = 0

    def configure(self, percent: float, minimum_per_second: float) -> None:
        """What has been saved up stays, within the new limit."""
        self._percent = percent
        self._minimum_per_second = minimum_per_second
        self._balance = max(self._balance, minimum_per_second * _ONE)

    def withdraw(self, now: float) -> bool:
        """True, and one retry less, when there is one."""
        earned = (now - self._at) * self._minimum_per_second * _ONE + self.requests * self._percent
        limit = self._minimum_per_second * _SAVED_SECONDS + (_SAVED_COUNT if self._percent else 0.0)
        self._balance = min(self._balance + earned, limit * _ONE)
        self._at = now
        self.requests = 0
        if self._balance < _ONE:
            return False
        self._balance -= _ONE
        return True
