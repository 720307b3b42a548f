"""A state change -> one line for the log: JSON, or readable when a person watches."""

import json
import time

CHILD_STARTED = "child_started"
CHILD_READY = "child_ready"
CHILD_EXITED = "child_exited"
CHILD_KILLED = "child_killed"
REPLACEMENT_FAILED = "replacement_failed"
READY_COMMAND_FAILED = "ready_command_failed"
RELOAD_REQUESTED = "reload_requested"
WORKERS_REPLACED = "workers_replaced"
SUCCESSOR_STARTED = "successor_started"
HANDOVER_STARTED = "handover_started"
HANDOVER_FAILED = "handover_failed"
HANDED_OVER = "handed_over"
TAKEN_OVER = "taken_over"
DOOR_CLOSED = "door_closed"
SUPERVISOR_READY = "supervisor_ready"
SUPERVISOR_STOPPING = "supervisor_stopping"
SUPERVISOR_STOPPED = "supervisor_stopped"


def line(event: str, *, level: str = "info", pretty: bool, **values: str | float | None) -> bytes:
    """`values` that are None are left out."""
    known = {name: value for name, value in values.items() if value is not None}
    now = time.time()
    if pretty:
        clock = time.strftime("%H:%M:%S", time.localtime(now))
        text = " ".join([clock, event, *(f"{name}={value}" for name, value in known.items())])
    else:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
        text = json.dumps({"timestamp": stamp, "level": level, "event": event, **known})
    return text.encode() + b"\n"
