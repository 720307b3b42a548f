//! However the input is cut, what is forwarded and answered is the same.

mod support;

use decide::upstream::BROKEN;
use http1::request::{self, FieldStorage, Parse};
use http1::{Framing, Limits};
use proptest::prelude::*;
use support::{Seen, World, answer, cut, requests, split, unchunk, world};

fn small() -> World {
    world(|settings| {
        settings.head_bytes = 300;
        settings.target_bytes = 60;
        settings.header_count = 6;
        settings.body_bytes = 200;
        settings.response_head_bytes = 300;
    })
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[A-Za-z-]{1,8}: ?[ -~]{0,12}\r\n",
        1 => "Connection: (close|keep-alive|[a-z]{1,4})\r\n",
        1 => "(X-Forwarded-For|X_Sentra_Score|TE|Upgrade): [ -~]{0,9}\r\n",
        1 => "[ -~\r\n\t]{0,12}\r?\n",
        1 => "Expect: 100-continue\r\n",
        1 => "Host: b\r\n",
    ]
}

/// Mostly valid messages, so that faults are rare enough to be reached one at a time.
fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("\r\n".to_owned()),
        4 => "[a-z]{0,30}".prop_map(|text| format!("Content-Length: {}\r\n\r\n{text}", text.len())),
        1 => "Content-Length: [0-9+]{0,3}\r\n\r\n[a-z]{0,30}",
        4 => prop::collection::vec("[a-z]{1,90}", 0..4).prop_map(|chunks| {
            let chunks: Vec<String> =
                chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
            let chunks = chunks.concat();
            format!("Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
        }),
        1 => "Transfer-Encoding: (chunked|gzip)\r\n\r\n([0-3]\r\n[a-z]{0,3}\r\n){0,3}",
    ]
}

fn request() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => "(GET|POST|HEAD) /[a-z?]{0,20} HTTP/1.[01]\r\n",
        1 => "[A-Z]{1,40} [!-~]{1,70} HTTP/[0-2].[0-2]\r\n",
        1 => "OPTIONS (\\*|http://a/) HTTP/1.1\r\n",
        1 => "(\r\n)?GET / HTTP/1.1\r?\n",
    ];
    (line, prop::collection::vec(field(), 0..5), body())
        .prop_map(|(line, fields, body)| format!("{line}Host: a\r\n{}{body}", fields.concat()))
}

fn response() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => "HTTP/1.[01] (200|204|304|404) [ -~]{0,9}\r\n",
        2 => "HTTP/1.1 10[0-3] [a-z]{0,4}\r\n\r\nHTTP/1.1 200 OK\r\n",
        1 => "HTTP/[0-2].[0-2] [0-9]{2,4}[ -~]{0,9}\r?\n",
    ];
    (line, prop::collection::vec(field(), 0..5), body())
        .prop_map(|(line, fields, body)| format!("{line}{}{body}", fields.concat()))
}

/// What the client makes of it: chunks are an accident of the cuts, the payload is not.
fn understood(got: &[u8], flags: u32) -> (String, Vec<u8>, u32) {
    let end = got.windows(4).rposition(|window| window == b"\r\n\r\n");
    if end.is_none() {
        return (String::from_utf8_lossy(got).into_owned(), Vec::new(), flags);
    }
    let (mut heads, mut rest) = (String::new(), got.to_vec());
    loop {
        let parts = split(&rest);
        let is_interim = parts.head.starts_with("HTTP/1.1 1");
        heads.push_str(&parts.head);
        rest = parts.rest;
        if !is_interim || rest.is_empty() {
            break;
        }
    }
    if heads.contains("\r\nTransfer-Encoding: chunked\r\n") {
        let (payload, is_over) = unchunk(&rest);
        assert_eq!(is_over, flags & BROKEN == 0);
        rest = payload;
    }
    if flags & BROKEN != 0 {
        // How much came through before the fault is an accident of the cuts; the client's connection is aborted.
        rest.clear();
    }
    (heads, rest, flags)
}

