"""Settings that changed -> the configuration that workers get, and back again when they die of it."""

import contextlib
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from proxy.blocklist.kept import write_atomically
from proxy.control.changes import Changes
from proxy.control.putback import PutBack, Trial, swapped
from proxy.edge.config import EdgeConfig
from proxy.telemetry import events, logs

_NAME = "configuration.put_back.json"
_REASON = "workers died of it and it has not changed since: they keep the one before"


@dataclass(frozen=True, slots=True)
class Kept:
    """`previous` is in force although the settings say otherwise."""

    put_back: PutBack
    previous: EdgeConfig


class Configuration:
    """Only what reaches a worker is put back: tokens, policy and lists of a reload stay taken over."""

    def __init__(self, directory: Path, changes: Changes, current: EdgeConfig, kept: Kept | None) -> None:
        self._path = directory / _NAME
        self._changes = changes
        self._current = current
        self._previous: EdgeConfig | None = None
        self.put_back_note = kept.put_back if kept is not None else None
        self.trial: Trial | None = None

    async def take(self, config: EdgeConfig) -> None:
        """Send it to every worker, unless it was put back and is the same still."""
        after = fingerprint_of(config)
        if self.put_back_note is not None and after == self.put_back_note.refused:
            logs.logger().error(events.CONFIGURATION_REFUSED, reason=_REASON)
            return
        self.put_back_note = None
        with contextlib.suppress(OSError):  # it names another configuration, so it says nothing any more
            self._path.unlink(missing_ok=True)
        before, self._current = self._current, config
        self.trial = swapped(self.trial, fingerprint_of(before), after, time.monotonic())
        if self.trial is None:
            self._previous = None
        elif self._previous is None:
            self._previous = before
        await self._changes.configure(config)

    def prove(self) -> None:
        self.trial = self._previous = None

    async def put_back(self) -> None:
        """Raises OSError when it is in force but will not be remembered."""
        if self._previous is None:
            return
        refused, previous = self._current, self._previous
        self.prove()
        self._current = previous
        note = PutBack(fingerprint_of(refused), int(time.time()))
        self.put_back_note = note
        await self._changes.configure(previous)
        logs.logger().error(events.CONFIGURATION_PUT_BACK, refused=note.refused)
        write_atomically(self._path, _to_wire(Kept(note, previous)))


def kept_configuration(directory: Path, config: EdgeConfig) -> Kept | None:
    """What an earlier control process went back to, while the settings still give what workers died of.

    Raises OSError. A damaged file is as good as none.
    """
    path = directory / _NAME
    try:
        kept = _from_wire(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        logs.logger().warning(events.CONFIGURATION_NOT_KEPT, reason=f"{path}: {error!r}")
        return None
    if kept.put_back.refused != fingerprint_of(config):
        return None
    logs.logger().error(events.CONFIGURATION_REFUSED, reason=_REASON)
    return kept


def fingerprint_of(config: EdgeConfig) -> str:
    return hashlib.blake2b(config.to_wire(), digest_size=16).hexdigest()


def _to_wire(kept: Kept) -> bytes:
    return orjson.dumps({**kept.put_back.to_json(), "previous": orjson.loads(kept.previous.to_wire())})


def _from_wire(data: bytes) -> Kept:
    values = orjson.loads(data)
    put_back = PutBack(str(values["refused"]), int(values["at"]))
    return Kept(put_back, EdgeConfig.from_wire(orjson.dumps(values["previous"])))
