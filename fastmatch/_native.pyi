"""The compiled module's surface. Written by hand, held against the built module by stubtest."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from mmap import mmap
from typing import Final, Literal, final

from typing_extensions import Buffer

_Address = str | bytes | int | IPv4Address | IPv6Address

# ---------------------------------------------------------------- blocklist

@final
class Entry:
    """One source's statement about one target. Scores are 0-10 in tenths, and 0 unless it is a block.

    `target`: an address, a network (host bits must be zero) or a domain. `kind`: `network` for addresses;
    `exact`, `suffix` (the name and everything below) or `below` for domains; None means `network` or
    `suffix`. `disposition`: `block`, `allow` (an operator's, wins always), `known_good` (vetoes feeds'
    blocks; no expiry) or, for overlays only, `tombstone`: it removes from the base the entries with its
    target, kind and origin whose sources it all names (any sources when it names none), and has neither
    categories nor expiry. `origin`: `feed`, `operator` or `incident`. Times are Unix seconds, 1 to 2**32-1;
    an entry is live while the clock is below `expires`. Raises ValueError naming value and rule.
    """

    def __new__(
        cls,
        target: str,
        *,
        score: float = ...,
        kind: Literal["network", "exact", "suffix", "below"] | None = None,
        disposition: Literal["block", "allow", "known_good", "tombstone"] = "block",
        origin: Literal["feed", "operator", "incident"] = "feed",
        categories: Iterable[str] = (),
        sources: Iterable[str] = (),
        reason: str = "",
        first_seen: int | None = None,
        last_seen: int | None = None,
        expires: int | None = None,
    ) -> Entry: ...
    @property
    def target(self) -> str:
        """Canonical: lower case, punycode, no trailing dot, mapped IPv4 unmapped, network with its length."""
    @property
    def kind(self) -> Literal["network", "exact", "suffix", "below"]: ...
    @property
    def disposition(self) -> Literal["block", "allow", "known_good", "tombstone"]: ...
    @property
    def origin(self) -> Literal["feed", "operator", "incident"]: ...
    @property
    def score(self) -> float: ...
    @property
    def categories(self) -> tuple[str, ...]: ...
    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def reason(self) -> str: ...
    @property
    def first_seen(self) -> int | None: ...
    @property
    def last_seen(self) -> int | None: ...
    @property
    def expires(self) -> int | None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, object]]:
        """Entries can be copied and pickled; verdicts and lists cannot: they belong to their list or file."""

@final
class Verdict:
    """What the lists say about one subject. One object per distinct verdict of a list, built once."""

    @property
    def disposition(self) -> Literal["block", "allow"]: ...
    @property
    def score(self) -> float: ...
    @property
    def categories(self) -> tuple[str, ...]: ...
    @property
    def sources(self) -> tuple[str, ...]: ...

@final
class Covering:
    """One entry that covers a subject, as `explain` lists it."""

    @property
    def entry(self) -> Entry: ...
    @property
    def is_live(self) -> bool: ...
    @property
    def is_vetoed(self) -> bool:
        """A feed's block beneath a known-good entry."""
    @property
    def decided(self) -> bool: ...

@final
class Explanation:
    @property
    def subject(self) -> str: ...
    @property
    def verdict(self) -> Verdict | None: ...
    @property
    def covering(self) -> tuple[Covering, ...]:
        """Strongest first: allow, then score, then most specific."""
    @property
    def version(self) -> tuple[int, int]: ...

@final
class LoadReport:
    """What became of one list: `rejected` holds at most 100 (line number, text, reason)."""

    @property
    def accepted_count(self) -> int: ...
    @property
    def ignored_count(self) -> int:
        """Comments and empty lines."""
    @property
    def rejected_count(self) -> int: ...
    @property
    def rejected(self) -> tuple[tuple[int, str, str], ...]: ...

