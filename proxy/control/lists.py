"""List files on disk -> the base that is in force, again and again as the files change.

What was in force stays in force until something better has been compiled, written, synced and opened.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from proxy.blocklist import compile as compiling
from proxy.blocklist.compile import Gathered, ListOutcome
from proxy.blocklist.files import FileStamp, ListSpec
from proxy.blocklist.kept import KeptTexts
from proxy.blocklist.manifest import Manifest, notes, read_manifest, write_manifest
from proxy.control import list_files
from proxy.control.changes import Changes
from proxy.control.folding import Folded
from proxy.control.policy import Rules, never_block_entries
from proxy.control.putback import PutBack, Trial, swapped
from proxy.control.state import Base
from proxy.errors import ListError, StoreError
from proxy.settings import Settings
from proxy.telemetry import events, logs

_Result = TypeVar("_Result")

_FOLD_LOOK_SECONDS = 1.0
# Every attempt compiles the whole base and leaves a record in the log.
_FOLD_RETRY_SECONDS = 60.0
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
        self._seen: dict[str, tuple[str, FileStamp | None]] | None = None
        self._fault: str | None = None
        self._fold_fault: str | None = None
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
            folded = await self._in_compiler(lambda: list_files.read_beside(manifest, files))
        except (ListError, OSError) as error:
            logs.logger().warning(events.LISTS_NOT_COMPILED, reason=f"the last good base: {error}")
            return False
        self.manifest = manifest
        base = Base(files, blocklist, manifest.created, self._changes.sharing(folded))
        self._installed = _Installed(manifest, base)
        await self._changes.install(self._installed.base)
        age_seconds = int(time.time()) - manifest.created
        logs.logger().info(events.LISTS_RESTORED, entries=len(blocklist), age_seconds=age_seconds)
        return True

    async def refresh(self) -> None:
        """One look at the files; compiles when they differ from what is in force. Faults are logged, once."""
        async with self._one_at_a_time:
            looked = await self._in_compiler(lambda: list_files.look(self._settings))
            self._note_folder(looked.notes)
            if looked.stamps == self._seen:
                return
            try:
                await self._compile(looked.specs)
            except (ListError, StoreError, OSError) as error:
                if str(error) != self._fault:
                    logs.logger().error(events.LISTS_NOT_COMPILED, reason=str(error))
                self._fault = str(error)
                return  # `_seen` stays as it was: the next look tries again
            self._fault = None
            self._seen = looked.stamps

    @property
    def put_back_note(self) -> PutBack | None:
        if self.manifest is None:
            return None
        if self.manifest.refused_content is not None:
            return PutBack(self.manifest.refused_content, self.manifest.refused_at)
        if self.manifest.fold_refused_at:
            return PutBack("manual entries in the base", self.manifest.fold_refused_at)
        return None

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
            now = int(time.time())
            if refused == previous.manifest.content:
                manifest = replace(previous.manifest, fold_refused_at=now)
            else:
                manifest = replace(previous.manifest, refused_content=refused, refused_at=now)
            self.manifest = manifest
            self._installed = _Installed(manifest, previous.base)
            await self._changes.install(previous.base)
            logs.logger().error(
                events.LISTS_PUT_BACK, refused=refused, epoch=manifest.epoch, sequence=manifest.sequence
            )
            await asyncio.to_thread(write_manifest, self._directory, manifest)

    async def fold(self) -> None:
        """Compile the manual entries into the base when too many lie above it. Faults are logged, once."""
        async with self._one_at_a_time:
            installed, overlay = self._installed, self._changes.overlay
            limit = self._settings.blocklist.fold_count
            if installed is None or overlay is None or overlay.entry_count <= limit:
                return
            if installed.manifest.fold_refused_at:
                return
            try:
                await self._fold(installed)
            except (ListError, StoreError, OSError) as error:
                if str(error) != self._fold_fault:
                    logs.logger().error(events.LISTS_NOT_FOLDED, reason=str(error))
                self._fold_fault = str(error)
            else:
                self._fold_fault = None

    async def fold_forever(self) -> None:
        while True:
            await asyncio.sleep(_FOLD_LOOK_SECONDS if self._fold_fault is None else _FOLD_RETRY_SECONDS)
            await self.fold()

    async def watch_forever(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(self._settings.blocklist.reload_seconds)

    def close(self) -> None:
        self._compiler.shutdown(wait=False, cancel_futures=True)

    def _note_folder(self, notes: tuple[str, ...]) -> None:
        if notes != self.folder_notes:
            self.folder_notes = notes
            folder = self._settings.blocklist.folder
            logs.logger().info(events.FOLDER_NOTED, folder=str(folder), notes=notes)

    async def _compile(self, specs: Sequence[ListSpec]) -> None:
        started = time.monotonic()
        shields = tuple(never_block_entries(self._rules))
        minimum = self._settings.blocklist.minimum_parsed
        gathered = await self._in_compiler(lambda: compiling.gather(specs, shields, self._kept, minimum))
        list_files.report(gathered.outcomes, self.manifest)
        content = list_files.content_of(gathered.outcomes, shields)
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
        record, folded = await self._changes.note_lists({"lists": summary, "content": content})
        created = int(time.time())
        written = await self._in_compiler(
            lambda: list_files.write(gathered.builder, self._directory, record, folded, created)
        )
        files = written.files
        listed = notes(gathered.outcomes, self.manifest, created)
        manifest = Manifest(
            files.epoch,
            files.sequence,
            created,
            content,
            listed,
            folded_sequence=folded.sequence,
            folded_digest=written.digest,
        )
        async with self._swapping:
            await self._in_compiler(lambda: write_manifest(self._directory, manifest))
            await self._install(_Installed(manifest, Base(files, written.blocklist, created, folded)))
        logs.logger().info(
            events.LISTS_COMPILED,
            epoch=files.epoch,
            sequence=files.sequence,
            entries=len(written.blocklist),
            seconds=round(time.monotonic() - started, 3),
        )
        sources = [outcome.spec.source for outcome in gathered.outcomes]
        await self._in_compiler(lambda: self._kept.forget_others(sources))
        await self._clean_up()

    async def _fold(self, installed: _Installed) -> None:
        """The base in force, without what was removed and with what was added above it, as the new base."""
        started = time.monotonic()
        content = installed.manifest.content
        record, _ = await self._changes.note_lists({"folded": True, "content": content})
        overlay = self._changes.overlay
        if overlay is None or overlay.blocklist is None or self._installed is not installed:
            return
        folded, combined = Folded(overlay.version[1], overlay.live), overlay.blocklist
        now = int(time.time())
        written = await self._in_compiler(
            lambda: list_files.write_combined(combined, self._directory, record, folded, now)
        )
        files = written.files
        async with self._swapping:
            if self._installed is not installed or self.manifest is None:
                return  # put back meanwhile: what was compiled came from what workers died of
            manifest = replace(
                self.manifest,
                epoch=files.epoch,
                sequence=files.sequence,
                folded_sequence=folded.sequence,
                folded_digest=written.digest,
            )
            base = Base(files, written.blocklist, manifest.created, folded)
            await self._in_compiler(lambda: write_manifest(self._directory, manifest))
            await self._install(_Installed(manifest, base))
        logs.logger().info(
            events.LISTS_FOLDED,
            epoch=files.epoch,
            sequence=files.sequence,
            manual_entries=len(folded.entries),
            seconds=round(time.monotonic() - started, 3),
        )
        await self._clean_up()

    async def _clean_up(self) -> None:
        bases = [kept.base.files for kept in (self._installed, self._previous) if kept is not None]
        await self._in_compiler(lambda: list_files.clean(self._directory, bases))

    async def _install(self, installed: _Installed) -> None:
        if self._installed is not None:
            before, after = self._installed.manifest.fingerprint, installed.manifest.fingerprint
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

    async def _in_compiler(self, call: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._compiler, call)
