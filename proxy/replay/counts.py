"""Counting names that strangers choose, in bounded memory."""


class TopCounts:
    """The most frequent of many names. Exact until more than `capacity` differ; then counts are lower bounds,

    because names are forgotten that were rare so far. The frequent ones stay.
    """

    def __init__(self, capacity: int = 50_000) -> None:
        self._capacity = capacity
        self._counts: dict[str, int] = {}
        self.is_exact = True

    def add(self, name: str, count: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + count
        if len(self._counts) > self._capacity:
            self._forget()

    def __len__(self) -> int:
        """How many differ, as far as they are remembered."""
        return len(self._counts)

    def top(self, count: int) -> list[tuple[str, int]]:
        """Most frequent first; equal ones by name."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:count]

    def _forget(self) -> None:
        self.is_exact = False
        self._counts = dict(self.top(self._capacity // 2))
