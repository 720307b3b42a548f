//! The codec of one client connection: request bytes -> what goes upstream, or the answer that keeps it from there.
//!
//! One exchange at a time. Bytes of a head are kept only while it is incomplete; a connection between two requests
//! holds no buffer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http1::chunked::{Decoder, recode};
use http1::field::FieldKind;
use http1::lines::{HeadKind, LineScanner};
use http1::request::{self, FieldStorage, Method, Parse, RequestHead};
use http1::{Framing, Refusal, Version};

use crate::answer::{self, Answer};
use crate::events::Event;
use crate::exchange::{Exchange, Phase, RequestBody};
use crate::forward::{self, Forward, fields_of, path_of, write_address};
use crate::gate::{Gate, InvalidPeer, Snapshot, parse_peer};
use crate::identity::identify;
use crate::judge::{Judgement, judge};
use crate::segment::Counter;

/// Kinds of action, in the low four bits, and flags.
pub const FORWARD: u32 = 1;
pub const DENY: u32 = 2;
pub const BODY_DONE: u32 = 16;
pub const IDEMPOTENT: u32 = 32;
pub const UPGRADE: u32 = 64;
pub const CLOSE: u32 = 128;
pub const EXPECT_CONTINUE: u32 = 256;

pub const BODY_NONE: u32 = 0;
pub const BODY_LENGTH: u32 = 1;
pub const BODY_CHUNKED: u32 = 2;

/// Head and body travel as one piece up to here: copying is cheaper than a second system call.
const TOGETHER_BYTES: usize = 16_384;

