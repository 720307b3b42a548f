//! Answers, whole and cut, to HTTP/1.1 and 1.0 clients, to GET and HEAD: the same bytes but for the chunk lines.
#![no_main]

use std::sync::Arc;

use decide::upstream::{BROKEN, RESPONSE_BEGUN, RESPONSE_DONE, TUNNEL};
use decide::{Downstream, Upstream};
use fastmatch_fuzz::{GATE, pieces};
use http1::Framing;
use http1::chunked::Decoder;
use http1::request::FieldStorage;
use http1::response::{self, Parse};
use libfuzzer_sys::fuzz_target;

const REQUESTS: [&[u8]; 4] = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
];

fn drive(request: &[u8], cut: &[&[u8]]) -> (Vec<u8>, Vec<u8>, u32) {
    let mut client = Downstream::new(Arc::clone(&GATE), "192.0.2.1").expect("an address");
    client.head(request, &mut Vec::new());
    let mut upstream = Upstream::new(Arc::clone(&GATE));
    upstream.begin(&mut client);
    let (mut got, mut flags) = (Vec::new(), 0);
    for piece in cut {
        let mut out = Vec::new();
        let outcome = upstream.data(piece, &mut client, &mut out);
        got.extend_from_slice(if outcome.passes_through { piece } else { &out });
        assert_eq!(
            flags & !outcome.flags & RESPONSE_BEGUN,
            0,
            "begun stays begun"
        );
        flags = outcome.flags;
        if flags & BROKEN != 0 {
            break;
        }
    }
    if flags & (BROKEN | TUNNEL | RESPONSE_DONE) == 0 {
        let mut out = Vec::new();
        flags = upstream.eof(&mut client, &mut out);
        got.extend_from_slice(&out);
    }
    let (heads, mut payload, flags) = understood(request, &got, flags);
    if flags & BROKEN != 0 {
        // How much came through before the fault is an accident of the cuts; the client's connection is aborted.
        payload.clear();
    }
    (heads, payload, flags)
}

/// Heads, payload and flags, as the client reads them.
fn understood(request: &[u8], got: &[u8], flags: u32) -> (Vec<u8>, Vec<u8>, u32) {
    let limits = http1::Limits {
        head_bytes: 65_536,
        target_bytes: 0,
        field_count: 256,
    };
    let (mut heads, mut rest) = (Vec::new(), got);
    while !rest.is_empty() {
        let mut storage = FieldStorage::new();
        let Ok(Parse::Complete(head)) =
            response::parse(rest, &limits, request.starts_with(b"HEAD"), &mut storage)
        else {
            panic!("not strict: {}", rest.escape_ascii());
        };
        heads.extend_from_slice(&rest[..head.length]);
        let (is_interim, framing) = (head.status < 200 && head.status != 101, head.framing);
        rest = &rest[head.length..];
        if is_interim {
            continue;
        }
        if framing != Framing::Chunked {
            break;
        }
        let (mut decoder, mut payload) = (Decoder::default(), Vec::new());
        let used = decoder
            .decode(rest, |part| payload.extend_from_slice(part))
            .expect("our chunks");
        assert_eq!(
            (used, decoder.is_done()),
            (rest.len(), flags & RESPONSE_DONE != 0)
        );
        return (heads, payload, flags);
    }
    (heads, rest.to_vec(), flags)
}

fuzz_target!(|input: &[u8]| {
    let (message, cut) = pieces(input);
    let Some((choice, message)) = message.split_first() else {
        return;
    };
    let request = REQUESTS[usize::from(choice & 3)];
    let mut cut = cut;
    cut[0] = &cut[0][1..];
    assert_eq!(drive(request, &[message]), drive(request, &cut));
});
