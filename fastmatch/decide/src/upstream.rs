//! The codec of one upstream connection: response bytes -> client bytes.

use std::sync::Arc;
use std::time::Instant;

use http1::chunked::{self, Decoder};
use http1::lines::{HeadKind, LineScanner};
use http1::request::FieldStorage;
use http1::response::{self, Parse, ResponseHead};
use http1::{Framing, Refusal, Version};

use crate::downstream::Downstream;
use crate::end::End;
use crate::gate::Gate;
use crate::histogram::Histogram;
use crate::response_head::{self, CLOSES, KEEPS, SAYS_NOTHING, UPGRADES};
use crate::segment::Counter;

pub const RESPONSE_BEGUN: u32 = 1;
pub const RESPONSE_DONE: u32 = 2;
pub const REUSE: u32 = 4;
pub const CLOSE_CLIENT: u32 = 8;
pub const TUNNEL: u32 = 16;
pub const BROKEN: u32 = 32;
/// The answer's status is 5xx: who counts faults asks which.
pub const SERVER_ERROR: u32 = 64;

/// Interim answers to one request; more is a fault.
const MOST_INTERIM: u32 = 64;

#[derive(Debug)]
enum State {
    /// Nothing was asked: whatever comes is a fault.
    Idle,
    Head,
    Length(u64),
    Chunked(Box<Decoder>),
    ToClose,
    Tunnel,
    Done,
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataOutcome {
    pub flags: u32,
    /// The input itself is the output: nothing was written.
    pub passes_through: bool,
}

pub struct Upstream {
    gate: Arc<Gate>,
    /// For the access log: who answers.
    target: Option<Arc<str>>,
    state: State,
    kept: Vec<u8>,
    scanner: LineScanner,
    interim_count: u32,
    status: u16,
    /// The client gets chunks, whatever the upstream sends.
    encodes: bool,
    closes_client: bool,
    may_reuse: bool,
    /// Read once in a call at most: 22 ns each.
    clock: Option<Instant>,
}

impl Upstream {
    pub fn new(gate: Arc<Gate>) -> Self {
        Self {
            gate,
            target: None,
            state: State::Idle,
            kept: Vec::new(),
            scanner: LineScanner::default(),
            interim_count: 0,
            status: 0,
            encodes: false,
            closes_client: false,
            may_reuse: false,
            clock: None,
        }
    }

    /// What the access log calls the one that answers.
    #[must_use]
    pub fn named(mut self, target: &str) -> Self {
        self.target = Some(Arc::from(target));
        self
    }

    /// The exchange was just sent on this connection; may be another one than before (a retry).
    pub fn begin(&mut self, downstream: &mut Downstream) {
        downstream.exchange.upstream_started = Instant::now();
        if let Some(note) = &mut downstream.exchange.note {
            note.attempts += 1;
            note.target.clone_from(&self.target);
        }
        self.state = State::Head;
        self.kept = Vec::new();
        self.interim_count = 0;
        self.status = 0;
        self.encodes = false;
        self.closes_client = false;
        self.may_reuse = false;
    }