/// One route so far.
const ROUTE: u32 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// `FORWARD` or `DENY`, with flags.
    pub action: u32,
    pub route: u32,
    pub body_kind: u32,
    /// What remains of a length-delimited body after the output, -1 when chunked.
    pub length: i64,
    /// Bytes of the input that were used.
    pub consumed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadOutcome {
    Incomplete,
    Refused(Refusal),
    Ready(Action),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPart {
    pub consumed: usize,
    pub is_done: bool,
    /// The input itself is the output: nothing was written.
    pub passes_through: bool,
}

pub struct Downstream {
    pub(crate) gate: Arc<Gate>,
    peer: IpAddr,
    peer_text: Box<[u8]>,
    kept: Vec<u8>,
    scanner: LineScanner,
    chain: Vec<IpAddr>,
    pub(crate) exchange: Exchange,
}

impl Downstream {
    pub fn new(gate: Arc<Gate>, peer: &str) -> Result<Self, InvalidPeer> {
        let peer = parse_peer(peer)?;
        let mut peer_text = Vec::with_capacity(40);
        write_address(&mut peer_text, peer);
        Ok(Self {
            gate,
            peer,
            peer_text: peer_text.into_boxed_slice(),
            kept: Vec::new(),
            scanner: LineScanner::default(),
            chain: Vec::new(),
            exchange: Exchange::new(peer),
        })
    }

    /// Feeds bytes of a head and what follows it; output is appended to `out`.
    pub fn head(&mut self, data: &[u8], out: &mut Vec<u8>) -> HeadOutcome {
        if data.is_empty() {
            return HeadOutcome::Incomplete;
        }
        if self.kept.is_empty() {
            if self.exchange.phase != Phase::Idle {
                self.finish(499);
            }
            self.exchange.start(self.peer, self.gate.next_request_id());
        }
        let gate = Arc::clone(&self.gate);
        let snapshot = gate.load();
        let outcome = if self.kept.is_empty() {
            self.whole_head(&snapshot, data, out)
        } else {
            self.head_in_pieces(&snapshot, data, out)
        };
        match outcome {
            Ok(outcome) => outcome,
            Err(refusal) => {
                self.kept = Vec::new();
                // Whatever follows cannot be told apart from a body.
                self.exchange.keep_alive = false;
                self.gate.count(Counter::Refused, 1);
                HeadOutcome::Refused(refusal)
            }
        }
    }

    fn whole_head(
        &mut self,
        snapshot: &Snapshot,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<HeadOutcome, Refusal> {
        let mut storage = FieldStorage::new();
        match request::parse(data, &snapshot.tables.request_limits, &mut storage)? {
            Parse::Complete(head) => {
                let rest = &data[head.length..];
                self.decide(snapshot, &head, rest, head.length, out)
                    .map(HeadOutcome::Ready)
            }
            Parse::Incomplete(scanner) => {
                self.scanner = scanner;
                self.kept.extend_from_slice(data);
                Ok(HeadOutcome::Incomplete)
            }
        }
    }

    fn head_in_pieces(
        &mut self,
        snapshot: &Snapshot,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<HeadOutcome, Refusal> {
        let limits = &snapshot.tables.request_limits;
        let kept_before = self.kept.len();
        // Enough to see that it is too long, the forgiven empty line included; a body behind the head stays where it is.
        let room = (limits.head_bytes + 3).saturating_sub(kept_before);
        self.kept.extend_from_slice(&data[..room.min(data.len())]);
        let Some(length) = self
            .scanner
            .advance(&self.kept, HeadKind::Request, limits)?
        else {
            return Ok(HeadOutcome::Incomplete);
        };
        let kept = std::mem::take(&mut self.kept);
        let consumed = length - kept_before;
        let mut storage = FieldStorage::new();
        match request::parse(&kept[..length], limits, &mut storage)? {
            Parse::Complete(head) => self
                .decide(snapshot, &head, &data[consumed..], consumed, out)
                .map(HeadOutcome::Ready),
            Parse::Incomplete(_) => Err(Refusal::Field),
        }
    }

    /// Identity, verdict, policy, output: the order in which nothing is believed too early.
    fn decide(
        &mut self,
        snapshot: &Snapshot,
        head: &RequestHead<'_, '_>,
        rest: &[u8],
        consumed: usize,
        out: &mut Vec<u8>,
    ) -> Result<Action, Refusal> {
        let tables = &snapshot.tables;
        self.exchange.version = head.version;
        self.exchange.keep_alive = head.keep_alive;
        self.exchange.is_head = head.method == Method::Head;
        self.exchange.is_upgrade = head.is_websocket;
        if matches!(head.framing, Framing::Length(length) if length > tables.body_bytes) {
            return Err(Refusal::BodyTooLarge);
        }
        let is_trusted = tables.trusted.contains(self.peer);
        if is_trusted {
            let lines = fields_of(head, FieldKind::ForwardedFor);
            self.exchange.client = identify(self.peer, lines, &tables.trusted, &mut self.chain)?;
            if let Some(id) = forward::adopted_request_id(head) {
                self.exchange.request_id = id;
            }
        } else {
            self.chain.clear();
        }
        if forward::is_loop(head, &tables.via) {
            return Err(Refusal::Loop);
        }
        let is_last_hop = forward::max_forwards(head)? == Some(0);
        self.exchange.hosts.collect(head, tables.domains);
        let judgement = match &snapshot.list {
            Some(list) => judge(list, self.exchange.client, &self.exchange.hosts),
            None if tables.fails_open => None,
            None => return Err(Refusal::NoList),
        };
        let blocks = judgement.is_some_and(|judgement| judgement.score >= tables.block_score);
        if let Some(judgement) = judgement.filter(|_| blocks) {
            self.note_denial(&judgement, head, tables.observe);
        }
        self.exchange.body = match head.framing {
            Framing::Length(length @ 1..) => RequestBody::Length(length),
            Framing::Chunked => RequestBody::Chunked(Box::default()),
            _ => RequestBody::Done,
        };
        if blocks && !tables.observe {
            return self.answer_instead(403, rest, consumed, out);
        }
        if is_last_hop {
            return self.answer_instead(204, rest, consumed, out);
        }
        let start = out.len();
        forward::write(
            out,
            head,
            &Forward {
                tables,
                peer: self.peer,
                peer_text: &self.peer_text,
                client: self.exchange.client,
                chain: &self.chain,
                peer_is_trusted: is_trusted,
                request_id: &self.exchange.request_id,
                judgement,
            },
        );
        let taken = self.take_body_along(tables.body_bytes, rest, start, out)?;
        self.exchange.forwarded(&self.gate);
        self.gate
            .count(Counter::BytesReceived, (consumed + taken) as u64);
        Ok(self.forwarding(head, consumed + taken))
    }

    fn note_denial(
        &self,
        judgement: &Judgement<'_, '_>,
        head: &RequestHead<'_, '_>,
        observes: bool,
    ) {
        let (counter, action) = if observes {
            (Counter::Observed, "observed")
        } else {
            (Counter::Denied, "denied")
        };
        self.gate.count(counter, 1);
        self.gate.record_event(&Event {
            time: self.gate.now(),
            request_id: self.exchange.request_id.as_bytes(),
            client: self.exchange.client,
            peer: self.peer,
            judgement: *judgement,
            method: head.method_text.as_bytes(),
            host: head.host.map_or(&b""[..], |host| host.text),
            path: path_of(&head.target),
            action,
            slot: self.gate.slot(),
        });
    }

    fn forwarding(&self, head: &RequestHead<'_, '_>, consumed: usize) -> Action {
        let mut action = FORWARD;
        let (body_kind, length) = match (&self.exchange.body, head.framing) {
            (_, Framing::Chunked) => (BODY_CHUNKED, -1),
            (RequestBody::Length(left), _) => {
                (BODY_LENGTH, i64::try_from(*left).unwrap_or(i64::MAX))
            }
            (_, Framing::Length(_)) => (BODY_LENGTH, 0),
            _ => (BODY_NONE, 0),
        };
        let flags = [
            (self.exchange.is_body_done(), BODY_DONE),
            (
                !matches!(head.method, Method::Other) && !head.is_websocket,
                IDEMPOTENT,
            ),
            (head.is_websocket, UPGRADE),
            (!self.keeps_alive(), CLOSE),
            (head.expects_continue, EXPECT_CONTINUE),
        ];
        for (is_set, flag) in flags {
            if is_set {
                action |= flag;
            }
        }
        Action {
            action,
            route: ROUTE,
            body_kind,
            length,
            consumed,
        }
    }

    /// Body bytes that came with the head go out with it when both are small; returns how many were used.
    fn take_body_along(
        &mut self,
        body_limit: u64,
        rest: &[u8],
        start: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        let room = TOGETHER_BYTES.saturating_sub(out.len() - start);
        match &self.exchange.body {
            RequestBody::Done => Ok(0),
            _ if rest.is_empty() => Ok(0),
            RequestBody::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                if length > room {
                    return Ok(0);
                }
                out.extend_from_slice(&rest[..length]);
                self.body_taken(length as u64);
                Ok(length)
            }
            RequestBody::Chunked(_) if rest.len() > room => Ok(0),
            RequestBody::Chunked(_) => self.recode_body(body_limit, rest, out),
        }
    }

    /// Feeds body bytes. Output is appended to `out`, unless the input is the output.
    pub fn body(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<BodyPart, Refusal> {
        let (consumed, passes_through) = match &self.exchange.body {
            RequestBody::Done => (0, false),
            RequestBody::Length(left) => {
                let left = usize::try_from(*left).unwrap_or(usize::MAX);
                let length = left.min(data.len());
                if length < data.len() {
                    out.extend_from_slice(&data[..length]);
                }
                self.body_taken(length as u64);
                (length, length == data.len())
            }
            RequestBody::Chunked(_) => {
                let limit = self.gate.load().tables.body_bytes;
                let consumed = self.recode_body(limit, data, out).inspect_err(|_| {
                    self.gate.count(Counter::Refused, 1);
                })?;
                (consumed, false)
            }
        };
        self.gate.count(Counter::BytesReceived, consumed as u64);
        Ok(BodyPart {
            consumed,
            is_done: self.exchange.is_body_done(),
            passes_through,
        })
    }

    fn body_taken(&mut self, length: u64) {
        if let RequestBody::Length(left) = &mut self.exchange.body {
            *left -= length;
            if *left == 0 {
                self.exchange.body = RequestBody::Done;
            }
        }
    }

    fn recode_body(
        &mut self,
        limit: u64,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        let RequestBody::Chunked(decoder) = &mut self.exchange.body else {
            return Ok(0);
        };
        let (used, payload) = recode(decoder, data, out)?;
        self.exchange.body_bytes += payload;
        if self.exchange.body_bytes > limit {
            return Err(Refusal::BodyTooLarge);
        }
        if decoder.is_done() {
            self.exchange.body = RequestBody::Done;
        }
        Ok(used)
    }

    /// Answers without an upstream. A body that has not all arrived closes the connection: what is left of it must
    /// never be read as a request (CVE-2025-4366).
    fn answer_instead(
        &mut self,
        status: u16,
        rest: &[u8],
        consumed: usize,
        out: &mut Vec<u8>,
    ) -> Result<Action, Refusal> {
        let body_length = match &mut self.exchange.body {
            RequestBody::Done => Some(0),
            RequestBody::Length(left) => {
                let length = usize::try_from(*left).ok();
                length.filter(|length| *length <= rest.len())
            }
            RequestBody::Chunked(decoder) => {
                let used = decoder.decode(rest, |_| {})?;
                decoder.is_done().then_some(used)
            }
        };
        if body_length.is_some() {
            self.exchange.body = RequestBody::Done;
        }
        let consumed = consumed + body_length.unwrap_or(rest.len());
        let closes = body_length.is_none() || !self.keeps_alive();
        self.gate.count(Counter::BytesReceived, consumed as u64);
        self.write_answer(status, closes, out);
        self.exchange.record(&self.gate, status, Instant::now());
        Ok(Action {
            action: DENY
                | if closes { CLOSE } else { 0 }
                | if body_length.is_some() { BODY_DONE } else { 0 },
            route: ROUTE,
            body_kind: BODY_NONE,
            length: 0,
            consumed,
        })
    }

    pub(crate) fn keeps_alive(&self) -> bool {
        self.exchange.keep_alive && !self.gate.is_draining()
    }

    fn write_answer(&self, status: u16, closes: bool, out: &mut Vec<u8>) {
        let start = out.len();
        answer::write(
            out,
            &Answer {
                status,
                request_id: &self.exchange.request_id,
                now: self.gate.now(),
                closes,
                says_keep_alive: self.exchange.version == Version::Http10,
                has_body: !self.exchange.is_head,
            },
        );
        self.gate
            .count(Counter::BytesSent, (out.len() - start) as u64);
    }

    /// A whole answer of our own; ends the exchange. Closes as well when the client wants it or the head was refused.
    pub fn reply(&mut self, status: u16, closes: bool, out: &mut Vec<u8>) {
        if self.exchange.phase == Phase::Idle {
            self.exchange.start(self.peer, self.gate.next_request_id());
        }
        let closes = closes || !self.keeps_alive() || !self.exchange.is_body_done();
        self.write_answer(status, closes, out);
        self.finish(status);
    }

    /// Records an exchange that ended without a complete answer; nothing when none is open.
    pub fn end(&mut self, status: u16) {
        self.finish(status);
    }

    fn finish(&mut self, status: u16) {
        self.kept = Vec::new();
        self.exchange.record(&self.gate, status, Instant::now());
    }

    /// Would the current list deny the last exchange? Its client and hosts are kept until the next head.
    pub fn rejudge(&self) -> bool {
        let snapshot = self.gate.load();
        let Some(list) = snapshot.list.as_ref().filter(|_| !snapshot.tables.observe) else {
            return false;
        };
        judge(list, self.exchange.client, &self.exchange.hosts)
            .is_some_and(|judgement| judgement.score >= snapshot.tables.block_score)
    }

    pub fn client(&self) -> IpAddr {
        self.exchange.client
    }

    pub fn request_id(&self) -> &str {
        self.exchange.request_id.as_str()
    }

    pub fn has_partial_head(&self) -> bool {
        !self.kept.is_empty()
    }
}

impl Drop for Downstream {
    /// A connection that is dropped with its exchange open must not stay in flight for ever.
    fn drop(&mut self) {
        if self.exchange.phase == Phase::Forwarded {
            self.exchange.record(&self.gate, 499, Instant::now());
        }
    }
}

/// Sizes that every idle connection pays for.
const _: () = assert!(size_of::<Decoder>() < 128);
