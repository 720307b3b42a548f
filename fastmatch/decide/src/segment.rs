//! The pod's shared memory: what each worker slot counts, read by the control process while they run, and what all
//! workers know together of who came how often.
//!
//! Layout (64-bit words): a header of one cache line (magic, layout version, slots, words per slot, entries of the limit
//! table, its clock's start, the seed of its hash, words of an address table), the names of routes, then one block per
//! slot, each part on cache lines of its own: counters, gauges, histograms, counters by route; then an address table per
//! slot; then the limit table. A slot is written by one worker, so its lines stay in that core's cache; readers add slots
//! up. Relaxed atomics: the numbers need no order among themselves.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blocklist::memory::{SharedSegment, monotonic};

use crate::addresses::AddressTables;
use crate::histogram::{BUCKETS, HISTOGRAM_COUNT, Histogram, bucket_of, upper_bound_seconds};
use crate::limits::table::{self, LimitTable};
use crate::route_counters::{self, Place, RouteCounts, SlotCounters};

macro_rules! numbered {
    ($(#[$about:meta])* $kind:ident, $names:ident: $($(#[$note:meta])* $variant:ident = $name:literal,)+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $kind { $($(#[$note])* $variant,)+ }

        pub const $names: &[&str] = &[$($name,)+];
    };
}

numbered! {
    /// Only ever grows.
    Counter, COUNTERS:
    /// Exchanges that ended, whatever way.
    Requests = "requests",
    /// 101 alone: interim answers are not counted.
    Responses1xx = "responses_1xx",
    Responses2xx = "responses_2xx",
    Responses3xx = "responses_3xx",
    Responses4xx = "responses_4xx",
    Responses5xx = "responses_5xx",
    /// 499; not among the 4xx.
    ClientGone = "client_gone",
    Denied = "denied",
    /// Would have been denied, had `observe` not been set.
    Observed = "observed",
    /// At accept, before a byte was read.
    Dropped = "dropped",
    /// Exceeded a rate limit: 429.
    Limited = "limited",
    /// Would have been limited, had `observe` not been set.
    LimitObserved = "limit_observed",
    /// Requests that a limit had no place to count.
    LimitTableFull = "limit_table_full",
    /// Connections that the caps by address had no place to count.
    ConnectionsUncounted = "connections_uncounted",
    /// No route fits: 404.
    Unrouted = "unrouted",
    /// A path that the upstream keeps to itself: 404.
    Hidden = "hidden",
    /// Requests that broke a rule of the codec.
    Refused = "refused",
    BytesReceived = "bytes_received",
    BytesSent = "bytes_sent",
    UpstreamMalformed = "upstream_malformed",
    UpstreamTruncated = "upstream_truncated",
    EventsDropped = "events_dropped",
    /// Lines of the access log for which there was no room.
    AccessLogDropped = "access_log_dropped",
    /// Opened by a real 101.
    Tunnels = "tunnels",
    // From here on the connection code adds, by name.
    Connections = "connections",
    /// Refused because too many were open.
    ConnectionsShed = "connections_shed",
    UpstreamConnections = "upstream_connections",
    UpstreamConnectErrors = "upstream_connect_errors",
    UpstreamTimeouts = "upstream_timeouts",
    UpstreamResets = "upstream_resets",
    UpstreamStray = "upstream_stray",
    UpstreamRetries = "upstream_retries",
    /// Targets that were left out for a while because they failed.
    UpstreamEjections = "upstream_ejections",
    /// Answered 503 because too many waited already.
    UpstreamQueueFull = "upstream_queue_full",
    /// Answered 503 after waiting.
    UpstreamQueueTimeouts = "upstream_queue_timeouts",
    HeadTimeouts = "head_timeouts",
    BodyTimeouts = "body_timeouts",
    SendTimeouts = "send_timeouts",
    IdleTimeouts = "idle_timeouts",
    TunnelTimeouts = "tunnel_timeouts",
    ClosedOnBlock = "closed_on_block",
    TlsHandshakes = "tls_handshakes",
    /// Handshakes that failed, and connections that broke the protocol later.
    TlsFailures = "tls_failures",
    HandshakeTimeouts = "handshake_timeouts",
    /// Wrong ones, and connections of peers that may not send any.
    ProxyHeadersRefused = "proxy_headers_refused",
    ProxyHeaderTimeouts = "proxy_header_timeouts",
    /// Bodies and readers below the listener's minimum.
    SlowBodies = "slow_bodies",
    SlowReaders = "slow_readers",
    /// Readers closed because the worker held too much.
    ClosedForMemory = "closed_for_memory",
}

numbered! {
    /// Goes up and down; cleared when its worker is gone.
    Gauge, GAUGES:
    RequestsInFlight = "requests_in_flight",
    ConnectionsOpen = "connections_open",
    UpstreamOpen = "upstream_open",
    UpstreamIdle = "upstream_idle",
    /// Exchanges that wait until their upstream may be asked more.
    UpstreamWaiting = "upstream_waiting",
    TunnelsOpen = "tunnels_open",
    BufferedBytes = "buffered_bytes",
}

const MAGIC: u64 = u64::from_le_bytes(*b"SENTRASG");
const LAYOUT_VERSION: u64 = 6;
const SLOTS: usize = 2;
const LIMIT_ENTRIES: usize = 4;
const CLOCK_START: usize = 5;
const KEY_SEED: usize = 6;
const ADDRESS_ENTRIES: usize = 7;
const LINE_WORDS: usize = 8;
/// The names of routes stand behind the header proper.
const HEADER_WORDS: usize = LINE_WORDS + route_counters::PLACES;
const GAUGE_START: usize = COUNTERS.len().next_multiple_of(LINE_WORDS);
const HISTOGRAM_START: usize = GAUGE_START + GAUGES.len().next_multiple_of(LINE_WORDS);
const HISTOGRAM_WORDS: usize = BUCKETS.next_multiple_of(LINE_WORDS);
const ROUTE_START: usize = HISTOGRAM_START + HISTOGRAM_COUNT * HISTOGRAM_WORDS;
const SLOT_WORDS: usize = ROUTE_START + route_counters::SLOT_WORDS;
pub const MAX_SLOTS: usize = 1024;
/// Of the limit table: 8 KiB to 128 MiB.
pub const LIMIT_ENTRY_RANGE: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 24;
pub const DEFAULT_LIMIT_ENTRIES: usize = 1 << 16;
/// Of one slot's address table: 8 KiB to 32 MiB.
pub const ADDRESS_ENTRY_RANGE: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 22;
pub const DEFAULT_ADDRESS_ENTRIES: usize = 1 << 15;

#[derive(Debug)]
pub enum SegmentError {
    Io(io::Error),
    /// What is wrong, found, expected.
    Layout(&'static str, u64, u64),
}

impl fmt::Display for SegmentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(formatter, "{error}"),
            Self::Layout(field, found, expected) => {
                write!(formatter, "segment {field} is {found}, expected {expected}")
            }
        }
    }
}