@final
class Builder:
    """Collects entries, then compiles. Not for several threads at once."""

    def __new__(cls) -> Builder: ...
    def add(self, entry: Entry) -> None: ...
    def add_list(self, blocklist: Blocklist, /) -> None:
        """All entries of a list: the base's without what its overlay removes, and the overlay's.

        The interpreter lock is released. Raises LookupError when the list was opened without evidence.
        """
    def add_packed(
        self, packed: bytes, /, *, limit_entries: int = 20_000_000, limit_bytes: int = 2_147_483_648
    ) -> None:
        """All entries of a pack or none; the limits are looked at before anything is decoded. Lock released.

        Raises ValueError naming offset and rule; trusts nothing.
        """
    def add_text(
        self,
        text: bytes,
        *,
        format: Literal["plain", "hosts", "netset", "csv"],  # noqa: A002 - the word that lists use
        source: str,
        score: float,
        kind: Literal["exact", "suffix", "below"] = "suffix",
        disposition: Literal["block", "allow", "known_good"] = "block",
        categories: Iterable[str] = (),
        score_column: int | None = None,
        score_map: Sequence[tuple[float, float]] | None = None,
        delimiter: str = ",",
        last_seen: int | None = None,
    ) -> LoadReport:
        """Parse a whole list file; the interpreter lock is released.

        Each line is accepted, ignored (comment, empty, heading) or rejected and reported, never fatal. Bare
        domains get `kind`; `||d^` and `.d` are suffix, `*.d` below, `=d` exact. Networks with host bits set
        are masked, ranges become networks. `score_column` counts from 0 (column 0 is the target) and holds
        the score itself; with `score_map`, (column value, score) points, the highest point not above the
        column's value counts, below the lowest `score` does.
        """
    def __len__(self) -> int:
        """Entries added; one that was added twice counts twice until the builder compiles or packs."""
    def pack(self) -> bytes:
        """The one packed form of this set of entries, however it was made. Lock released."""
    def build(
        self, *, epoch: int = 0, sequence: int = 0, now: int = 0, compact_domains: bool = False
    ) -> Blocklist:
        """Compile in memory, evidence included; the interpreter lock is released.

        `compact_domains`: 64-bit fingerprints instead of the names' text, in the decision file.
        """
    def write(
        self,
        decision_path: str,
        evidence_path: str,
        *,
        epoch: int = 0,
        sequence: int = 0,
        now: int = 0,
        compact_domains: bool = False,
    ) -> None:
        """Compile to two files: written aside, synced, renamed. Lock released. Raises OSError."""