proptest! {
    // A shrunk failure becomes a test with a name, not a file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn of_requests_reaches_the_upstream_alike(
        texts in prop::collection::vec(request(), 1..4),
        places in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let bytes = texts.concat().into_bytes();
        let world = small();
        let whole = requests(&world, "198.51.100.1", &[&bytes]);
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&requests(&world, "198.51.100.1", &cut(&bytes, &places)), &whole);
        prop_assert_eq!(&requests(&world, "198.51.100.1", &bytewise), &whole);
        for seen in &whole {
            if let Seen::Forwarded { head, body, is_whole } = seen {
                is_one_strict_request(head, body.len(), *is_whole)?;
            }
        }
    }

    #[test]
    fn of_answers_reaches_the_client_alike(
        method in "GET|HEAD",
        minor in "[01]",
        text in response(),
        closes: bool,
        places in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let request = format!("{method} / HTTP/1.{minor}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let bytes = text.as_bytes();
        let world = small();
        let run = |pieces: &[&[u8]]| {
            let (got, flags) = answer(&world, request.as_bytes(), pieces, true);
            understood(&got, flags)
        };
        let whole = run(&[bytes]);
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        if closes {
            prop_assert_eq!(run(&cut(bytes, &places)), whole);
        } else {
            prop_assert_eq!(run(&bytewise), whole);
        }
    }

    #[test]
    fn of_any_bytes_panics_nowhere(bytes in prop::collection::vec(any::<u8>(), 0..400), places in prop::collection::vec(any::<usize>(), 0..6)) {
        let world = small();
        requests(&world, "198.51.100.1", &cut(&bytes, &places));
        answer(&world, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &cut(&bytes, &places), true);
    }
}

/// What we send is itself a strict head with one Host and the framing of the body that follows.
fn is_one_strict_request(
    head: &str,
    body_length: usize,
    is_whole: bool,
) -> Result<(), TestCaseError> {
    let limits = Limits {
        head_bytes: 4096,
        target_bytes: 4096,
        field_count: 64,
    };
    let mut storage = FieldStorage::new();
    let Ok(Parse::Complete(parsed)) = request::parse(head.as_bytes(), &limits, &mut storage) else {
        return Err(TestCaseError::fail(format!("not strict: {head:?}")));
    };
    prop_assert_eq!(parsed.length, head.len());
    match parsed.framing {
        Framing::Length(length) if is_whole => prop_assert_eq!(length, body_length as u64),
        Framing::Length(length) => prop_assert!(length > body_length as u64),
        Framing::None => prop_assert_eq!(body_length, 0),
        Framing::Chunked | Framing::ToClose => {}
    }
    let ours = head
        .matches("\r\nX-Forwarded-For: 198.51.100.1\r\n")
        .count();
    prop_assert_eq!(
        (ours, head.to_lowercase().matches("x-forwarded-for").count()),
        (1, 1)
    );
    prop_assert!(!head.to_lowercase().contains("sentra_") && !head.contains("\r\nTE:"));
    Ok(())
}

#[test]
fn the_bound_of_a_head_is_exact_in_any_pieces() {
    let world = small();
    for (blank, length, is_taken) in [
        ("", 300, true),
        ("", 301, false),
        ("\r\n", 300, true),
        ("\r\n", 301, false),
        ("", 290, true),
    ] {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
        let padding = "x".repeat(length - frame.len());
        let text = format!("{blank}GET / HTTP/1.1\r\nHost: a\r\nX: {padding}\r\n\r\nGET");
        for size in [1, 2, 3, 7, 150, 290, 302, 400] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let seen = requests(&world, "198.51.100.1", &pieces);
            let matches = match &seen[..] {
                [Seen::Forwarded { .. }, Seen::Unfinished] => is_taken,
                [Seen::Refused(431)] => !is_taken,
                _ => false,
            };
            assert!(matches, "{length} bytes by {size}: {seen:?}");
        }
    }
}