impl std::error::Error for SegmentError {}

impl From<io::Error> for SegmentError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How much of each there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub slots: usize,
    /// Keys that the limit table has room for; rounded up to a power of two.
    pub limit_entries: usize,
    /// Client addresses that the table of one slot has room for; rounded up to a power of two.
    pub address_entries: usize,
}

impl Sizes {
    pub fn of(slots: usize) -> Self {
        Self {
            slots,
            limit_entries: DEFAULT_LIMIT_ENTRIES,
            address_entries: DEFAULT_ADDRESS_ENTRIES,
        }
    }

    fn checked(self) -> Result<Self, SegmentError> {
        if !(1..=MAX_SLOTS).contains(&self.slots) {
            return Err(layout("slots", self.slots, MAX_SLOTS));
        }
        if !LIMIT_ENTRY_RANGE.contains(&self.limit_entries) {
            let most = *LIMIT_ENTRY_RANGE.end();
            return Err(layout("limit entries", self.limit_entries, most));
        }
        if !ADDRESS_ENTRY_RANGE.contains(&self.address_entries) {
            let most = *ADDRESS_ENTRY_RANGE.end();
            return Err(layout("address entries", self.address_entries, most));
        }
        Ok(Self {
            slots: self.slots,
            limit_entries: self.limit_entries.next_power_of_two(),
            address_entries: self.address_entries.next_power_of_two(),
        })
    }

