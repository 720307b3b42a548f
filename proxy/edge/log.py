"""A change of state -> one JSON line on standard error. Never called per request."""

import sys
import time

import orjson

WORKER_STARTED = "worker_started"
WORKER_DRAINING = "worker_draining"
WORKER_STOPPED = "worker_stopped"
CONTROL_ATTACHED = "control_attached"
CONTROL_LOST = "control_lost"
CONFIGURATION_APPLIED = "configuration_applied"
CONFIGURATION_REFUSED = "configuration_refused"
LIST_INSTALLED = "list_installed"
LIST_SWAP_WATCHED = "list_swap_watched"
LIST_REFUSED = "list_refused"
CONNECTIONS_BLOCKED = "connections_blocked"
BUFFERS_FULL = "buffers_full"
UPSTREAM_UNRESOLVED = "upstream_unresolved"
TARGETS_CHANGED = "targets_changed"
TARGET_EJECTED = "target_ejected"
TARGET_RETURNED = "target_returned"
TARGET_DOWN = "target_down"
TARGET_UP = "target_up"
FRAME_REFUSED = "frame_refused"
ACCESS_LOG_FAILED = "access_log_failed"
ACCESS_LOG_RESUMED = "access_log_resumed"
MEMORY_RETURNED = "memory_returned"
CALLBACK_FAILED = "callback_failed"


def write(event: str, slot: int, **fields: str | float | None) -> None:
    """One line; a write to standard error is short enough for the loop."""
    line = orjson.dumps({"time": round(time.time(), 3), "event": event, "slot": slot, **fields})
    sys.stderr.write(line.decode() + "\n")
    sys.stderr.flush()