@final
class Blocklist:
    """An immutable list. Lookups of ASCII text and numbers cost no allocation; verdicts are shared objects.

    Times: `advance` sets the coarse clock that expiry is judged by (shared by all lists made from this one).
    Cheapest: `lookup` and `lookup_domain`, then `in`, then `[]` (`fastmatch/DESIGN.md` has the figures).
    """

    @staticmethod
    def from_entries(
        entries: Iterable[Entry], *, epoch: int = 0, sequence: int = 0, now: int = 0
    ) -> Blocklist: ...
    @staticmethod
    def open(
        decision_path: str, evidence_path: str | None = None, *, prefault: bool = True, verify: bool = False
    ) -> Blocklist:
        """Map the files read-only. Raises OSError, or ValueError naming the field or section that is wrong.

        Header and section table are checked always. With `prefault` every page is present. With `verify`
        every checksum is checked: once, by who wrote the files; lookups in a body that was damaged later are
        wrong but harmless.
        """
    def __contains__(self, target: _Address, /) -> bool:
        """True when the target, an address or a name, is blocked at any score above 0."""
    def __getitem__(self, target: _Address, /) -> Verdict:
        """Raises KeyError when no live entry covers the target, an address or a name."""
    def __len__(self) -> int:
        """Entries in base and overlay, its tombstones too; what they remove counts until it is folded."""
    def lookup(self, address: _Address, /) -> Verdict | None:
        """The verdict on an address: int means IPv4, bytes are 4 or 16 long.

        Mapped IPv4 counts as IPv4, a zone is dropped. Raises ValueError with the value and the reason.
        """
    def lookup_domain(self, name: str, /) -> Verdict | None:
        """The verdict on a host name. A name too long or not a domain: ValueError."""
    def lookup_ipv4_batch(self, addresses: Buffer, out: Buffer, /) -> int:
        """Verdicts on many IPv4 addresses; returns how many have one.

        `addresses`: native unsigned items of 4 bytes (`array("I")`, numpy `uint32`). `out`: as many writable
        unsigned items of 1, 2 or 4 bytes, elsewhere in memory: 0 for no verdict, else 1 + the position in
        `verdicts`. From 20,000 items on the interpreter lock is released; a thread that writes the input
        meanwhile changes what is judged, nothing else. Raises TypeError for what has no buffer and
        ValueError naming argument, value and rule; nothing has been written then.
        """
    def lookup_ipv6_batch(self, addresses: Buffer, out: Buffer, /) -> int:
        """As `lookup_ipv4_batch`; `addresses` are bytes, 16 each, in network order."""
    def lookup_domain_batch(self, names: Collection[str], out: Buffer, /) -> int:
        """As `lookup_ipv4_batch`; what is no domain gets the largest value of an item and does not count.

        An item that is no str raises TypeError with its position; names before it may have been judged.
        """
    def lookup_domain_blob(self, text: Buffer, offsets: Buffer, out: Buffer, /) -> int:
        """As `lookup_domain_batch`, of names in one UTF-8 text: name n is `text[offsets[n]:offsets[n + 1]]`.

        `offsets`: native unsigned items of 4 or 8 bytes, ascending, one more than there are names.
        """
    def _nothing(self, object: object, /) -> None:  # noqa: A002 - what it is called with does not matter
        """An empty call of the shape of `lookup`, for the bench."""
    def explain(self, target: str, /) -> Explanation:
        """All covering entries of an address or a domain. Raises LookupError without evidence."""
    def entries(self) -> Iterator[Entry]:
        """Every entry: the base's without what the overlay removes, then the overlay's.

        Holds the list; makes one entry at a time. Raises LookupError without evidence.
        """
    def ipv4_ranges(self, *, source: str | None = None, minimum_score: float = 0.0) -> bytes:
        """What live blocks cover: sorted, disjoint (first, last) pairs of native words (`array("I")`).

        Of all sources or of one. What entries say, not verdicts: allows and vetoes take nothing away. Lock
        released. Raises LookupError without evidence.
        """
    def advance(self, now: int, /) -> None: ...
    def with_overlay(self, packed: bytes, /, *, sequence: int) -> Blocklist:
        """The same base and clock with these entries (operators', incidents') above it.

        All or nothing: ValueError naming offset and rule when `packed` is not what `pack_entries` makes.
        """
    @property
    def version(self) -> tuple[int, int]:
        """(epoch, sequence) of the base, or of the overlay when there is one."""
    @property
    def verdicts(self) -> tuple[Verdict, ...]: ...
    @property
    def stats(self) -> dict[str, int]:
        """Counts: `ipv4`, `ipv6`, `domains`, `overlay`, `verdicts`, `bytes`."""
    @property
    def sections(self) -> list[tuple[str, str, int]]:
        """(file, section, bytes); they add up to `stats["bytes"]`."""
    @property
    def created(self) -> int:
        """Unix seconds at which the base was compiled (`now` of build)."""

def pack_entries(entries: Iterable[Entry], /) -> bytes:
    """Entries in the flat, sorted, versioned, checksummed form that travels to workers and through the store.

    Canonical: a set of entries has one pack, in whatever order they come and however often.
    """

def unpack_entries(packed: bytes, /, *, limit: int = 1_000_000) -> list[Entry]:
    """In the order of the pack. Raises ValueError naming offset and rule; trusts nothing."""

def canonical_target(target: str, /) -> tuple[str, str]:
    """(canonical target, `network` or `domain`). Raises ValueError with the value and the reason."""

# ---------------------------------------------------------------- bench

def _random_read_nanoseconds(
    memory: bytes | bytearray | memoryview | mmap, steps: int, seed: int, /
) -> float:
    """This machine's dependent random read within `memory`, per step, for the bench."""

# ---------------------------------------------------------------- edge

