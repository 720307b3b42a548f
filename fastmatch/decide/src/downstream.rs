//! The codec of one client connection: request bytes -> what goes upstream, or the answer that keeps it from there.
//!
//! One exchange at a time. Bytes of a head are kept only while it is incomplete; a connection between two requests
//! holds no buffer.

mod limiting;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http1::field::FieldKind;
use http1::lines::{HeadKind, LineScanner};
use http1::request::{self, FieldStorage, Parse, RequestHead};
use http1::{Framing, Refusal, Version};

use crate::action::{Action, HeadOutcome};
use crate::answer::{self, Answer, Content};
use crate::config::Tables;
use crate::end::End;
use crate::events::Event;
use crate::exchange::{Exchange, Phase};
use crate::forward::{self, Forward, fields_of, path_of, write_address};
use crate::gate::{Gate, InvalidPeer, Snapshot, parse_peer};
use crate::identity::identify;
use crate::judge::{Judgement, judge};
use crate::request_body::{BodyPart, RequestBody};
use crate::route::{NO_ROUTE, Route};
use crate::segment::Counter;

/// Head and body travel as one piece up to here: copying is cheaper than a second system call.
const TOGETHER_BYTES: usize = 16_384;

/// What follows a head in the input.
#[derive(Clone, Copy)]
struct Rest<'d> {
    data: &'d [u8],
    /// Bytes of the input that the head took.
    head: usize,
}

/// What was found out about who asks.
#[derive(Clone, Copy)]
struct Trust<'j> {
    peer_is_trusted: bool,
    judgement: Option<Judgement<'j, 'j>>,
}

