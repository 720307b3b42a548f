"""Times as access logs write them -> Unix seconds.

Times without a zone (HAProxy writes the machine's own) count as UTC: what is wanted is first and last.
"""

from datetime import UTC, datetime

_LAYOUTS = ("%d/%b/%Y:%H:%M:%S %z", "%d/%b/%Y:%H:%M:%S.%f", "%d/%b/%Y:%H:%M:%S")
# Some write milliseconds as whole numbers; seconds reach this in the year 5138.
_LARGEST_SECONDS = 1e11


def seconds(text: str | float) -> float | None:
    """None when it is no time."""
    if isinstance(text, (int, float)):
        return _from_number(float(text))
    try:
        return _from_number(float(text))
    except ValueError:
        pass
    for layout in _LAYOUTS:
        try:
            return _stamp(datetime.strptime(text, layout))  # noqa: DTZ007 the zone is added where there is none
        except ValueError:
            continue
    try:
        return _stamp(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _stamp(moment: datetime) -> float:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _from_number(number: float) -> float | None:
    number = number / 1000 if number > _LARGEST_SECONDS else number
    return number if 0 < number < _LARGEST_SECONDS else None
