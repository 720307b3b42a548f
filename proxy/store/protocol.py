"""The store as the control process sees it. What holds for all of them stands here and in the tests."""

from collections.abc import Sequence
from typing import Protocol

from proxy.store.records import AuditLine, Denial, Draft, Head, Record, Snapshot
from proxy.store.summaries import Period, Summary


class Store(Protocol):
    """A log with one order, its sum, and three bounded side tables.

    Every method raises StoreError when the store does not answer in its named time or its queue is full.
    What `append` returned is on stable storage: it survives a kill and a power cut.
    """

    async def head(self) -> Head: ...

    async def append(self, draft: Draft, expected: Head) -> Record:
        """Compare-and-append: one step, or HeadMovedError when `expected` is no longer the head.

        A draft whose (author, idempotency key) is in the log already gives that record and appends nothing.
        """

    async def records(self, after: int, limit: int) -> tuple[Record, ...]:
        """Records with a higher sequence, ascending. Raises LogTrimmedError when some of them are gone."""

    async def snapshot(self) -> Snapshot: ...

    async def add_denials(self, denials: Sequence[Denial]) -> None:
        """The oldest beyond the bound are dropped."""

    async def denials(self, limit: int, client: str | None = None) -> tuple[Denial, ...]:
        """Newest first."""

    async def add_audit(self, line: AuditLine) -> None: ...

    async def audit(self, limit: int) -> tuple[AuditLine, ...]:
        """Newest first."""

    async def add_summaries(self, new: Sequence[Summary]) -> None:
        """All or none. One of the same period, pod and start is replaced, what lies `KEPT_MS` back goes."""

    async def summaries(self, period: Period, since_ms: int, until_ms: int) -> tuple[Summary, ...]:
        """Of all pods, those that start in [since, until), oldest first."""

    async def close(self) -> None: ...