pub struct Downstream {
    pub(crate) gate: Arc<Gate>,
    peer: IpAddr,
    peer_text: Box<[u8]>,
    is_https: bool,
    listener: Option<Arc<str>>,
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
            is_https: false,
            listener: None,
            kept: Vec::new(),
            scanner: LineScanner::default(),
            chain: Vec::new(),
            exchange: Exchange::new(peer),
        })
    }

    /// The client speaks TLS to us, or does not.
    #[must_use]
    pub fn over_tls(mut self, is_https: bool) -> Self {
        self.is_https = is_https;
        self
    }

    /// The name of the listener that the client came to, for the access log.
    #[must_use]
    pub fn at(mut self, listener: &str) -> Self {
        self.listener = (!listener.is_empty()).then(|| Arc::from(listener));
        self
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
            self.start();
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
                self.note_refusal(refusal);
                HeadOutcome::Refused(refusal)
            }
        }
    }

    fn start(&mut self) {
        self.exchange.start(&self.gate, self.peer);
        if let Some(note) = &mut self.exchange.note {
            note.listener.clone_from(&self.listener);
            note.is_https = self.is_https;
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
                let rest = Rest {
                    data: &data[head.length..],
                    head: head.length,
                };
                self.decide(snapshot, &head, rest, out)
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
        self.exchange.decided = Instant::now();
        if let Some(note) = &mut self.exchange.note {
            note.received += kept_before as u64;
        }
        let rest = Rest {
            data: &data[length - kept_before..],
            head: length - kept_before,
        };
        let mut storage = FieldStorage::new();
        match request::parse(&kept[..length], limits, &mut storage)? {
            Parse::Complete(head) => self
                .decide(snapshot, &head, rest, out)
                .map(HeadOutcome::Ready),
            Parse::Incomplete(_) => Err(Refusal::Field),
        }
    }

    /// Route, identity, verdict, policy, rate limits, output: the order in which nothing is believed too early.
    fn decide(
        &mut self,
        snapshot: &Snapshot,
        head: &RequestHead<'_, '_>,
        rest: Rest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Action, Refusal> {
        let tables = &snapshot.tables;
        self.exchange.take_head(head);
        if let Some(note) = &mut self.exchange.note {
            note.take_head(head, self.gate.access_log.with_query());
        }
        let route = tables.route_of(head)?;
        self.exchange.take_route(route, snapshot.place_of(route));
        if matches!(head.framing, Framing::Length(length) if length > route.body_bytes) {
            return Err(Refusal::BodyTooLarge);
        }
        let peer_is_trusted = self.identify(head, tables)?;
        if forward::is_loop(head, &tables.via) {
            return Err(Refusal::Loop);
        }
        let is_last_hop = forward::max_forwards(head)? == Some(0);
        self.exchange.hosts.collect(head, route.domains);
        // Taken out for as long as the verdict points into them.
        let hosts = std::mem::take(&mut self.exchange.hosts);
        let judgement = match &snapshot.list {
            Some(list) => judge(list, self.exchange.client, &hosts),
            None if tables.fails_open => None,
            None => return Err(Refusal::NoList),
        };
        if let (Some(note), Some(judgement)) = (&mut self.exchange.note, &judgement) {
            note.take_judgement(judgement);
        }
        let blocking = judgement.filter(|judgement| judgement.score >= route.block_score);
        let action = match blocking {
            Some(judgement) if !route.observe => self.deny(&judgement, head, rest, out),
            _ if self.is_limited(tables, route, head) => {
                self.answer_instead(429, End::Limited, Content::Problem, rest, out)
            }
            _ if is_last_hop => {
                self.answer_instead(204, End::Answered, Content::Problem, rest, out)
            }
            _ => {
                if let Some(judgement) = &blocking {
                    self.tell(judgement, head, Counter::Observed, "observed");
                    if let Some(note) = &mut self.exchange.note {
                        note.action = "observed";
                    }
                }
                if route.index == NO_ROUTE {
                    self.gate.count(Counter::Unrouted, 1);
                    self.answer_instead(404, End::Unrouted, Content::Problem, rest, out)
                } else if let Some(fixed) = &route.fixed {
                    let mut location = Vec::new();
                    let content = fixed.content(head, route.rewrite.as_ref(), &mut location);
                    self.answer_instead(fixed.status(), End::Answered, content, rest, out)
                } else if route.hidden.cover(&head.target, route.rewrite.as_ref())? {
                    self.gate.count(Counter::Hidden, 1);
                    self.answer_instead(404, End::Hidden, Content::Problem, rest, out)
                } else {
                    let trust = Trust {
                        peer_is_trusted,
                        judgement,
                    };
                    self.forward((tables, route), head, trust, rest, out)
                }
            }
        };
        self.exchange.hosts = hosts;
        action
    }

    /// True when the peer's word was taken.
    fn identify(&mut self, head: &RequestHead<'_, '_>, tables: &Tables) -> Result<bool, Refusal> {
        self.chain.clear();
        if !tables.trusted.contains(self.peer) {
            return Ok(false);
        }
        let lines = fields_of(head, FieldKind::ForwardedFor);
        self.exchange.client = identify(self.peer, lines, &tables.trusted, &mut self.chain)?;
        if let Some(id) = forward::adopted_request_id(head) {
            self.exchange.request_id = id;
        }
        Ok(true)
    }

    fn forward(
        &mut self,
        (tables, route): (&Tables, &Route),
        head: &RequestHead<'_, '_>,
        trust: Trust<'_>,
        rest: Rest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Action, Refusal> {
        let start = out.len();
        let forward = Forward {
            tables,
            route,
            peer: self.peer,
            peer_text: &self.peer_text,
            is_https: self.is_https || tables.is_https,
            client: self.exchange.client,
            chain: &self.chain,
            peer_is_trusted: trust.peer_is_trusted,
            request_id: &self.exchange.request_id,
            judgement: trust.judgement,
        };
        forward::write(out, head, &forward);
        let room = TOGETHER_BYTES.saturating_sub(out.len() - start);
        let body = &mut self.exchange.body;
        let consumed = rest.head + body.take_along(rest.data, room, route.body_bytes, out)?;
        self.exchange.forwarded(&self.gate);
        self.exchange.received(&self.gate, consumed);
        if let Some(note) = &mut self.exchange.note {
            note.decided = Some(Instant::now());
            note.upstream_sent = (out.len() - start) as u64;
            if note.action.is_empty() {
                note.action = "forwarded";
            }
        }
        let closes = !self.keeps_alive();
        let body = &self.exchange.body;
        Ok(Action::forward(head, body, closes, consumed, route.index))
    }

    fn deny(
        &mut self,
        judgement: &Judgement<'_, '_>,
        head: &RequestHead<'_, '_>,
        rest: Rest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Action, Refusal> {
        if let Some(note) = &mut self.exchange.note {
            note.action = "denied";
        }
        let action = self.answer_instead(403, End::Denied, Content::Problem, rest, out)?;
        self.gate.route_denied(self.exchange.place);
        self.tell(judgement, head, Counter::Denied, "denied");
        Ok(action)
    }

    fn tell(
        &self,
        judgement: &Judgement<'_, '_>,
        head: &RequestHead<'_, '_>,
        counter: Counter,
        action: &'static str,
    ) {
        self.gate.count(counter, 1);
        self.gate
            .record_event(&self.event(head, Some(*judgement), action));
    }

    fn event<'e>(
        &'e self,
        head: &RequestHead<'_, 'e>,
        judgement: Option<Judgement<'e, 'e>>,
        action: &'static str,
    ) -> Event<'e> {
        Event {
            time: self.gate.now(),
            request_id: self.exchange.request_id.as_bytes(),
            client: self.exchange.client,
            peer: self.peer,
            judgement,
            limit: b"",
            method: head.method_text.as_bytes(),
            host: head.host.map_or(&b""[..], |host| host.text),
            path: path_of(&head.target),
            action,
            slot: self.gate.slot(),
        }
    }

    /// Feeds body bytes. Output is appended to `out`, unless the input is the output.
    pub fn body(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<BodyPart, Refusal> {
        let limit = match (&self.exchange.body, &self.exchange.route) {
            (RequestBody::Chunked(..), Some(route)) => route.body_bytes,
            _ => u64::MAX,
        };
        let written = out.len();
        let part = match self.exchange.body.feed(data, limit, out) {
            Ok(part) => part,
            Err(refusal) => {
                self.gate.count(Counter::Refused, 1);
                self.note_refusal(refusal);
                return Err(refusal);
            }
        };
        self.exchange.received(&self.gate, part.consumed);
        if let Some(note) = &mut self.exchange.note {
            note.upstream_sent += if part.passes_through {
                data.len()
            } else {
                out.len() - written
            } as u64;
        }
        Ok(part)
    }

    fn note_refusal(&mut self, refusal: Refusal) {
        if let Some(note) = &mut self.exchange.note {
            note.end = Some(End::of_refusal(refusal));
            note.action = "refused";
        }
    }

    /// Answers without an upstream. A body that has not all arrived closes the connection: what is left of it must
    /// never be read as a request (CVE-2025-4366).
    fn answer_instead(
        &mut self,
        status: u16,
        end: End,
        content: Content<'_>,
        rest: Rest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Action, Refusal> {
        let body_length = self.exchange.body.skip_arrived(rest.data)?;
        let consumed = rest.head + body_length.unwrap_or(rest.data.len());
        let closes = body_length.is_none() || !self.keeps_alive();
        self.exchange.received(&self.gate, consumed);
        if let Some(note) = &mut self.exchange.note {
            if note.action.is_empty() {
                note.action = if end == End::Limited {
                    "limited"
                } else {
                    "answered"
                };
            }
        }
        self.write_answer(status, content, closes, out);
        let now = Instant::now();
        self.exchange.record(&self.gate, status, end, now);
        let route = &self.exchange.route;
        let route = route.as_ref().map_or(NO_ROUTE, |route| route.index);
        Ok(Action::answered(
            body_length.is_some(),
            closes,
            consumed,
            route,
        ))
    }

    pub(crate) fn keeps_alive(&self) -> bool {
        self.exchange.keep_alive && !self.gate.is_draining()
    }

    fn write_answer(&mut self, status: u16, content: Content<'_>, closes: bool, out: &mut Vec<u8>) {
        let start = out.len();
        answer::write(
            out,
            &Answer {
                status,
                content,
                added: match content {
                    Content::Problem => b"",
                    _ => &self.exchange.response_changes().added,
                },
                request_id: &self.exchange.request_id,
                now: self.gate.now(),
                closes,
                says_keep_alive: self.exchange.version == Version::Http10,
                has_body: !self.exchange.is_head,
                limit: &self.exchange.limit_note,
            },
        );
        self.exchange.sent(&self.gate, out.len() - start);
    }

    /// A whole answer of our own; ends the exchange. Closes as well when the client wants it or the head was refused.
    pub fn reply(&mut self, status: u16, closes: bool, out: &mut Vec<u8>) {
        if self.exchange.phase == Phase::Idle {
            self.start();
        }
        if let Some(note) = &mut self.exchange.note {
            // A head of the upstream that came with what broke it has not been sent.
            note.status = 0;
        }
        let closes = closes || !self.keeps_alive() || !self.exchange.body.is_done();
        self.write_answer(status, Content::Problem, closes, out);
        self.finish(status);
    }

    /// Records an exchange that ended without a complete answer; nothing when none is open.
    pub fn end(&mut self, status: u16) {
        self.finish(status);
    }

    /// Says why it is about to end; otherwise a refusal of ours does, or else the status.
    pub fn because(&mut self, end: End) {
        if let Some(note) = &mut self.exchange.note {
            note.end = Some(end);
        }
    }

    fn finish(&mut self, status: u16) {
        self.kept = Vec::new();
        let known = self.exchange.note.as_ref().and_then(|note| note.end);
        let end = known.unwrap_or_else(|| End::of_status(status));
        self.exchange
            .record(&self.gate, status, end, Instant::now());
    }

    /// Would the current list deny the last exchange? Its client and hosts are kept until the next head.
    pub fn rejudge(&self) -> bool {
        let snapshot = self.gate.load();
        let (Some(list), Some(route)) = (&snapshot.list, &self.exchange.route) else {
            return false;
        };
        // An open stream is held to what is asked of its route now, not when it began.
        let route = snapshot.tables.successor(route);
        !route.observe
            && judge(list, self.exchange.client, &self.exchange.hosts)
                .is_some_and(|judgement| judgement.score >= route.block_score)
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
            let now = Instant::now();
            self.exchange
                .record(&self.gate, 499, End::ClientClosed, now);
        }
    }
}
