//! What all connections of a worker share: tables, list, clock, counters, events. Each change is one store.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};
use blocklist::Blocklist;

use crate::access::AccessLog;
use crate::addresses::Entry;
use crate::config::Tables;
use crate::end::End;
use crate::events::{Event, Events};
use crate::histogram::Histogram;
use crate::identity::parse_address;
use crate::judge::{Hosts, judge};
use crate::limits::keys::{Identity, Keys};
use crate::limits::{Clock, Counting};
use crate::request_id::RequestId;
use crate::route::Route;
use crate::route_counters::Place;
use crate::segment::{Counter, Gauge, Segment};
use crate::traffic::Traffic;

/// What one request is decided by, from its head to its end.
pub struct Snapshot {
    pub tables: Arc<Tables>,
    pub list: Option<Arc<Blocklist>>,
    /// Where each route of `tables` counts.
    places: Arc<[Place]>,
}

impl Snapshot {
    /// That of no route for the fallback.
    #[inline]
    pub fn place_of(&self, route: &Route) -> Place {
        let index = usize::try_from(route.index).unwrap_or(usize::MAX);
        self.places.get(index).copied().unwrap_or_default()
    }
}

/// A peer name that is no address.
#[derive(Debug)]
pub struct InvalidPeer(String);

impl fmt::Display for InvalidPeer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "peer {:?} is not an address", self.0)
    }
}

impl std::error::Error for InvalidPeer {}

pub fn parse_peer(peer: &str) -> Result<IpAddr, InvalidPeer> {
    parse_address(peer).ok_or_else(|| InvalidPeer(peer.to_owned()))
}

pub struct Gate {
    snapshot: ArcSwap<Snapshot>,
    now: AtomicU64,
    is_draining: AtomicBool,
    segment: Arc<Segment>,
    slot: usize,
    id_seed: u64,
    id_count: AtomicU64,
    events: Mutex<Events>,
    traffic: Mutex<Traffic>,
    clock: Clock,
    keys: Keys,
    pub(crate) access_log: AccessLog,
}

