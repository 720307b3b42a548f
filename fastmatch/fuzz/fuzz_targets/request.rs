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
    for backslash in [b'/', b'\\'] {
        assert!(
            !is_control(&sent[..head.length], backslash),
            "forwarded: {text}"
        );
    }
    if text.contains("\r\nx-set:") {
        assert_eq!(text.matches("\r\nx-set:").count(), 1, "{text}");
        assert!(
            !text.contains("x_set:") && !text.contains("\r\nreferer:"),
            "{text}"
        );
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

/// A slow second opinion: every escape decoded, backslashes slashes or not, dot segments gone, small letters.
fn is_control(head: &[u8], backslash: u8) -> bool {
    let target = head
        .split(|octet| *octet == b' ')
        .nth(1)
        .unwrap_or_default();
    let path = target
        .split(|octet| *octet == b'?')
        .next()
        .unwrap_or_default();
    let (mut plain, mut index) = (Vec::new(), 0);
    while let Some(octet) = path.get(index) {
        let digits = path
            .get(index + 1..index + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits
            .filter(|digits| {
                *octet == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            })
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        index += if escaped.is_some() { 3 } else { 1 };
        plain.push(match escaped.unwrap_or(*octet) {
            b'\\' => backslash,
            other => other.to_ascii_lowercase(),
        });
    }
    let mut kept = Vec::new();
    for segment in plain.split(|octet| *octet == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    kept.first().is_some_and(|first| *first == b"tyk")
}

fuzz_target!(|input: &[u8]| {
    let (message, cut) = pieces(input);
    assert_eq!(drive(&[message]), drive(&cut));
});
