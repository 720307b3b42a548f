"""What was measured against what it may be, as a table."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: float
    limit: str
    is_met: bool


@dataclass(slots=True)
class Figures:
    """Printed as they come: a run that is broken off has said what it knows."""

    all: list[Figure] = field(default_factory=list)

    def at_most(self, name: str, value: float, limit: float) -> None:
        self._add(Figure(name, value, f"<= {limit:g}", value <= limit))

    def at_least(self, name: str, value: float, limit: float) -> None:
        self._add(Figure(name, value, f">= {limit:g}", value >= limit))

    def known(self, name: str, value: float) -> None:
        """For the reader; there is nothing to miss."""
        self._add(Figure(name, value, "", True))

    def heading(self, text: str) -> None:
        print(f"\n{text}", flush=True)

    def _add(self, figure: Figure) -> None:
        self.all.append(figure)
        verdict = "" if figure.is_met else "MISSED"
        print(
            f"  {figure.name:<58} {figure.value:>12,.3f}  {figure.limit:<14} {verdict}".rstrip(), flush=True
        )

    @property
    def missed_count(self) -> int:
        return sum(not figure.is_met for figure in self.all)
