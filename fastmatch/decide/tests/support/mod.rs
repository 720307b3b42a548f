//! A gate over real shared memory and real lists, and the two codecs driven as a connection drives them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use blocklist::{Blocklist, Builder, Disposition, Entry, Origin, Rule, Stamp, Statement, Target};
use decide::action::{Action, BODY_DONE, CLOSE, DENY, FORWARD, HeadOutcome};
use decide::upstream::{BROKEN, RESPONSE_DONE, TUNNEL};
use decide::{
    Downstream, Gate, NO_ROUTE, RouteSettings, Segment, Settings, Sizes, Tables, Upstream,
};
use http1::chunked::Decoder;

pub const NOW: u64 = 1_700_000_000;

pub struct World {
    pub gate: Arc<Gate>,
    pub segment: Arc<Segment>,
}

/// Fails open, so that tests about heads need no list.
pub fn world(change: impl FnOnce(&mut Settings)) -> World {
    world_of(Sizes::of(1).limit_entries, change)
}

/// With a limit table of this size.
pub fn world_of(limit_entries: usize, change: impl FnOnce(&mut Settings)) -> World {
    let mut settings = Settings {
        on_missing: "open".to_owned(),
        ..Settings::default()
    };
    change(&mut settings);
    let tables = Arc::new(Tables::compile(&settings).expect("valid settings"));
    let sizes = Sizes {
        limit_entries,
        ..Sizes::of(1)
    };
    let segment = Arc::new(Segment::create(sizes).expect("memfd"));
    let gate = Gate::new(tables, Arc::clone(&segment), 0).expect("slot 0 exists");
    gate.tick(NOW);
    World {
        gate: Arc::new(gate),
        segment,
    }
}

impl World {
    pub fn count(&self, name: &str) -> i64 {
        let mut sums = self.segment.sums(0..1);
        sums.find(|(known, _)| *known == name)
            .map_or_else(|| panic!("no counter {name}"), |(_, value)| value)
    }

    pub fn client(&self, peer: &str) -> Downstream {
        Downstream::new(Arc::clone(&self.gate), peer).expect("an address")
    }

    pub fn upstream(&self) -> Upstream {
        Upstream::new(Arc::clone(&self.gate))
    }

    pub fn install(&self, entries: &[Entry]) {
        self.gate.install(Some(&list(entries)));
    }

    pub fn events(&self) -> String {
        String::from_utf8(self.gate.drain_events()).expect("events are ASCII")
    }
}

pub fn list(entries: &[Entry]) -> Arc<Blocklist> {
    let mut builder = Builder::new();
    for entry in entries {
        builder.add(entry).expect("few entries");
    }
    let stamp = Stamp {
        epoch: 1,
        sequence: 2,
        now: NOW,
        ..Stamp::default()
    };
    Arc::new(builder.build(stamp).expect("a base"))
}

pub fn entry(target: &str, score_tenths: u8) -> Entry {
    stated(target, score_tenths, Disposition::Block)
}

pub fn stated(target: &str, score_tenths: u8, disposition: Disposition) -> Entry {
    Entry {
        target: Target::parse(target.as_bytes(), Rule::Suffix).expect("valid target"),
        statement: Arc::new(Statement {
            disposition,
            origin: Origin::Operator,
            score_tenths,
            sources: Box::from([Box::from("a list")]),
            categories: Box::from([Box::from("bot net"), Box::from("scan\r\nner")]),
            reason: Box::default(),
            first_seen: None,
            last_seen: None,
            expires: None,
        }),
    }
}

pub fn cut<'b>(bytes: &'b [u8], places: &[usize]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = places
        .iter()
        .map(|place| place % (bytes.len() + 1))
        .collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.dedup();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The upstream's head and the body as it decodes it.
    Forwarded {
        head: String,
        body: Vec<u8>,
        is_whole: bool,
    },
    Denied {
        closes: bool,
    },
    Refused(u16),
    Unfinished,
}

pub struct Split {
    pub head: String,
    pub rest: Vec<u8>,
}

/// A message at the end of its head; the request id, which differs each time, is blanked.
pub fn split(message: &[u8]) -> Split {
    let end = message
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let text = String::from_utf8_lossy(&message[..end]).into_owned();
    let lines = text.split_inclusive("\r\n").map(|line| {
        if line.starts_with("X-Request-Id:") {
            "X-Request-Id: -\r\n"
        } else {
            line
        }
    });
    Split {
        head: lines.collect(),
        rest: message[end..].to_vec(),
    }
}

pub fn head_only(world: &World, peer: &str, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    let outcome = world.client(peer).head(bytes, &mut out);
    match outcome {
        HeadOutcome::Ready(Action { action, .. }) if action & 15 == FORWARD => split(&out).head,
        other => panic!("{} gave {other:?}", bytes.escape_ascii()),
    }
}