    /// The address tables begin here.
    fn address_start(self) -> usize {
        HEADER_WORDS + self.slots * SLOT_WORDS
    }

    /// The limit table begins here.
    fn limit_start(self) -> usize {
        self.address_start() + self.slots * self.address_entries
    }

    fn words(self) -> usize {
        self.limit_start() + table::HEAD_WORDS + self.limit_entries
    }
}

fn layout(field: &'static str, found: usize, expected: usize) -> SegmentError {
    SegmentError::Layout(field, found as u64, expected as u64)
}

pub struct Segment {
    memory: SharedSegment,
    sizes: Sizes,
}

impl Segment {
    pub fn create(sizes: Sizes) -> Result<Self, SegmentError> {
        let sizes = sizes.checked()?;
        let memory = SharedSegment::create(sizes.words() * 8)?;
        for (word, value) in memory.words().iter().zip(header(sizes)) {
            word.store(value, Ordering::Relaxed);
        }
        let start = u64::try_from(monotonic().as_nanos()).unwrap_or(0);
        memory.words()[CLOCK_START].store(start, Ordering::Relaxed);
        memory.words()[ADDRESS_ENTRIES].store(sizes.address_entries as u64, Ordering::Relaxed);
        // The standard library's hasher is keyed by the system's random numbers.
        memory.words()[KEY_SEED].store(RandomState::new().hash_one(start), Ordering::Relaxed);
        Ok(Self { memory, sizes })
    }

    pub fn open(descriptor: RawFd) -> Result<Self, SegmentError> {
        let memory = SharedSegment::open(descriptor)?;
        let word = |index: usize| {
            let words = memory.words();
            words
                .get(index)
                .map_or(0, |word| word.load(Ordering::Relaxed))
        };
        let count = |index: usize| usize::try_from(word(index)).unwrap_or(usize::MAX);
        let told = Sizes {
            slots: count(SLOTS),
            limit_entries: count(LIMIT_ENTRIES),
            address_entries: count(ADDRESS_ENTRIES),
        };
        let fields = [
            "magic",
            "layout version",
            "slots",
            "words per slot",
            "limit entries",
        ];
        for (index, (field, expected)) in fields.into_iter().zip(header(told)).enumerate() {
            if word(index) != expected {
                return Err(SegmentError::Layout(field, word(index), expected));
            }
        }
        let sizes = told.checked()?;
        if sizes.address_entries != told.address_entries {
            let (found, expected) = (told.address_entries, sizes.address_entries);
            return Err(layout("address entries", found, expected));
        }
        if sizes != told {
            return Err(layout(
                "limit entries",
                told.limit_entries,
                sizes.limit_entries,
            ));
        }
        if memory.words().len() < sizes.words() {
            return Err(layout(
                "length in words",
                memory.words().len(),
                sizes.words(),
            ));
        }
        Ok(Self { memory, sizes })
    }

    pub fn descriptor(&self) -> RawFd {
        self.memory.fd()
    }

    pub fn slots(&self) -> usize {
        self.sizes.slots
    }

