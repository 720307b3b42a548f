//! Denials -> JSON lines, bounded. Rendered at once into one buffer: nothing is kept alive by an event.
//!
//! Everything a client wrote is cut and escaped: these lines are shown to people and to models.

use std::net::IpAddr;

use http1::render::{decimal, hex_digit};

use crate::forward::write_address;
use crate::judge::Judgement;

/// Lines kept between two drains.
const MOST_EVENTS: usize = 4096;
const TEXT_BYTES: usize = 256;
/// Drops at accept that are written down each second; all are counted.
const DROPS_PER_SECOND: u32 = 16;
/// The same for rate limits.
const REFUSALS_PER_SECOND: u32 = 64;

#[derive(Debug, Default)]
pub struct Events {
    lines: Vec<u8>,
    count: usize,
    drops: Sampled,
    refusals: Sampled,
}

/// How many of a kind were seen in the present second.
#[derive(Debug, Default)]
struct Sampled {
    second: u64,
    count: u32,
}

impl Sampled {
    fn counts(&mut self, now: u64) -> u32 {
        if self.second != now {
            *self = Self {
                second: now,
                count: 0,
            };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

/// What an event says. What is empty is left out.
pub struct Event<'e> {
    pub time: u64,
    pub request_id: &'e [u8],
    pub client: IpAddr,
    pub peer: IpAddr,
    pub judgement: Option<Judgement<'e, 'e>>,
    /// Name of the rate limit that was exceeded.
    pub limit: &'e [u8],
    pub method: &'e [u8],
    pub host: &'e [u8],
    pub path: &'e [u8],
    pub action: &'static str,
    pub slot: usize,
}

impl Events {
    /// False when there was no room.
    pub fn push(&mut self, event: &Event<'_>) -> bool {
        if self.count == MOST_EVENTS {
            return false;
        }
        self.count += 1;
        render(&mut self.lines, event);
        true
    }

    /// May this second's drops have one more line?
    pub fn samples_drop(&mut self, now: u64) -> bool {
        self.drops.counts(now) <= DROPS_PER_SECOND
    }

    /// The same of requests that exceed a rate limit: they must not push out denials.
    pub fn samples_refusal(&mut self, now: u64) -> bool {
        self.refusals.counts(now) <= REFUSALS_PER_SECOND
    }

    pub fn drain(&mut self) -> Vec<u8> {
        self.count = 0;
        std::mem::take(&mut self.lines)
    }
}

fn render(out: &mut Vec<u8>, event: &Event<'_>) {
    let mut client = Vec::with_capacity(40);
    write_address(&mut client, event.client);
    let mut peer = Vec::with_capacity(40);
    write_address(&mut peer, event.peer);
    out.extend_from_slice(b"{\"time\":");
    decimal(out, event.time);
    text_member(out, "request_id", event.request_id);
    text_member(out, "client", &client);
    text_member(out, "peer", &peer);
    if let Some(judgement) = &event.judgement {
        let value = match judgement.value {
            b"" => &client,
            value => value,
        };
        text_member(out, "subject", judgement.subject.name().as_bytes());
        text_member(out, "value", value);
        member(out, "score");
        score(out, judgement.score);
        list_member(out, "categories", judgement.verdict.categories());
        list_member(out, "sources", judgement.verdict.sources());
    }
    text_member(out, "limit", event.limit);
    text_member(out, "method", event.method);
    text_member(out, "host", event.host);
    text_member(out, "path", event.path);
    text_member(out, "action", event.action.as_bytes());
    member(out, "slot");
    decimal(out, event.slot as u64);
    out.extend_from_slice(b"}\n");
}

/// Tenths as a decimal number: 75 -> 7.5.
pub fn score(out: &mut Vec<u8>, tenths: u8) {
    decimal(out, u64::from(tenths / 10));
    if tenths % 10 != 0 {
        out.push(b'.');
        out.push(b'0' + tenths % 10);
    }
}

pub fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Cut to what is enough to tell things apart.
pub fn text_member(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    long_text_member(out, name, text, TEXT_BYTES);
}

/// Nothing when it is empty.
pub fn long_text_member(out: &mut Vec<u8>, name: &str, text: &[u8], most_bytes: usize) {
    if !text.is_empty() {
        member(out, name);
        string(out, &text[..text.len().min(most_bytes)]);
    }
}

pub fn list_member<'t>(out: &mut Vec<u8>, name: &str, texts: impl Iterator<Item = &'t str>) {
    member(out, name);
    out.push(b'[');
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, &text.as_bytes()[..text.len().min(TEXT_BYTES)]);
    }
    out.push(b']');
}

/// Printable ASCII as it is, every other byte as \u00XX: the line is valid JSON whatever the bytes are.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &octet in text {
        match octet {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', octet]),
            b' '..=b'~' => out.push(octet),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(hex_digit(u64::from(octet >> 4)));
                out.push(hex_digit(u64::from(octet)));
            }
        }
    }
    out.push(b'"');
}