@final
class Segment:
    """The pod's shared memory: counters, histograms, gauges, rate limits.

    One writer per slot, readers sum; limits are everybody's. Atomics, no locks.
    """

    @staticmethod
    def create(slots: int, *, limit_entry_count: int = 65536, address_entry_count: int = 32768) -> Segment:
        """A new anonymous segment (memfd). Rate limits have 8 bytes for each entry, connections by address
        8 bytes for each entry of each slot; how many is rounded up to powers of two.

        Raises ValueError beyond 1-1024 slots, 1024-16777216 and 1024-4194304 entries.
        """
    @staticmethod
    def open(descriptor: int) -> Segment:
        """Map an inherited descriptor (duplicated). Raises ValueError when magic or layout version differ."""
    def fileno(self) -> int: ...
    @property
    def slots(self) -> int: ...
    def clear_gauges(self, slot: int) -> None:
        """Zero the gauges and the connections by address of a dead worker, never its counters."""
    def counters(self) -> dict[str, int]:
        """Sums over all slots, by name: see `COUNTERS` and `GAUGES`."""
    def slot_counters(self, slot: int) -> dict[str, int]: ...
    def histogram(self, name: Literal["request_seconds", "upstream_seconds"]) -> list[tuple[float, int]]:
        """(upper bound in seconds, count) of each non-empty log-linear bucket, ascending."""
    def routes(self, names: Sequence[str]) -> list[tuple[dict[str, int], dict[int, int]]]:
        """What each route of these names came to, over all slots and for the segment's life.

        Counts by name, see `ROUTE_COUNTERS`, and latencies: microseconds below which so many answers were
        complete that are in no bucket before; a bound is at most 25 % off.
        """
    def add(self, slot: int, name: str, amount: int) -> None:
        """For counters that Python owns (bytes, retries, connections); amount may be negative for gauges
        only.
        """

COUNTERS: Final[tuple[str, ...]]
ROUTE_COUNTERS: Final[tuple[str, ...]]
GAUGES: Final[tuple[str, ...]]

@final
class RateLimit:
    """So many requests per time, counted by `client` (an IPv4 address, a /64 of IPv6), `route` or
    `header:NAME`. Checked by the `GateConfig` that takes it.
    """

    def __new__(
        cls, name: str, *, key: str, requests: int, per_seconds: int, burst: int | None = None
    ) -> RateLimit:
        """`burst`: how many may come at once, None: as many as `requests`."""

@final
class Route:
    """Which requests take one route, and what differs there. Checked by the `GateConfig` that takes it."""

    def __new__(
        cls,
        name: str,
        *,
        hosts: Sequence[str] = (),
        path: str | None = None,
        path_prefix: str | None = None,
        methods: Sequence[str] = (),
        headers: Sequence[tuple[str, str | None]] = (),
        block_score: float | None = None,
        observe: bool | None = None,
        domains: Sequence[Literal["host", "origin", "referer"]] | None = None,
        body_bytes: int | None = None,
        host_header: str | None = None,
        rate_limits: Sequence[RateLimit] = (),
        strip_prefix: str | None = None,
        add_prefix: str | None = None,
        request_headers: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]], Sequence[str]]
        | None = None,
        response_headers: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]], Sequence[str]]
        | None = None,
        redirect: tuple[int, str] | None = None,
        respond: tuple[int, str, str] | None = None,
        hidden_paths: Sequence[str] = (),
    ) -> Route:
        """None: as the `GateConfig` says. `hosts`: exact, or `*.` and what is below it; none: any.

        `path_prefix` means whole segments, paths are in normal form. `headers`: (name, value), value None:
        present at all. `rate_limits`: beside those of the `GateConfig`. `request_headers`,
        `response_headers`: what is set, added and removed. `redirect`: (status, location), `respond`:
        (status, content type, body): nothing goes upstream. `hidden_paths`: answered 404 with
        everything below, in any case and reading.
        """

@final
class GateConfig:
    """Everything a worker decides by, checked and compiled once. Raises ValueError naming the key."""

    def __new__(
        cls,
        *,
        trusted_proxies: Sequence[str] = (),
        block_score: float = 7.0,
        drop_score: float | None = None,
        observe: bool = False,
        domains: Sequence[Literal["host", "origin", "referer"]] = ...,
        on_missing: Literal["open", "closed"] = "closed",
        scheme: Literal["http", "https"] = "http",
        via: str = "sentra",
        head_bytes: int = 16384,
        target_bytes: int = 8192,
        header_count: int = 100,
        body_bytes: int = 0,
        response_head_bytes: int = 65536,
        upstream_host: str | None = None,
        routes: Sequence[Route] | None = None,
        rate_limits: Sequence[RateLimit] = (),
        limit_fields: Literal["limited", "always"] = "limited",
        limit_when_full: Literal["limit", "pass"] = "limit",
    ) -> GateConfig:
        """`domains`: hosts judged beside the client, by default `host`.

        `body_bytes`: largest request body, 0 = no limit (413). `upstream_host`: Host to send, None = the
        client's. `routes`: 1-256, the most specific that fits is taken, by default one for everything;
        faults in one are named `routes.N.key`. `rate_limits`: of all routes together; `limit_fields`: which
        answers say what is left; `limit_when_full`: what becomes of requests that the segment's table has no
        place to count.
        """
    def explain(self, head: bytes, /) -> list[tuple[int, Literal["host", "path", "method", "header"] | None]]:
        """Every route of a whole head with what keeps the request from it, in order of preference.

        The first with None is taken. Raises ValueError with the status when the head is refused.
        """