    /// What all workers limit by.
    #[inline]
    pub fn limits(&self) -> LimitTable<'_> {
        let start = self.sizes.limit_start();
        let words = &self.memory.words()[start..self.sizes.words()];
        LimitTable::new(words)
            .expect("invariant: sizes are checked when a segment is made or opened")
    }

    /// Open connections by address, as the worker of this slot sees and changes them.
    pub(crate) fn addresses(&self, slot: usize) -> AddressTables<'_> {
        let start = self.sizes.address_start();
        let words = &self.memory.words()[start..self.sizes.limit_start()];
        AddressTables::new(words, self.sizes.address_entries, slot)
    }

    /// The monotonic clock when the segment was made: its ticks are counted from here.
    pub fn clock_start(&self) -> Duration {
        Duration::from_nanos(self.memory.words()[CLOCK_START].load(Ordering::Relaxed))
    }

    /// Random, the same for all who have this segment.
    pub fn key_seed(&self) -> u64 {
        self.memory.words()[KEY_SEED].load(Ordering::Relaxed)
    }

    #[inline]
    fn word(&self, slot: usize, offset: usize) -> &AtomicU64 {
        &self.memory.words()[HEADER_WORDS + slot * SLOT_WORDS + offset]
    }

    /// Panics when the slot is out of range: `Gate` checks its own once.
    #[inline]
    pub fn add(&self, slot: usize, counter: Counter, amount: u64) {
        self.add_at(slot, counter as usize, amount);
    }

    #[inline]
    pub fn adjust(&self, slot: usize, gauge: Gauge, amount: i64) {
        self.add_at(slot, GAUGE_START + gauge as usize, two_complement(amount));
    }

    #[inline]
    fn add_at(&self, slot: usize, offset: usize, amount: u64) {
        self.word(slot, offset).fetch_add(amount, Ordering::Relaxed);
    }

    /// By name; `None` when there is no such name or a counter would shrink.
    pub fn add_named(&self, slot: usize, name: &str, amount: i64) -> Option<()> {
        if let Some(index) = COUNTERS.iter().position(|known| *known == name) {
            let amount = u64::try_from(amount).ok()?;
            self.add_at(slot, index, amount);
        } else {
            let index = GAUGES.iter().position(|known| *known == name)?;
            self.add_at(slot, GAUGE_START + index, two_complement(amount));
        }
        Some(())
    }

    #[inline]
    pub fn observe(&self, slot: usize, histogram: Histogram, duration: Duration) {
        let start = HISTOGRAM_START + histogram as usize * HISTOGRAM_WORDS;
        self.add_at(slot, start + bucket_of(duration), 1);
    }

    /// What a dead worker had open: its gauges and its connections by address.
    pub fn clear_gauges(&self, slot: usize) {
        self.addresses(slot).clear();
        for index in 0..GAUGES.len() {
            self.word(slot, GAUGE_START + index)
                .store(0, Ordering::Relaxed);
        }
    }

    /// Each name with its sum over the given slots.
    pub fn sums(&self, slots: std::ops::Range<usize>) -> impl Iterator<Item = (&'static str, i64)> {
        let offsets = (0..COUNTERS.len()).chain(GAUGE_START..GAUGE_START + GAUGES.len());
        let names = COUNTERS.iter().chain(GAUGES).copied();
        names.zip(offsets).map(move |(name, offset)| {
            let total = slots.clone().fold(0_u64, |total, slot| {
                total.wrapping_add(self.word(slot, offset).load(Ordering::Relaxed))
            });
            (name, i64::from_ne_bytes(total.to_ne_bytes()))
        })
    }

    fn route_names(&self) -> &[AtomicU64] {
        &self.memory.words()[LINE_WORDS..HEADER_WORDS]
    }

    /// The place that counts for a route of this name, for the segment's whole life.
    pub fn claim_route(&self, name: &str) -> Place {
        route_counters::claim(self.route_names(), name)
    }

    #[inline]
    pub fn route_counters(&self, slot: usize) -> SlotCounters<'_> {
        let start = HEADER_WORDS + slot * SLOT_WORDS + ROUTE_START;
        SlotCounters(&self.memory.words()[start..start + route_counters::SLOT_WORDS])
    }

    /// What the route of this name came to, over all slots; nothing when no worker has met it.
    pub fn route_counts(&self, name: &str) -> RouteCounts {
        let slots = (0..self.sizes.slots).map(|slot| self.route_counters(slot));
        route_counters::counts(self.route_names(), slots, name)
    }

    /// (upper bound in seconds, count) of the buckets that are not empty, ascending, over all slots.
    pub fn histogram(&self, histogram: Histogram) -> Vec<(f64, u64)> {
        let start = HISTOGRAM_START + histogram as usize * HISTOGRAM_WORDS;
        (0..BUCKETS)
            .map(|bucket| {
                let count = (0..self.sizes.slots)
                    .map(|slot| self.word(slot, start + bucket).load(Ordering::Relaxed))
                    .sum();
                (upper_bound_seconds(bucket), count)
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// A gauge is a signed number in an unsigned word: adding wraps to the right sum.
fn two_complement(amount: i64) -> u64 {
    u64::from_ne_bytes(amount.to_ne_bytes())
}

fn header(sizes: Sizes) -> [u64; 5] {
    let (slots, limit_entries) = (sizes.slots as u64, sizes.limit_entries as u64);
    [
        MAGIC,
        LAYOUT_VERSION,
        slots,
        SLOT_WORDS as u64,
        limit_entries,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_mapping_reads_what_each_slot_wrote() {
        let segment = Segment::create(Sizes::of(2)).expect("memfd");
        let other = Segment::open(segment.descriptor()).expect("same layout");
        segment.add(0, Counter::Denied, 2);
        segment.add(1, Counter::Denied, 3);
        segment.adjust(1, Gauge::TunnelsOpen, 4);
        segment.adjust(1, Gauge::TunnelsOpen, -6);
        segment.observe(1, Histogram::Upstream, Duration::from_millis(3));
        let value = |name: &str| {
            let mut sums = other.sums(0..2);
            sums.find(|(known, _)| *known == name)
                .map(|(_, value)| value)
        };
        assert_eq!(value("denied"), Some(5));
        assert_eq!(value("tunnels_open"), Some(-2));
        assert_eq!(other.histogram(Histogram::Upstream).len(), 1);
        assert!(other.histogram(Histogram::Request).is_empty());
        other.clear_gauges(1);
        assert_eq!(value("tunnels_open"), Some(0));
        assert_eq!(value("denied"), Some(5));
    }

    #[test]
    fn another_layout_is_refused_by_name() {
        let segment = Segment::create(Sizes::of(1)).expect("memfd");
        segment.memory.words()[1].store(99, Ordering::Relaxed);
        let error = Segment::open(segment.descriptor()).err().expect("refused");
        assert_eq!(
            error.to_string(),
            "segment layout version is 99, expected 6"
        );
        segment.memory.words()[1].store(LAYOUT_VERSION, Ordering::Relaxed);
        for (field, word) in [
            ("slots", SLOTS),
            ("limit entries", LIMIT_ENTRIES),
            ("address entries", ADDRESS_ENTRIES),
        ] {
            let right = segment.memory.words()[word].load(Ordering::Relaxed);
            for wrong in [0, 3, right * 2, u64::MAX] {
                segment.memory.words()[word].store(wrong, Ordering::Relaxed);
                let error = Segment::open(segment.descriptor()).err();
                assert!(error.is_some(), "{wrong} {field}");
            }
            segment.memory.words()[word].store(right, Ordering::Relaxed);
        }
        assert!(Segment::open(segment.descriptor()).is_ok());
    }

    #[test]
    fn sizes_beyond_their_range_are_refused_and_others_rounded() {
        for (slots, limit_entries, address_entries) in [
            (0, 1024, 1024),
            (1025, 1024, 1024),
            (1, 1023, 1024),
            (1, (1 << 24) + 1, 1024),
            (1, 1024, 1023),
            (1, 1024, (1 << 22) + 1),
        ] {
            let sizes = Sizes {
                slots,
                limit_entries,
                address_entries,
            };
            assert!(Segment::create(sizes).is_err(), "{sizes:?}");
        }
        let sizes = Sizes {
            slots: 1,
            limit_entries: 1025,
            address_entries: 2049,
        };
        let segment = Segment::create(sizes).expect("memfd");
        let opened = Segment::open(segment.descriptor()).expect("same layout");
        assert_eq!(opened.sizes.limit_entries, 2048);
        assert_eq!(opened.sizes.address_entries, 4096);
        assert_eq!(opened.key_seed(), segment.key_seed());
        assert_eq!(opened.clock_start(), segment.clock_start());
    }

    #[test]
    fn counters_never_shrink_and_unknown_names_are_refused() {
        let segment = Segment::create(Sizes::of(1)).expect("memfd");
        assert_eq!(segment.add_named(0, "upstream_retries", -1), None);
        assert_eq!(segment.add_named(0, "no_such", 1), None);
        assert_eq!(segment.add_named(0, "upstream_retries", 1), Some(()));
        assert_eq!(segment.add_named(0, "upstream_idle", -1), Some(()));
    }
}
