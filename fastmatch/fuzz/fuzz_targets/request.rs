//! Requests, whole and cut: the same outcome, and nothing forwarded that is not itself one strict request.
#![no_main]

use std::sync::Arc;

use decide::Downstream;
use decide::action::{BODY_DONE, CLOSE, DENY, HeadOutcome};
use fastmatch_fuzz::{GATE, pieces};
use http1::chunked::Decoder;
use http1::request::{self, FieldStorage, Parse};
use http1::{Framing, Limits};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Forwarded {
        head: Vec<u8>,
        body: Vec<u8>,
        is_whole: bool,
    },
    Answered {
        closes: bool,
    },
    Refused(u16),
}

fn drive(cut: &[&[u8]]) -> Vec<Seen> {
    let mut client = Downstream::new(Arc::clone(&GATE), "10.0.0.1").expect("an address");
    let (mut seen, mut open) = (Vec::new(), None::<Vec<u8>>);
    for piece in cut {
        let mut rest = *piece;
        while !rest.is_empty() {
            let mut out = Vec::new();
            let (consumed, is_done) = match &mut open {
                Some(sent) => match client.body(rest, &mut out) {
                    Err(refusal) => {
                        seen.push(Seen::Refused(refusal.status()));
                        return seen;
                    }
                    Ok(part) => {
                        sent.extend_from_slice(if part.passes_through { rest } else { &out });
                        (part.consumed, part.is_done)
                    }
                },
                None => match client.head(rest, &mut out) {
                    HeadOutcome::Incomplete => (rest.len(), false),
                    HeadOutcome::Refused(refusal) => {
                        seen.push(Seen::Refused(refusal.status()));
                        return seen;
                    }
                    HeadOutcome::Ready(action) if action.action & 15 == DENY => {
                        let closes = action.action & CLOSE != 0;
                        seen.push(Seen::Answered { closes });
                        if closes {
                            return seen;
                        }
                        (action.consumed, false)
                    }
                    HeadOutcome::Ready(action) => {
                        open = Some(out);
                        (action.consumed, action.action & BODY_DONE != 0)
                    }
                },
            };
            assert!(consumed <= rest.len());
            rest = &rest[consumed..];
            if is_done {
                seen.extend(open.take().map(|sent| forwarded(&sent, true)));
                client.end(200);
            }
        }
    }
    seen.extend(open.map(|sent| forwarded(&sent, false)));
    seen
}

/// What the next server understands: parsed with the same strictness, under limits that our fields fit in.
fn forwarded(sent: &[u8], is_whole: bool) -> Seen {
    let limits = Limits {
        head_bytes: 8192,
        target_bytes: 8192,
        field_count: 64,
    };
    let mut storage = FieldStorage::new();
    let Ok(Parse::Complete(head)) = request::parse(sent, &limits, &mut storage) else {
        panic!("not strict: {}", sent.escape_ascii());
    };
    let rest = &sent[head.length..];
    let mut body = Vec::new();
    match head.framing {
        Framing::Chunked => {
            let mut decoder = Decoder::default();
            let used = decoder
                .decode(rest, |part| body.extend_from_slice(part))
                .expect("our chunks");
            assert_eq!((used, decoder.is_done()), (rest.len(), is_whole));
        }
        Framing::Length(length) => {
            body.extend_from_slice(rest);
            assert_eq!(body.len() as u64 == length, is_whole);
        }
        _ => assert!(rest.is_empty()),
    }
    let text = String::from_utf8_lossy(&sent[..head.length]).to_lowercase();
    for once in [
        "\r\nhost:",
        "\r\nx-forwarded-for:",
        "\r\nx-real-ip:",
        "\r\nx-request-id:",
        "\r\nx-forwarded-proto:",
    ] {
        assert_eq!(text.matches(once).count(), 1, "{once} in {text}");
    }
    // Our request id differs each time.
    let lines = sent[..head.length].split_inclusive(|octet| *octet == b'\n');
    let head = lines
        .filter(|line| !line.starts_with(b"X-Request-Id: "))
        .collect::<Vec<_>>()
        .concat();
    Seen::Forwarded {
        head,
        body,
        is_whole,
    }
}

fuzz_target!(|input: &[u8]| {
    let (message, cut) = pieces(input);
    assert_eq!(drive(&[message]), drive(&cut));
});
