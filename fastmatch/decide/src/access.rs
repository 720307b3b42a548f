//! Ended exchanges -> lines of the access log, in a bounded buffer that a writer elsewhere drains.
//!
//! What only the head knows is rendered when it is there, into a note that the exchange carries to its record. Off, a
//! note is never made: the cost is a branch where bytes are counted. Text that a client wrote is cut and escaped as in
//! events.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http1::render::decimal;
use http1::request::RequestHead;

use crate::end::End;
use crate::events::{list_member, long_text_member, member, score, text_member};
use crate::exchange::Exchange;
use crate::forward::{path_of, target_of, write_address};
use crate::judge::Judgement;

/// Longest path, in octets of the request.
const PATH_BYTES: usize = 1024;
/// The whole is this many parts.
const ALL: u64 = 1 << 32;
/// A line of ordinary length, so that the note is allocated once.
const NOTE_BYTES: usize = 512;

/// What an exchange collects for its line.
#[derive(Debug)]
pub struct Note {
    /// Members known from the head, each with a comma before it.
    head: Vec<u8>,
    peer: IpAddr,
    pub listener: Option<Arc<str>>,
    pub is_https: bool,
    pub action: &'static str,
    /// Why it ends, once that is known.
    pub end: Option<End>,
    /// Of the final head that went to the client; 0: none did.
    pub status: u16,
    pub attempts: u32,
    pub decided: Option<Instant>,
    pub first_byte: Option<Instant>,
    pub target: Option<Arc<str>>,
    pub received: u64,
    pub sent: u64,
    pub upstream_sent: u64,
    pub upstream_received: u64,
}

impl Note {
    fn new(peer: IpAddr) -> Self {
        Self {
            head: Vec::with_capacity(NOTE_BYTES),
            peer,
            listener: None,
            is_https: false,
            action: "",
            end: None,
            status: 0,
            attempts: 0,
            decided: None,
            first_byte: None,
            target: None,
            received: 0,
            sent: 0,
            upstream_sent: 0,
            upstream_received: 0,
        }
    }

    pub fn take_head(&mut self, head: &RequestHead<'_, '_>, with_query: bool) {
        let out = &mut self.head;
        text_member(out, "method", head.method_text.as_bytes());
        text_member(out, "host", head.host.map_or(&b""[..], |host| host.text));
        let path = if with_query {
            target_of(&head.target)
        } else {
            path_of(&head.target)
        };
        long_text_member(out, "path", path, PATH_BYTES);
    }

    pub fn take_judgement(&mut self, judgement: &Judgement<'_, '_>) {
        let out = &mut self.head;
        member(out, "score");
        score(out, judgement.score);
        text_member(out, "subject", judgement.subject.name().as_bytes());
        list_member(out, "sources", judgement.verdict.sources());
        list_member(out, "categories", judgement.verdict.categories());
    }
}

/// What is written, and what has been.
#[derive(Debug, Default)]
pub struct AccessLog {
    /// Of 2^32 ordinary exchanges; 0 with `is_on` unset.
    share: AtomicU64,
    is_on: AtomicBool,
    with_query: AtomicBool,
    most_bytes: AtomicUsize,
    sampled: AtomicU64,
    lines: Mutex<Vec<u8>>,
}

impl AccessLog {
    /// `share` of the exchanges that end well, 0-1; `None`: nothing is written.
    pub fn configure(&self, share: Option<f64>, with_query: bool, most_bytes: usize) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "within 0-2^32"
        )]
        let parts = share.map_or(0, |share| {
            (share.clamp(0.0, 1.0) * ALL as f64).ceil() as u64
        });
        self.share.store(parts, Ordering::Relaxed);
        self.with_query.store(with_query, Ordering::Relaxed);
        self.most_bytes.store(most_bytes, Ordering::Relaxed);
        self.is_on.store(share.is_some(), Ordering::Relaxed);
    }

    #[inline]
    pub fn note(&self, peer: IpAddr) -> Option<Box<Note>> {
        self.is_on
            .load(Ordering::Relaxed)
            .then(|| Box::new(Note::new(peer)))
    }

    pub fn with_query(&self) -> bool {
        self.with_query.load(Ordering::Relaxed)
    }

    /// False when there was no room.
    pub fn write(&self, note: &Note, line: &Line<'_>) -> bool {
        let is_ordinary = line.end.is_ordinary() && line.status < 500;
        if is_ordinary && !self.is_sampled() {
            return true;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= self.most_bytes.load(Ordering::Relaxed) {
            return false;
        }
        render(&mut lines, note, line);
        true
    }

    /// Evenly spread, without a random number: each exchange adds its share, and one is written at each whole.
    fn is_sampled(&self) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        let before = self.sampled.fetch_add(share, Ordering::Relaxed);
        share >= ALL || before / ALL != before.wrapping_add(share) / ALL
    }

    /// The lines so far. `spare` is an empty buffer to go on with, so that its memory is used again.
    pub fn drain(&self, mut spare: Vec<u8>) -> Vec<u8> {
        spare.clear();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut lines, spare)
    }
}

