"""List files on disk -> the base that is in force, again and again as the files change.

What was in force stays in force until something better has been compiled, written, synced and opened.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from proxy.blocklist import compile as compiling
from proxy.blocklist.compile import BaseFiles, Gathered, ListOutcome
from proxy.blocklist.files import FileStamp, ListSpec, spec_from_settings, stamp_of
from proxy.blocklist.kept import KeptTexts
from proxy.blocklist.manifest import Manifest, notes, read_manifest, write_manifest
from proxy.blocklist.scan import scan_folder
from proxy.control.changes import Changes
from proxy.control.policy import Rules, never_block_entries
from proxy.control.putback import PutBack, Trial, swapped
from proxy.control.state import Base
from proxy.errors import ListError, StoreError
from proxy.settings import Settings
from proxy.telemetry import events, logs

_Result = TypeVar("_Result")
_Stamps = dict[str, tuple[str, FileStamp | None]]

# A worker may still be about to open the files it was told of last.
_KEPT_BASE_COUNT = 3
_REASON = "workers died of them and they have not changed since: the ones before stay"


@dataclass(frozen=True, slots=True)
class _Installed:
    manifest: Manifest
    base: Base


class Lists:
    """Owns the folder `lists` of the data directory."""

    def __init__(self, settings: Settings, rules: Rules, changes: Changes) -> None:
        self._settings = settings
        self._rules = rules
        self._changes = changes
        self._directory = settings.state.directory / "lists"
        self._kept = KeptTexts(self._directory / "kept")
        self._seen: _Stamps | None = None
        self._fault: str | None = None
        self._one_at_a_time = asyncio.Lock()
        # Its own thread: niceness stays with a thread, and overlays are built in others at full speed.
        self._compiler = ThreadPoolExecutor(1, "compile", compiling.lower_priority)
        self._swapping = asyncio.Lock()
        self._installed: _Installed | None = None
        self._previous: _Installed | None = None
        self.trial: Trial | None = None
        self.manifest: Manifest | None = None
        self.folder_notes: tuple[str, ...] = ()

    @property
    def fault(self) -> str | None:
        """Why the last attempt to compile failed, None when it did not."""
        return self._fault

    def reconfigure(self, settings: Settings, rules: Rules) -> None:
        """The next look takes everything anew, lists that were refused too."""
        self._settings = settings
        self._rules = rules
        self._seen = None

    async def restore(self) -> bool:
        """Put the last good base in force at once, before any list is read. False when there is none."""
        try:
            manifest = await self._in_compiler(lambda: read_manifest(self._directory))
            if manifest is None:
                return False
            files = manifest.files(self._directory)
            blocklist = await self._in_compiler(lambda: compiling.open_base(files))
        except (ListError, OSError) as error:
            logs.logger().warning(events.LISTS_NOT_COMPILED, reason=f"the last good base: {error}")
            return False
        self.manifest = manifest
        self._installed = _Installed(manifest, Base(files, blocklist, manifest.created))
        await self._changes.install(self._installed.base)
        age_seconds = int(time.time()) - manifest.created
        logs.logger().info(events.LISTS_RESTORED, entries=len(blocklist), age_seconds=age_seconds)
        return True

    async def refresh(self) -> None:
        """One look at the files; compiles when they differ from what is in force. Faults are logged, once."""
        async with self._one_at_a_time:
            specs, stamps = await self._in_compiler(self._look)
            if stamps == self._seen:
                return
            try:
                await self._compile(specs)
            except (ListError, StoreError, OSError) as error:
                if str(error) != self._fault:
                    logs.logger().error(events.LISTS_NOT_COMPILED, reason=str(error))
                self._fault = str(error)
                return  # `_seen` stays as it was: the next look tries again
            self._fault = None
            self._seen = stamps

    @property
    def put_back_note(self) -> PutBack | None:
        if self.manifest is None or self.manifest.refused_content is None:
            return None
        return PutBack(self.manifest.refused_content, self.manifest.refused_at)

    def prove(self) -> None:
        """The files of the one before are dropped with the next swap."""
        self.trial = self._previous = None

    async def put_back(self) -> None:
        """Never waits for a compile under way: workers are dying. Raises OSError as `Tried` says."""
        async with self._swapping:
            if self._previous is None or self._installed is None:
                return
            refused, previous = self._installed.manifest.content, self._previous
            self.prove()
            manifest = replace(previous.manifest, refused_content=refused, refused_at=int(time.time()))
            self.manifest = manifest
            self._installed = _Installed(manifest, previous.base)
            await self._changes.install(previous.base)
            logs.logger().error(
                events.LISTS_PUT_BACK, refused=refused, epoch=manifest.epoch, sequence=manifest.sequence
            )
            await asyncio.to_thread(write_manifest, self._directory, manifest)

    async def watch_forever(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(self._settings.blocklist.reload_seconds)

    def close(self) -> None:
        self._compiler.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> tuple[tuple[ListSpec, ...], _Stamps]:
        """(the lists to read, what their files look like)."""
        specs = [spec_from_settings(item) for item in self._settings.lists]
        folder = self._settings.blocklist.folder
        found_notes: tuple[str, ...] = ()
        if folder is not None:
            scan = scan_folder(folder, self._settings.blocklist.folder_score)
            taken = {spec.source for spec in specs}
            specs += [spec for spec in scan.specs if spec.source not in taken]
            found_notes = scan.notes
        if found_notes != self.folder_notes:
            self.folder_notes = found_notes
            logs.logger().info(events.FOLDER_NOTED, folder=str(folder), notes=found_notes)
        return tuple(specs), {
            spec.source: (f"{spec.path} {spec.reading}", stamp_of(spec.path)) for spec in specs
        }

    async def _compile(self, specs: Sequence[ListSpec]) -> None:
        started = time.monotonic()
        shields = tuple(never_block_entries(self._rules))
        minimum = self._settings.blocklist.minimum_parsed
        gathered = await self._in_compiler(lambda: compiling.gather(specs, shields, self._kept, minimum))
        self._report(gathered.outcomes)
        content = _content(gathered.outcomes, shields)
        if self.manifest is not None and content == self.manifest.content:
            await self._see_again(gathered.outcomes)
            return
        if self.manifest is not None and content == self.manifest.refused_content:
            logs.logger().error(events.LISTS_REFUSED, reason=_REASON)
            return
        is_fail_closed = self.manifest is not None or self._settings.blocklist.on_missing == "closed"
        if specs and is_fail_closed and all(outcome.digest is None for outcome in gathered.outcomes):
            raise ListError("no list could be read, and none was ever read before")
        await self._swap(gathered, content, started)

    async def _swap(self, gathered: Gathered, content: str, started: float) -> None:
        summary = {outcome.spec.source: outcome.accepted_count for outcome in gathered.outcomes}
        record = await self._changes.note_lists({"lists": summary, "content": content})
        created = int(time.time())
        files, blocklist = await self._in_compiler(
            lambda: compiling.write_base(
                gathered.builder, self._directory, record.epoch, record.sequence, created
            )
        )
        listed = notes(gathered.outcomes, self.manifest, created)
        manifest = Manifest(files.epoch, files.sequence, created, content, listed)
        async with self._swapping:
            await self._in_compiler(lambda: write_manifest(self._directory, manifest))
            await self._install(_Installed(manifest, Base(files, blocklist, created)))
        logs.logger().info(
            events.LISTS_COMPILED,
            epoch=files.epoch,
            sequence=files.sequence,
            entries=len(blocklist),
            seconds=round(time.monotonic() - started, 3),
        )
        sources = [outcome.spec.source for outcome in gathered.outcomes]
        wanted = [files] if self._previous is None else [files, self._previous.base.files]
        await self._in_compiler(lambda: self._clean(wanted, sources))

    async def _install(self, installed: _Installed) -> None:
        if self._installed is not None:
            before, after = self._installed.manifest.content, installed.manifest.content
            self.trial = swapped(self.trial, before, after, time.monotonic())
            if self.trial is None:
                self._previous = None
            elif self._previous is None:
                self._previous = self._installed
        self.manifest = installed.manifest
        self._installed = installed
        await self._changes.install(installed.base)

    async def _see_again(self, outcomes: Sequence[ListOutcome]) -> None:
        """The content in force; what was refused has gone from disk, so it may come again."""
        if self.manifest is None:
            return
        had_refused = self.manifest.refused_content is not None
        manifest = replace(self.manifest.with_outcomes(outcomes), refused_content=None, refused_at=0)
        self.manifest = manifest
        if had_refused:
            await self._in_compiler(lambda: write_manifest(self._directory, manifest))

    def _report(self, outcomes: Sequence[ListOutcome]) -> None:
        """What changed since the last time, a line each."""
        known = {note.source: note for note in self.manifest.lists} if self.manifest is not None else {}
        for outcome in outcomes:
            source = outcome.spec.source
            before = known.get(source)
            if outcome.refusal is not None:
                if before is None or before.refusal != outcome.refusal:
                    kept_count = outcome.accepted_count
                    logs.logger().warning(
                        events.LIST_REFUSED, source=source, reason=outcome.refusal, kept_entries=kept_count
                    )
            elif before is None or before.digest != outcome.digest or before.refusal is not None:
                logs.logger().info(
                    events.LIST_ACCEPTED,
                    source=source,
                    accepted=outcome.accepted_count,
                    rejected=outcome.rejected_count,
                    first_rejected=[
                        f"line {line}: {logs.shortened(text, 80)}: {logs.shortened(reason)}"
                        for line, text, reason in outcome.rejected[:3]
                    ],
                )

    def _clean(self, wanted: Sequence[BaseFiles], sources: Sequence[str]) -> None:
        """Drop compiled files that nobody can be about to open. What a worker has mapped stays readable."""
        self._kept.forget_others(sources)
        kept = {path for files in wanted for path in (files.decision, files.evidence)}
        for pattern in ("decision-*.bin", "evidence-*.bin"):
            files = sorted(self._directory.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
            for path in files[:-_KEPT_BASE_COUNT]:
                if path not in kept:
                    with contextlib.suppress(OSError):
                        path.unlink()

    async def _in_compiler(self, call: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._compiler, call)


def _content(outcomes: Sequence[ListOutcome], shields: Sequence[tuple[str, str]]) -> str:
    """One digest of everything that the base depends on."""
    parts = [(outcome.spec.source, outcome.spec.reading, outcome.digest) for outcome in outcomes]
    return hashlib.blake2b(repr((parts, shields)).encode(), digest_size=16).hexdigest()
