"""Settings of logging -> structlog, one line per event on standard error.

Standard output of a child belongs to its readiness line.
"""

import logging
import sys

import structlog


def configure(level: str, form: str) -> None:
    """`form`: json, text, or auto (text on a terminal)."""
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    final = structlog.dev.ConsoleRenderer() if is_text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            final,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # aiohttp reports through the standard library; its access lines are not ours to print.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")


def logger() -> structlog.typing.FilteringBoundLogger:
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return bound


def shortened(text: str, limit: int = 200) -> str:
    """Text that others chose, safe for a log line: escaped and bounded."""
    escaped = text[:limit].encode("unicode_escape").decode("ascii")
    return escaped if len(text) <= limit else f"{escaped}... ({len(text)} characters)"