pub struct Line<'l> {
    pub exchange: &'l Exchange,
    pub status: u16,
    pub end: End,
    pub now: Instant,
    pub slot: usize,
}

fn render(out: &mut Vec<u8>, note: &Note, line: &Line<'_>) {
    let exchange = line.exchange;
    let duration = line.now.saturating_duration_since(exchange.started);
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    out.extend_from_slice(b"{\"event\":\"exchange_ended\",\"time\":");
    seconds(out, since_epoch.saturating_sub(duration));
    text_member(out, "request_id", exchange.request_id.as_bytes());
    address_member(out, "client", exchange.client);
    address_member(out, "peer", note.peer);
    out.extend_from_slice(&note.head);
    text_member(out, "action", note.action.as_bytes());
    number_member(out, "status", u64::from(line.status));
    text_member(out, "end", line.end.word().as_bytes());
    duration_member(out, "seconds", duration);
    number_member(out, "received_bytes", note.received);
    number_member(out, "sent_bytes", note.sent);
    text_member(
        out,
        "scheme",
        if note.is_https { b"https" } else { b"http" },
    );
    if let Some(listener) = &note.listener {
        text_member(out, "listener", listener.as_bytes());
    }
    if let Some(route) = &exchange.route {
        text_member(out, "route", route.name.as_bytes());
    }
    if note.attempts > 0 {
        upstream_members(out, note, exchange);
    } else if let Some(decided) = note.decided {
        // Nobody was found to ask, and the whole time went into it.
        let waited = line.now.saturating_duration_since(decided);
        duration_member(out, "connect_seconds", waited);
    }
    number_member(out, "slot", line.slot as u64);
    out.extend_from_slice(b"}\n");
}

fn upstream_members(out: &mut Vec<u8>, note: &Note, exchange: &Exchange) {
    if let Some(target) = &note.target {
        text_member(out, "upstream", target.as_bytes());
    }
    number_member(out, "attempts", u64::from(note.attempts));
    if let Some(decided) = note.decided {
        let waited = exchange.upstream_started.saturating_duration_since(decided);
        duration_member(out, "connect_seconds", waited);
    }
    if let Some(first_byte) = note.first_byte {
        let waited = first_byte.saturating_duration_since(exchange.upstream_started);
        duration_member(out, "first_byte_seconds", waited);
    }
    number_member(out, "upstream_sent_bytes", note.upstream_sent);
    number_member(out, "upstream_received_bytes", note.upstream_received);
}

fn number_member(out: &mut Vec<u8>, name: &str, value: u64) {
    member(out, name);
    decimal(out, value);
}

fn address_member(out: &mut Vec<u8>, name: &str, address: IpAddr) {
    member(out, name);
    out.push(b'"');
    write_address(out, address);
    out.push(b'"');
}

fn duration_member(out: &mut Vec<u8>, name: &str, duration: Duration) {
    member(out, name);
    seconds(out, duration);
}

/// With six decimals.
fn seconds(out: &mut Vec<u8>, duration: Duration) {
    decimal(out, duration.as_secs());
    out.push(b'.');
    let mut rest = duration.subsec_micros();
    let mut unit = 100_000;
    while unit > 0 {
        out.push(b'0' + u8::try_from(rest / unit % 10).unwrap_or(0));
        rest %= unit;
        unit /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_spread_evenly_and_exactly() {
        let log = AccessLog::default();
        log.configure(Some(0.25), false, 1);
        let written = (0..1000).filter(|_| log.is_sampled()).count();
        assert_eq!(written, 250);
        log.configure(Some(1.0), false, 1);
        assert!((0..1000).all(|_| log.is_sampled()));
        log.configure(Some(0.0), false, 1);
        assert!(!(0..1000).any(|_| log.is_sampled()));
    }

    #[test]
    fn seconds_have_six_decimals() {
        let mut out = Vec::new();
        seconds(&mut out, Duration::new(12, 3_045_000));
        assert_eq!(out, b"12.003045");
    }

    #[test]
    fn off_makes_no_note() {
        let log = AccessLog::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        assert!(log.note(peer).is_none());
        log.configure(Some(0.0), false, 1);
        assert!(log.note(peer).is_some());
        log.configure(None, false, 1);
        assert!(log.note(peer).is_none());
    }
}
