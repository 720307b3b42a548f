"""A runtime directory -> the lists that its workers have in force: base and entries by hand."""

from dataclasses import dataclass
from pathlib import Path

from fastmatch._native import Blocklist
from proxy import frames
from proxy.edge.config import EdgeConfig
from proxy.errors import ListError

# What the control process leaves for a starting worker.
_ATTACH_NAME = "attach.frames"


@dataclass(frozen=True, slots=True)
class RunningLists:
    """As a starting worker would take them over."""

    blocklist: Blocklist
    decision: Path
    config: EdgeConfig


def running_lists(runtime_directory: Path) -> RunningLists:
    """Raises ListError."""
    path = runtime_directory / _ATTACH_NAME
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ListError(
            f"{path}: {error.strerror}: no lists are running here; --decision names a file"
        ) from error
    config, blocklist, decision = EdgeConfig(), None, Path()
    try:
        for frame in frames.FrameReader().feed(content):
            match frame.kind:
                case frames.Kind.CONFIGURE:
                    config = EdgeConfig.from_wire(frame.payload)
                case frames.Kind.INSTALL:
                    decision = Path(frames.decode_install(frame.payload)[2])
                    blocklist = Blocklist.open(str(decision), prefault=False)
                case frames.Kind.OVERLAY if blocklist is not None:
                    _, sequence, packed = frames.decode_overlay(frame.payload)
                    blocklist = blocklist.with_overlay(packed, sequence=sequence)
                case _:
                    pass
    except (OSError, ValueError, frames.FrameError) as error:
        raise ListError(f"{path}: cannot be used: {error}") from error
    if blocklist is None:
        raise ListError(f"{path}: no list is in force here yet; --decision names a file")
    return RunningLists(blocklist, decision, config)