    /// Is the exchange over, so that nothing more is owed to its client?
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Idle | State::Done | State::Broken)
    }

    /// Feeds bytes of the answer; output is appended to `out` unless the input is the output.
    pub fn data(
        &mut self,
        data: &[u8],
        downstream: &mut Downstream,
        out: &mut Vec<u8>,
    ) -> DataOutcome {
        let written = out.len();
        let was_answered = self.is_answered();
        self.clock = None;
        self.note_received(data.len(), downstream);
        let mut passes_through = false;
        let result = match self.state {
            State::Head => self.heads(data, downstream, out),
            State::Tunnel => {
                passes_through = true;
                Ok(())
            }
            State::Idle | State::Done | State::Broken => {
                self.stray(data);
                Ok(())
            }
            State::Length(left) if left >= data.len() as u64 => {
                passes_through = true;
                self.length_taken(data.len() as u64);
                Ok(())
            }
            State::ToClose if !self.encodes => {
                passes_through = true;
                Ok(())
            }
            _ => self.body(data, out),
        };
        if result.is_err() {
            self.gate.count(Counter::UpstreamMalformed, 1);
            self.state = State::Broken;
        }
        let sent = if passes_through {
            data.len()
        } else {
            out.len() - written
        };
        downstream.exchange.sent(&self.gate, sent);
        if self.is_answered() && !was_answered {
            self.record(downstream);
        }
        DataOutcome {
            flags: self.flags(),
            passes_through,
        }
    }

    /// The upstream closed its side.
    pub fn eof(&mut self, downstream: &mut Downstream, out: &mut Vec<u8>) -> u32 {
        self.clock = None;
        match self.state {
            State::ToClose => {
                if self.encodes {
                    out.extend_from_slice(chunked::LAST_CHUNK);
                    downstream
                        .exchange
                        .sent(&self.gate, chunked::LAST_CHUNK.len());
                }
                self.state = State::Done;
                self.record(downstream);
            }
            State::Head | State::Length(_) | State::Chunked(_) => {
                self.gate.count(Counter::UpstreamTruncated, 1);
                self.state = State::Broken;
            }
            State::Idle | State::Tunnel | State::Done | State::Broken => {}
        }
        self.may_reuse = false;
        self.flags()
    }

    pub fn flags(&self) -> u32 {
        let begun = match self.status {
            0 => 0,
            1..500 => RESPONSE_BEGUN,
            _ => RESPONSE_BEGUN | SERVER_ERROR,
        };
        match self.state {
            State::Idle | State::Broken => begun | BROKEN,
            State::Tunnel => begun | TUNNEL,
            State::Done => {
                begun
                    | RESPONSE_DONE
                    | if self.may_reuse { REUSE } else { 0 }
                    | if self.closes_client { CLOSE_CLIENT } else { 0 }
            }
            _ => begun,
        }
    }

    /// Of the answer that has begun; 0 before.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Bytes that nobody asked for: they must never reach the next client of this connection.
    pub fn stray(&mut self, data: &[u8]) {
        self.may_reuse &= data.is_empty();
    }

    fn heads(
        &mut self,
        data: &[u8],
        downstream: &mut Downstream,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let gate = Arc::clone(&self.gate);
        let snapshot = gate.load();
        let limits = &snapshot.tables.response_limits;
        let to_head = downstream.exchange.is_head;
        let mut rest = data;
        while matches!(self.state, State::Head) && !rest.is_empty() {
            let mut storage = FieldStorage::new();
            if self.kept.is_empty() {
                match response::parse(rest, limits, to_head, &mut storage)? {
                    Parse::Complete(head) => {
                        rest = &rest[head.length..];
                        self.take_head(&head, downstream, out)?;
                    }
                    Parse::Incomplete(scanner) => {
                        self.scanner = scanner;
                        self.kept.extend_from_slice(rest);
                        return Ok(());
                    }
                }
                continue;
            }
            let kept_before = self.kept.len();
            let room = (limits.head_bytes + 1).saturating_sub(kept_before);
            self.kept.extend_from_slice(&rest[..room.min(rest.len())]);
            let Some(length) = self
                .scanner
                .advance(&self.kept, HeadKind::Response, limits)?
            else {
                return Ok(());
            };
            let kept = std::mem::take(&mut self.kept);
            rest = &rest[length - kept_before..];
            match response::parse(&kept[..length], limits, to_head, &mut storage)? {
                Parse::Complete(head) => self.take_head(&head, downstream, out)?,
                Parse::Incomplete(_) => return Err(Refusal::Field),
            }
        }
        if matches!(self.state, State::Tunnel) {
            out.extend_from_slice(rest);
            return Ok(());
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.body(rest, out)
    }

    fn take_head(
        &mut self,
        head: &ResponseHead<'_, '_>,
        downstream: &mut Downstream,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match head.status {
            101 if downstream.exchange.is_upgrade && head.is_websocket => {
                self.status = 101;
                self.write_head(out, head, UPGRADES, downstream);
                self.observe_head(downstream);
                self.state = State::Tunnel;
                self.gate.count(Counter::Tunnels, 1);
                Ok(())
            }
            101 => Err(Refusal::Status),
            ..200 => {
                self.interim_count += 1;
                if self.interim_count > MOST_INTERIM {
                    return Err(Refusal::Status);
                }
                // RFC 9110 section 15.2: forwarded, but never to HTTP/1.0.
                if downstream.exchange.version == Version::Http11 {
                    self.write_head(out, head, SAYS_NOTHING, downstream);
                }
                Ok(())
            }
            _ => {
                self.take_final(head, downstream, out);
                Ok(())
            }
        }
    }

    fn take_final(
        &mut self,
        head: &ResponseHead<'_, '_>,
        downstream: &mut Downstream,
        out: &mut Vec<u8>,
    ) {
        let is_http11 = downstream.exchange.version == Version::Http11;
        let request_is_done = downstream.exchange.body.is_done();
        let has_unknown_end = matches!(head.framing, Framing::Chunked | Framing::ToClose);
        self.status = head.status;
        if let Some(note) = &mut downstream.exchange.note {
            note.status = head.status;
        }
        self.encodes = is_http11 && has_unknown_end;
        self.closes_client =
            !downstream.keeps_alive() || !request_is_done || (has_unknown_end && !is_http11);
        self.may_reuse = head.keep_alive && request_is_done && head.framing != Framing::ToClose;
        let connection = match (self.closes_client, is_http11) {
            (true, _) => CLOSES,
            (false, false) => KEEPS,
            (false, true) => SAYS_NOTHING,
        };
        self.write_head(out, head, connection, downstream);
        self.observe_head(downstream);
        match head.framing {
            Framing::None | Framing::Length(0) => self.state = State::Done,
            Framing::Length(length) => self.state = State::Length(length),
            Framing::Chunked => self.state = State::Chunked(Box::default()),
            Framing::ToClose => self.state = State::ToClose,
        }
    }

    fn now(&mut self) -> Instant {
        *self.clock.get_or_insert_with(Instant::now)
    }

    fn observe_head(&mut self, downstream: &Downstream) {
        let duration = self.now() - downstream.exchange.upstream_started;
        self.gate.observe(Histogram::Upstream, duration);
    }

    fn write_head(
        &self,
        out: &mut Vec<u8>,
        head: &ResponseHead<'_, '_>,
        connection: &[u8],
        downstream: &Downstream,
    ) {
        let (now, changes) = (self.gate.now(), downstream.exchange.response_changes());
        let is_interim = head.status < 200 && head.status != 101;
        let ours: &[u8] = if is_interim {
            b""
        } else {
            &downstream.exchange.limit_note.fields
        };
        response_head::write(out, head, self.encodes, now, ours, connection, changes);
    }

    fn body(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        match &mut self.state {
            State::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                out.extend_from_slice(&data[..length]);
                self.length_taken(length as u64);
                self.stray(&data[length..]);
            }
            State::Chunked(decoder) => {
                let used = if self.encodes {
                    chunked::recode(decoder, data, out)?.0
                } else {
                    decoder.decode(data, |payload| out.extend_from_slice(payload))?
                };
                if decoder.is_done() {
                    self.state = State::Done;
                }
                self.stray(&data[used..]);
            }
            State::ToClose if self.encodes => chunked::encode(out, data),
            State::ToClose => out.extend_from_slice(data),
            _ => self.stray(data),
        }
        Ok(())
    }

    fn length_taken(&mut self, length: u64) {
        if let State::Length(left) = &mut self.state {
            *left -= length;
            if *left == 0 {
                self.state = State::Done;
            }
        }
    }

    /// Has the client got all that it will get from this codec?
    fn is_answered(&self) -> bool {
        matches!(self.state, State::Done | State::Tunnel)
    }

    #[inline]
    fn note_received(&mut self, length: usize, downstream: &mut Downstream) {
        if let Some(note) = &mut downstream.exchange.note {
            note.upstream_received += length as u64;
            if note.first_byte.is_none() {
                note.first_byte = Some(self.now());
            }
        }
    }

    /// After what this call sends was counted.
    fn record(&mut self, downstream: &mut Downstream) {
        let now = self.now();
        let end = match self.state {
            State::Tunnel => End::Tunnel,
            _ => End::Complete,
        };
        downstream
            .exchange
            .record(&self.gate, self.status, end, now);
    }
}