pub fn outcome(world: &World, peer: &str, bytes: &[u8]) -> HeadOutcome {
    world.client(peer).head(bytes, &mut Vec::new())
}

/// Drives requests as a connection does: head, body, next head, until the pieces are used up or it has to close.
pub fn requests(world: &World, peer: &str, pieces: &[&[u8]]) -> Vec<Seen> {
    let mut client = world.client(peer);
    let mut seen = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let mut out = Vec::new();
            let (consumed, is_done) = if let Some(sent) = &mut open {
                match client.body(rest, &mut out) {
                    Err(refusal) => {
                        seen.push(Seen::Refused(refusal.status()));
                        return seen;
                    }
                    Ok(part) => {
                        sent.extend_from_slice(if part.passes_through { rest } else { &out });
                        (part.consumed, part.is_done)
                    }
                }
            } else {
                match client.head(rest, &mut out) {
                    HeadOutcome::Incomplete => (rest.len(), false),
                    HeadOutcome::Refused(refusal) => {
                        seen.push(Seen::Refused(refusal.status()));
                        return seen;
                    }
                    HeadOutcome::Ready(action) if action.action & 15 == DENY => {
                        let closes = action.action & CLOSE != 0;
                        seen.push(Seen::Denied { closes });
                        if closes {
                            return seen;
                        }
                        (action.consumed, false)
                    }
                    HeadOutcome::Ready(action) => {
                        open = Some(out);
                        (action.consumed, action.action & BODY_DONE != 0)
                    }
                }
            };
            rest = &rest[consumed..];
            if is_done {
                seen.extend(open.take().map(|sent| forwarded(&sent, true)));
                client.end(200);
            }
        }
    }
    match open {
        Some(sent) => seen.push(forwarded(&sent, false)),
        None if client.has_partial_head() => seen.push(Seen::Unfinished),
        None => {}
    }
    seen
}

fn forwarded(sent: &[u8], is_whole: bool) -> Seen {
    let Split { head, rest } = split(sent);
    let body = if head.contains("\r\nTransfer-Encoding: chunked\r\n") {
        let (body, is_over) = unchunk(&rest);
        assert_eq!(
            is_over, is_whole,
            "the last chunk is sent when the body is over"
        );
        body
    } else {
        rest
    };
    Seen::Forwarded {
        head,
        body,
        is_whole,
    }
}

pub fn unchunk(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut decoder = Decoder::default();
    let mut body = Vec::new();
    let used = decoder
        .decode(bytes, |part| body.extend_from_slice(part))
        .expect("our own chunks");
    assert_eq!(used, bytes.len(), "nothing is written after the last chunk");
    (body, decoder.is_done())
}

/// What the client gets for one request, and the flags of the last call.
pub fn answer(world: &World, request: &[u8], pieces: &[&[u8]], closes: bool) -> (Vec<u8>, u32) {
    let mut client = world.client("198.51.100.1");
    let ready = client.head(request, &mut Vec::new());
    assert!(matches!(ready, HeadOutcome::Ready(_)), "{ready:?}");
    let mut upstream = world.upstream();
    upstream.begin(&mut client);
    let (mut got, mut flags) = (Vec::new(), 0);
    for piece in pieces {
        let mut out = Vec::new();
        let outcome = upstream.data(piece, &mut client, &mut out);
        got.extend_from_slice(if outcome.passes_through { piece } else { &out });
        flags = outcome.flags;
        if flags & BROKEN != 0 {
            break;
        }
    }
    if closes && flags & (BROKEN | RESPONSE_DONE | TUNNEL) == 0 {
        let mut out = Vec::new();
        flags = upstream.eof(&mut client, &mut out);
        got.extend_from_slice(&out);
    }
    (got, flags)
}

pub fn routed(routes: Vec<RouteSettings>) -> World {
    world(|settings| settings.routes = routes)
}

/// The route's place, `None` for our 404, or the status of a refusal.
pub fn taken(world: &World, request: &str) -> Result<Option<usize>, u16> {
    let bytes = request.replace('|', "\r\n") + "\r\n\r\n";
    match outcome(world, "198.51.100.1", bytes.as_bytes()) {
        HeadOutcome::Ready(Action {
            route: NO_ROUTE, ..
        }) => Ok(None),
        HeadOutcome::Ready(Action { route, .. }) => Ok(usize::try_from(route).ok()),
        HeadOutcome::Refused(refusal) => Err(refusal.status()),
        HeadOutcome::Incomplete => panic!("{request} is whole"),
    }
}
