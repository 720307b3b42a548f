"""Options -> listening sockets, shared memory and the processes that use them, kept alive until a signal.

The supervisor does nothing else: no request, no list, no settings. It imports the standard library and
`Segment`, so that it starts at once, stays small and has nothing in it that could fail while it looks after
the others. Who has loaded settings to make the options leaves them behind with `become`.
"""

from proxy.supervisor.options import (
    LaneOptions,
    ListenerAddress,
    Programs,
    SupervisorOptions,
    available_cpu_count,
    python_module,
)
from proxy.supervisor.start import become, run

__all__ = [
    "LaneOptions",
    "ListenerAddress",
    "Programs",
    "SupervisorOptions",
    "available_cpu_count",
    "become",
    "python_module",
    "run",
]
