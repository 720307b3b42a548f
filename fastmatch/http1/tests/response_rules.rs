//! What an upstream may send as a head, whole and one byte at a time.

use http1::lines::{HeadKind, LineScanner};
use http1::request::FieldStorage;
use http1::response::{self, Parse};
use http1::{Framing, Limits, Refusal};

const LIMITS: Limits = Limits {
    head_bytes: 512,
    target_bytes: 0,
    field_count: 8,
};

#[derive(Debug, PartialEq, Eq)]
struct Taken {
    status: u16,
    reason: Vec<u8>,
    framing: Framing,
    keep_alive: bool,
}

fn whole(bytes: &[u8], to_head: bool) -> Result<Option<Taken>, Refusal> {
    let mut storage = FieldStorage::new();
    match response::parse(bytes, &LIMITS, to_head, &mut storage)? {
        Parse::Incomplete(_) => Ok(None),
        Parse::Complete(head) => Ok(Some(Taken {
            status: head.status,
            reason: head.reason.to_vec(),
            framing: head.framing,
            keep_alive: head.keep_alive,
        })),
    }
}

fn byte_by_byte(bytes: &[u8]) -> Result<Option<Taken>, Refusal> {
    let mut scanner = LineScanner::default();
    for end in 1..=bytes.len() {
        if let Some(length) = scanner.advance(&bytes[..end], HeadKind::Response, &LIMITS)? {
            return whole(&bytes[..length], false);
        }
    }
    Ok(None)
}

#[track_caller]
fn takes(text: &str) -> Taken {
    let bytes = text.as_bytes();
    let taken = whole(bytes, false).expect("taken").expect("complete");
    assert_eq!(Some(&taken), byte_by_byte(bytes).expect("taken").as_ref());
    taken
}

#[track_caller]
fn breaks(cases: &[&str]) {
    for text in cases {
        assert!(whole(text.as_bytes(), false).is_err(), "{text:?}");
        assert!(byte_by_byte(text.as_bytes()).is_err(), "{text:?}");
    }
}

/// An answer with these field lines.
fn with(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")
}

#[test]
fn doubtful_lengths_break_the_answer() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length:",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
    ] {
        breaks(&[&with(fields)]);
    }
    breaks(&["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]);
}

#[test]
fn heads_are_as_strict_as_those_of_requests() {
    breaks(&[
        "HTTP/1.1 200 OK\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "<html>",
        "HTTP/1.1 099 No\r\n\r\n",
    ]);
}

#[test]
fn blanks_before_a_colon_are_stripped() {
    assert_eq!(
        takes(&with("Content-Length \t: 5")).framing,
        Framing::Length(5)
    );
}

#[test]
fn a_missing_or_opaque_reason_travels() {
    assert_eq!(takes("HTTP/1.1 200\r\n\r\n").reason, b"");
    assert_eq!(takes("HTTP/1.1 200 \r\n\r\n").reason, b"");
    assert_eq!(
        takes("HTTP/1.1 299 D\u{e9}j\u{e0} vu\r\n\r\n").reason,
        "D\u{e9}j\u{e0} vu".as_bytes()
    );
    assert_eq!(takes("HTTP/1.1 999 No\r\n\r\n").status, 999);
}

#[test]
fn bodies_follow_status_and_request() {
    assert_eq!(takes(&with("A: b")).framing, Framing::ToClose);
    assert_eq!(
        takes(&with("Content-Length: 0")).framing,
        Framing::Length(0)
    );
    assert_eq!(
        takes(&with("Transfer-Encoding: chunked")).framing,
        Framing::Chunked
    );
    for status in [100, 103, 204, 304] {
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(takes(&text).framing, Framing::None, "{status}");
    }
    let to_head = whole(with("Content-Length: 5").as_bytes(), true);
    assert_eq!(
        to_head.expect("taken").expect("complete").framing,
        Framing::None
    );
}

#[test]
fn connections_live_on_as_version_and_options_say() {
    assert!(takes(&with("A: b")).keep_alive);
    assert!(!takes(&with("Connection: close")).keep_alive);
    assert!(!takes("HTTP/1.0 200 OK\r\n\r\n").keep_alive);
    assert!(takes("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n").keep_alive);
}

#[test]
fn limits_hold_byte_by_byte() {
    breaks(&[
        &with(["A: b"; 9].join("\r\n").as_str()),
        &with(&format!("A: {}", "b".repeat(600))),
    ]);
    let endless = format!("HTTP/1.1 200 {}", "x".repeat(600));
    breaks(&[&endless]);
}

#[test]
fn octets_of_connection_are_bounded() {
    let limits = Limits {
        head_bytes: 4096,
        ..LIMITS
    };
    for (commas, is_taken) in [(1023, true), (1024, false)] {
        let text = with(&format!("Connection: {}a", ",".repeat(commas)));
        let mut storage = FieldStorage::new();
        let head = response::parse(text.as_bytes(), &limits, false, &mut storage);
        assert_eq!(head.is_ok(), is_taken, "{commas}");
    }
}