@final
class Gate:
    """One per worker: configuration, list and clock. Each is swapped by one store."""

    def __new__(cls, config: GateConfig, segment: Segment, slot: int) -> Gate: ...
    def configure(self, config: GateConfig) -> None: ...
    def install(self, blocklist: Blocklist | None) -> Blocklist | None:
        """Swap the list in; returns the old one, so that the caller can drop it off the loop."""
    def accept(self, peer: str, drop_score: float | None = None, /) -> bool:
        """False: drop this connection before a byte is read; counted here.

        `drop_score`: the listener's own, else the configured one.
        """
    def enter(self, scope: str, address: str, most: int, /) -> bool | None:
        """One more connection of this client (IPv6: of its /64), unless `most` of the pod's are open already.
        Each scope, such as a listener, counts by itself.

        True: counted, so `leave` when it closes. False: there are as many as may be. None: it may stay and
        nobody counts it, because its address is a trusted proxy's or the table has no place for it.
        """
    def leave(self, scope: str, address: str, /) -> None:
        """A connection that `enter` counted has closed."""
    def tick(self, now: int, /) -> None:
        """Set the coarse clock (Unix seconds) of verdicts, dates and events."""
    def drain(self) -> None:
        """From now on every answer closes its connection (graceful stop)."""
    def drain_events(self) -> bytes:
        """Denials since the last call as JSON lines (bounded; overflow is counted, not kept)."""
    def log_access(self, share: float | None, /, *, query: bool = False, buffer_bytes: int = 4194304) -> None:
        """Keep a line of each exchange that ends: of `share` (0-1) of those that end well, of all others.

        None: off, which costs a branch. `query`: paths with their query, where secrets live. At most
        `buffer_bytes` wait to be drained; lines beyond are counted (`access_log_dropped`).
        """
    def drain_access_log(self) -> bytes:
        """JSON lines since the last call. For any thread; never waits for anything but a line being made."""
    def drain_hitters(self) -> bytes:
        """Who sent most since the last call, as a JSON object: `since`, `until` (Unix seconds) and for each
        of `requests`, `bytes`, `denied` and `limited` the `total`, `top` as [client, count] and an `error`.

        A client's true count lies between the one told and that plus `error`, which is at most 0.4 % of
        `total`; whoever is not told has no more than the last one plus `error`. IPv6 by /64.
        """
    def client_sample(self) -> bytes:
        """Clients of the last 15 minutes as a JSON object: `minutes`, oldest first, each with its `start`,
        its `requests` and at most 512 `clients`, drawn evenly from them. Nothing is taken out.
        """
    @property
    def version(self) -> tuple[int, int] | None: ...

@final
class Networks:
    """A set of networks. Raises ValueError naming the one that is none."""

    def __new__(cls, networks: Sequence[str], /) -> Networks: ...
    def __contains__(self, address: str, /) -> bool:
        """False for what is no address."""

def parse_proxy_header(data: bytes, /) -> tuple[int, str | None] | None:
    """The PROXY header (version 1 or 2) that `data`, everything since the connection began, starts with.

    None: incomplete, at most 4112 bytes long. Otherwise (bytes of the header, source address or None when the
    proxy speaks for itself). Raises ValueError naming the rule that is broken, as soon as it is.
    """

# Why an exchange ended, in the access log: see "Ends" in proxy/edge/DESIGN.md.
ENDS: Final[tuple[str, ...]]