impl Gate {
    /// None when the segment has no such slot.
    pub fn new(tables: Arc<Tables>, segment: Arc<Segment>, slot: usize) -> Option<Self> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let (clock, keys) = (
            Clock::new(segment.clock_start()),
            Keys::new(segment.key_seed()),
        );
        let gate = (slot < segment.slots()).then(|| Self {
            snapshot: ArcSwap::from_pointee(Snapshot {
                places: places(&segment, &tables),
                tables,
                list: None,
            }),
            now: AtomicU64::new(now),
            is_draining: AtomicBool::new(false),
            segment,
            slot,
            // The standard library's hasher is keyed by the system's random numbers: ids differ between processes.
            id_seed: RandomState::new().hash_one(slot),
            id_count: AtomicU64::new(RandomState::new().hash_one(slot)),
            events: Mutex::default(),
            access_log: AccessLog::default(),
            traffic: Mutex::new(Traffic::new(now)),
            clock,
            keys,
        })?;
        gate.sweep_limits();
        Some(gate)
    }

    pub fn configure(&self, tables: &Arc<Tables>) {
        let places = places(&self.segment, tables);
        self.snapshot.rcu(|current| Snapshot {
            tables: Arc::clone(tables),
            list: current.list.clone(),
            places: Arc::clone(&places),
        });
        self.sweep_limits();
    }

    pub fn install(&self, list: Option<&Arc<Blocklist>>) {
        if let Some(list) = list {
            list.clock().advance(self.now());
        }
        self.snapshot.rcu(|current| Snapshot {
            tables: Arc::clone(&current.tables),
            list: list.cloned(),
            places: Arc::clone(&current.places),
        });
    }

    #[inline]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub fn tick(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
        if let Some(list) = &self.load().list {
            list.clock().advance(now);
        }
        self.sweep_limits();
    }

    /// A part of the limit table, and all of it when nobody has for long.
    fn sweep_limits(&self) {
        if self.load().tables.limiting.is_on {
            self.segment
                .limits()
                .sweep(self.clock.ticks(Instant::now()));
        }
    }

    /// What rate limits count in. `moment`: when the request was there.
    #[inline]
    pub(crate) fn counting(&self, moment: Instant, passes_unknown: bool) -> Counting<'_> {
        Counting {
            table: self.segment.limits(),
            keys: &self.keys,
            now: self.clock.ticks(moment),
            passes_unknown,
        }
    }

    #[inline]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// From now on every answer closes its connection.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    pub fn version(&self) -> Option<(u64, u64)> {
        self.load().list.as_ref().map(|list| list.version())
    }

    /// False: drop the connection. A trusted proxy speaks for others and is never dropped.
    ///
    /// `drop_score` in tenths: the listener's own, else the configured one.
    pub fn accept(&self, peer: &str, drop_score: Option<u8>) -> Result<bool, InvalidPeer> {
        let peer = parse_peer(peer)?;
        let snapshot = self.load();
        let drop_score = drop_score.or(snapshot.tables.drop_score);
        let (Some(drop_score), Some(list)) = (drop_score, &snapshot.list) else {
            return Ok(true);
        };
        if snapshot.tables.trusted.contains(peer) {
            return Ok(true);
        }
        let hosts = Hosts::default();
        let Some(judgement) =
            judge(list, peer, &hosts).filter(|judgement| judgement.score >= drop_score)
        else {
            return Ok(true);
        };
        self.count(Counter::Dropped, 1);
        self.record_drop(&Event {
            time: self.now(),
            request_id: b"",
            client: peer,
            peer,
            judgement: Some(judgement),
            limit: b"",
            method: b"",
            host: b"",
            path: b"",
            action: "dropped",
            slot: self.slot,
        });
        Ok(false)
    }

    /// One more connection of this client address, unless `most` of the pod's are open already (IPv6: of its /64).
    /// Each `scope`, such as a listener, counts by itself. What is counted has to `leave`. A trusted proxy speaks for
    /// others and is not counted.
    pub fn enter(&self, scope: &str, address: &str, most: u64) -> Result<Entry, InvalidPeer> {
        let address = parse_peer(address)?;
        if self.load().tables.trusted.contains(address) {
            return Ok(Entry::Uncounted);
        }
        let tables = self.segment.addresses(self.slot);
        let entry = tables.enter(self.address_key(scope, address), most);
        if entry == Entry::Uncounted {
            self.count(Counter::ConnectionsUncounted, 1);
        }
        Ok(entry)
    }

    /// A connection that was counted has closed.
    pub fn leave(&self, scope: &str, address: &str) -> Result<(), InvalidPeer> {
        let key = self.address_key(scope, parse_peer(address)?);
        self.segment.addresses(self.slot).leave(key);
        Ok(())
    }

    fn address_key(&self, scope: &str, address: IpAddr) -> u64 {
        let identity = Identity::of(Some(scope), false, "", "connections");
        self.keys.of_client(identity, address)
    }

    fn record_drop(&self, event: &Event<'_>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.samples_drop(event.time) {
            events.push(event);
        }
    }

    pub fn record_event(&self, event: &Event<'_>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if !events.push(event) {
            self.count(Counter::EventsDropped, 1);
        }
    }

    /// As many as a second's sample takes; all are counted by their counter.
    pub fn record_refusal(&self, event: &Event<'_>) {
        let is_sampled = {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.samples_refusal(event.time)
        };
        if is_sampled {
            self.record_event(event);
        }
    }

    pub fn drain_events(&self) -> Vec<u8> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.drain()
    }

    /// `share` of the exchanges that end well, all others too; `None`: off. `most_bytes` are kept between two drains.
    pub fn log_access(&self, share: Option<f64>, with_query: bool, most_bytes: usize) {
        self.access_log.configure(share, with_query, most_bytes);
    }

    /// Lines of the access log since the last call; `spare` gives its memory.
    pub fn drain_access_log(&self, spare: Vec<u8>) -> Vec<u8> {
        self.access_log.drain(spare)
    }

    pub(crate) fn note_traffic(&self, client: IpAddr, place: Place, bytes: u64, end: End) {
        let counters = self.segment.route_counters(self.slot);
        counters.moved(place, bytes);
        self.traffic().add(self.now(), client, bytes, end);
    }

    /// Who sent most since the last call, as a JSON object.
    pub fn drain_hitters(&self) -> Vec<u8> {
        self.traffic().drain_hitters(self.now())
    }

    /// Clients of the last quarter of an hour, a fair sample of each minute, as a JSON object.
    pub fn client_sample(&self) -> Vec<u8> {
        self.traffic().client_sample(self.now())
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn slot(&self) -> usize {
        self.slot
    }

    #[inline]
    pub fn count(&self, counter: Counter, amount: u64) {
        self.segment.add(self.slot, counter, amount);
    }

    #[inline]
    pub fn route_ended(&self, place: Place, status: u16, duration: Duration) {
        let counters = self.segment.route_counters(self.slot);
        counters.ended(place, status, duration);
    }

    #[inline]
    pub fn route_denied(&self, place: Place) {
        self.segment.route_counters(self.slot).denied(place);
    }

    #[inline]
    pub fn route_limited(&self, place: Place) {
        self.segment.route_counters(self.slot).limited(place);
    }

    #[inline]
    pub fn adjust(&self, gauge: Gauge, amount: i64) {
        self.segment.adjust(self.slot, gauge, amount);
    }

    #[inline]
    pub fn observe(&self, histogram: Histogram, duration: Duration) {
        self.segment.observe(self.slot, histogram, duration);
    }

    /// 128 bits in hexadecimal: a random half per process, and a counter mixed so that neighbours look unrelated.
    #[inline]
    pub fn next_request_id(&self) -> RequestId {
        let count = self.id_count.fetch_add(1, Ordering::Relaxed);
        RequestId::from_words([self.id_seed ^ mix(!count), mix(count)])
    }
}

fn places(segment: &Segment, tables: &Tables) -> Arc<[Place]> {
    tables
        .route_names()
        .map(|name| segment.claim_route(name))
        .collect()
}

/// A bijection on 64 bits (splitmix64's finaliser), so ids never repeat within a process.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
