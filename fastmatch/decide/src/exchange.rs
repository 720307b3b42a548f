//! The one mutable record: what an exchange is, from the first byte of its head to its entry in the counters.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use http1::Version;
use http1::request::{Method, RequestHead};

use crate::access::{Line, Note};
use crate::changes::Changes;
use crate::end::End;
use crate::gate::Gate;
use crate::histogram::Histogram;
use crate::judge::Hosts;
use crate::request_body::RequestBody;
use crate::request_id::RequestId;
use crate::route::Route;
use crate::route_counters::Place;
use crate::segment::{Counter, Gauge};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the first byte, or after the last exchange was recorded.
    Idle,
    /// Head bytes have come; nothing was decided.
    Head,
    /// Forwarded: somebody has to end it.
    Forwarded,
}

#[derive(Debug)]
pub struct Exchange {
    pub phase: Phase,
    pub started: Instant,
    /// When its head was complete.
    pub decided: Instant,
    pub upstream_started: Instant,
    pub client: IpAddr,
    pub request_id: RequestId,
    pub version: Version,
    pub keep_alive: bool,
    pub is_head: bool,
    pub is_upgrade: bool,
    pub body: RequestBody,
    pub hosts: Hosts,
    /// Of the last head, whose configuration may be gone by now.
    pub route: Option<Arc<Route>>,
    /// Where that route counts.
    pub place: Place,
    /// For the access log, from its first byte to its record; never there when that is off.
    pub note: Option<Box<Note>>,
    pub limit_note: LimitNote,
    /// From and to the client; those of a tunnel are not among them.
    pub bytes: u64,
}

/// What the client is told of its rate limits. Empty unless there is something to tell.
#[derive(Debug, Default)]
pub struct LimitNote {
    /// Whole fields of a head.
    pub fields: Vec<u8>,
    /// Of the limits that were exceeded, as JSON strings.
    pub names: Vec<u8>,
}

impl Exchange {
    pub fn new(peer: IpAddr) -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Idle,
            started: now,
            decided: now,
            upstream_started: now,
            client: peer,
            request_id: RequestId::from_words([0, 0]),
            version: Version::Http11,
            keep_alive: false,
            is_head: false,
            is_upgrade: false,
            body: RequestBody::Done,
            hosts: Hosts::default(),
            route: None,
            place: Place::default(),
            limit_note: LimitNote::default(),
            note: None,
            bytes: 0,
        }
    }

    /// The first byte of a head has come.
    pub fn start(&mut self, gate: &Gate, peer: IpAddr) {
        self.phase = Phase::Head;
        self.place = Place::default();
        self.note = gate.access_log.note(peer);
        self.started = Instant::now();
        self.decided = self.started;
        self.client = peer;
        self.request_id = gate.next_request_id();
        self.version = Version::Http11;
        self.keep_alive = false;
        self.is_head = false;
        self.is_upgrade = false;
        self.body = RequestBody::Done;
        self.hosts.clear();
        self.limit_note.fields.clear();
        self.limit_note.names.clear();
        self.bytes = 0;
    }

    pub fn take_head(&mut self, head: &RequestHead<'_, '_>) {
        self.version = head.version;
        self.keep_alive = head.keep_alive;
        self.is_head = head.method == Method::Head;
        self.is_upgrade = head.is_websocket;
        self.body = RequestBody::new(head.framing);
    }

    /// Kept from request to request: counting references costs more than seeing that it is the same route again.
    pub fn take_route(&mut self, route: &Arc<Route>, place: Place) {
        self.place = place;
        if !self
            .route
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, route))
        {
            self.route = Some(Arc::clone(route));
        }
    }

    /// None before the first head.
    pub fn response_changes(&self) -> &Changes {
        static NO_CHANGES: LazyLock<Changes> = LazyLock::new(Changes::default);
        match &self.route {
            Some(route) => &route.response_changes,
            None => &NO_CHANGES,
        }
    }

    /// From here on it counts as in flight.
    pub fn forwarded(&mut self, gate: &Gate) {
        self.phase = Phase::Forwarded;
        gate.adjust(Gauge::RequestsInFlight, 1);
    }

    /// Counts the exchange once, however often it is ended.
    pub fn record(&mut self, gate: &Gate, status: u16, end: End, now: Instant) {
        match self.phase {
            Phase::Idle => return,
            Phase::Head => {}
            Phase::Forwarded => gate.adjust(Gauge::RequestsInFlight, -1),
        }
        self.phase = Phase::Idle;
        gate.count(Counter::Requests, 1);
        let class = match status {
            499 => Counter::ClientGone,
            ..200 => Counter::Responses1xx,
            200..300 => Counter::Responses2xx,
            300..400 => Counter::Responses3xx,
            400..500 => Counter::Responses4xx,
            _ => Counter::Responses5xx,
        };
        gate.count(class, 1);
        let duration = now - self.started;
        gate.route_ended(self.place, status, duration);
        gate.observe(Histogram::Request, duration);
        gate.note_traffic(self.client, self.place, self.bytes, end);
        if let Some(note) = self.note.take() {
            self.log(gate, &note, status, end, now);
        }
    }

    /// With the status that the client has seen: an answer may be cut after its head.
    #[cold]
    fn log(&self, gate: &Gate, note: &Note, status: u16, end: End, now: Instant) {
        let line = Line {
            exchange: self,
            status: if note.status == 0 {
                status
            } else {
                note.status
            },
            end,
            now,
            slot: gate.slot(),
        };
        if !gate.access_log.write(note, &line) {
            gate.count(Counter::AccessLogDropped, 1);
        }
    }

    /// Bytes from the client.
    #[inline]
    pub fn received(&mut self, gate: &Gate, count: usize) {
        gate.count(Counter::BytesReceived, count as u64);
        self.bytes += count as u64;
        if let Some(note) = &mut self.note {
            note.received += count as u64;
        }
    }

    /// Bytes to the client.
    #[inline]
    pub fn sent(&mut self, gate: &Gate, count: usize) {
        gate.count(Counter::BytesSent, count as u64);
        self.bytes += count as u64;
        if let Some(note) = &mut self.note {
            note.sent += count as u64;
        }
    }
}