# Kinds of action (low four bits) and flags of `Downstream.head`.
FORWARD: Final[int]  # `out` goes to the upstream
DENY: Final[int]  # `out` is the whole answer to the client: a denial, or one that its route gives
BODY_DONE: Final[int]  # the request has no body or all of it is in `out`
IDEMPOTENT: Final[int]
UPGRADE: Final[int]  # a websocket handshake: expect TUNNEL from Upstream.data
CLOSE: Final[int]  # the client's connection closes after the answer
EXPECT_CONTINUE: Final[int]
NO_ROUTE: Final[int]  # the route of a request that none fits: `out` is our 404
# Body kinds.
BODY_NONE: Final[int]
BODY_LENGTH: Final[int]
BODY_CHUNKED: Final[int]

@final
class Downstream:
    """The codec of one client connection; one exchange at a time."""

    def __new__(cls, gate: Gate, peer: str, *, https: bool = False, listener: str = "") -> Downstream:
        """`https`: what X-Forwarded-Proto says, unless a trusted peer knows better. `listener`: its name."""
    def head(self, data: bytes, /) -> tuple[int, int, bytes, int, int, int] | int | None:
        """Feed bytes of a request head (and what follows it).

        `route` is the position in the configuration's routes.
        None: incomplete, the bytes were kept. A negative number: minus the status to answer, then close;
        nothing may reach an upstream. Otherwise (action | flags, route, out, body kind, length, consumed):
        `out` is the upstream's head with as much body as came along when both fit 16 KiB, or the denial;
        `length` is what remains of a BODY_LENGTH body after `out`, -1 when chunked; `consumed` counts bytes
        of `data` used (bytes kept earlier not counted), the rest is body or pipelined.
        """
    def body(self, data: bytes, /) -> tuple[bytes, int, bool] | int:
        """Feed body bytes: (bytes for the upstream, consumed of `data`, done) or minus the status, then
        close.

        A length-delimited body passes through uncopied when `data` holds nothing else; a chunked one is
        decoded and encoded anew.
        """
    def reply(self, status: int, end: str | None = None, /, *, close: bool) -> bytes:
        """A whole problem+json answer of our own (no body for HEAD), recorded as this exchange's end.

        `end`: one of `ENDS`; by default what was refused, or what the status suggests.
        """
    def end(self, status: int, end: str | None = None, /) -> None:
        """Record an exchange without a complete answer (499 client gone, 502 after the head...)."""
    def rejudge(self) -> bool:
        """True when the current list denies this exchange's client or domains (for open streams and
        tunnels).
        """
    @property
    def client(self) -> str:
        """The client's own address, as far as we may believe it."""
    @property
    def request_id(self) -> str: ...
    @property
    def has_partial_head(self) -> bool: ...

# Flags of `Upstream.data` and `Upstream.eof`.
RESPONSE_BEGUN: Final[int]  # the final response head has been rendered: no retry, no error page from here
RESPONSE_DONE: Final[int]
REUSE: Final[int]  # with DONE: the upstream connection may go back to the pool
CLOSE_CLIENT: Final[int]  # with DONE: close the client's connection after the flush
TUNNEL: Final[int]  # 101 websocket: from here on bytes pass both ways untouched
BROKEN: Final[int]  # malformed or truncated: 502 when not begun, abort when begun
SERVER_ERROR: Final[int]  # with BEGUN: the status is 5xx, see `Upstream.status`

@final
class Upstream:
    """The codec of one upstream connection: response bytes in, client bytes out."""

    def __new__(cls, gate: Gate, target: str | None = None) -> Upstream:
        """`target`: what the access log calls it."""
    def begin(self, downstream: Downstream, /) -> None:
        """Bind to the exchange that was just sent; resets the codec."""
    def data(self, data: bytes, /) -> tuple[bytes, int]:
        """(bytes for the client, flags). Interim 1xx are in `out` without RESPONSE_BEGUN. Records itself
        when done.

        With TUNNEL `out` is the 101 head followed by any bytes that came behind it. Bytes after a complete
        response clear REUSE and are discarded.
        """
    def eof(self) -> tuple[bytes, int]:
        """The upstream closed: ends a close-delimited body, otherwise BROKEN."""
    @property
    def status(self) -> int:
        """Of the answer that has begun, 0 before."""
