"""What a target answered to a check -> whether it is up. Pure; `HealthChecks` does the asking."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckRule:
    """How a target is asked, and what counts."""

    path: str
    host: str
    timeout_seconds: float
    healthy_count: int
    unhealthy_count: int
    statuses: tuple[int, ...]
    body_contains: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """`streak`: answers in a row that speak against `is_up`. `note`: what was wrong last, empty when it was
    well."""

    is_up: bool
    streak: int = 0
    note: str = ""


def after(before: Checked | None, note: str, rule: CheckRule) -> Checked:
    """`note` empty: the target answered well. The very first answer decides at once: a proxy that starts
    beside a dead target must not learn it from its clients."""
    is_well = not note
    if before is None:
        return Checked(is_well, 0, note)
    if is_well is before.is_up:
        return Checked(before.is_up, 0, note)
    streak = before.streak + 1
    needed = rule.healthy_count if is_well else rule.unhealthy_count
    if streak >= needed:
        return Checked(is_well, 0, note)
    return Checked(before.is_up, streak, note)


def fault_of(status: int, body: bytes, rule: CheckRule) -> str:
    """Empty when the answer is what the rule wants."""
    if status not in rule.statuses:
        return f"status {status}"
    if rule.body_contains is not None and rule.body_contains.encode() not in body:
        return "body without the wanted text"
    return ""
