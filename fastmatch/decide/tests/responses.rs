//! What the client gets for what an upstream sends.

mod support;

use decide::action::HeadOutcome;
use decide::upstream::{
    BROKEN, CLOSE_CLIENT, RESPONSE_BEGUN, RESPONSE_DONE, REUSE, SERVER_ERROR, TUNNEL,
};
use support::{Split, World, answer, split, unchunk, world};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_10: &[u8] = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n";
const KEEP_10: &[u8] = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const WEBSOCKET: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const DONE: u32 = RESPONSE_BEGUN | RESPONSE_DONE;

/// An answer with a date, so that none is added.
fn dated(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nDate: d\r\n{fields}\r\n{body}").into_bytes()
}

fn ask(request: &[u8], response: &[u8]) -> (Split, u32) {
    let (got, flags) = answer(&world(|_| {}), request, &[response], false);
    (split(&got), flags)
}

/// The same, and then the upstream closes.
fn ask_to_end(request: &[u8], response: &[u8]) -> (Split, u32) {
    let (got, flags) = answer(&world(|_| {}), request, &[response], true);
    (split(&got), flags)
}

#[test]
fn a_sized_answer_is_made_anew_and_its_connection_kept() {
    let response = dated(
        "200 Fine",
        "Server: x\r\nContent-Length: 3\r\nA:b\r\n",
        "abc",
    );
    let (got, flags) = ask(GET, &response);
    assert_eq!(
        got.head,
        "HTTP/1.1 200 Fine\r\nDate: d\r\nServer: x\r\nA: b\r\nContent-Length: 3\r\n\r\n"
    );
    assert_eq!((got.rest.as_slice(), flags), (&b"abc"[..], DONE | REUSE));
}

#[test]
fn a_missing_date_is_added_and_an_old_upstream_spoken_for() {
    let (got, flags) = ask(GET, b"HTTP/1.0 204 No Content\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(
        got.head,
        "HTTP/1.1 204 No Content\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n\r\n"
    );
    assert_eq!(flags, DONE);
    let (_, flags) = ask(
        GET,
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(flags, DONE | REUSE);
}

#[test]
fn p2_answers_without_body_end_with_their_head() {
    for (request, status, shows_length) in [
        (HEAD, "200 OK", true),
        (GET, "304 Not Modified", true),
        (GET, "204 No Content", false),
    ] {
        let (got, flags) = ask(request, &dated(status, "Content-Length: 5\r\n", ""));
        assert_eq!(
            (got.head.contains("\r\nContent-Length: 5\r\n"), flags),
            (shows_length, DONE | REUSE),
            "{status}"
        );
        let (got, flags) = ask(request, &dated(status, "Content-Length: 5\r\n", "extra"));
        assert_eq!((got.rest.as_slice(), flags), (&b""[..], DONE), "{status}");
        let (got, flags) = ask(
            request,
            &dated(status, "Transfer-Encoding: chunked\r\n", ""),
        );
        assert_eq!(
            (got.head.contains("Transfer"), flags),
            (false, DONE | REUSE),
            "{status}"
        );
    }
}

#[test]
fn p2_p9_bytes_behind_an_answer_are_never_relayed_and_spoil_the_connection() {
    let stray = "HTTP/1.1 200 OK\r\n\r\nstolen";
    for response in [
        dated("200 OK", "Content-Length: 3\r\n", &format!("abc{stray}")),
        dated(
            "200 OK",
            "Transfer-Encoding: chunked\r\n",
            &format!("3\r\nabc\r\n0\r\n\r\n{stray}"),
        ),
    ] {
        let (got, flags) = ask(GET, &response);
        assert!(!String::from_utf8_lossy(&got.rest).contains("stolen"));
        assert_eq!(flags, DONE);
    }
    let world = world(|_| {});
    let mut client = world.client("198.51.100.1");
    client.head(GET, &mut Vec::new());
    let mut upstream = world.upstream();
    upstream.begin(&mut client);
    let mut out = Vec::new();
    let done = upstream.data(
        &dated("200 OK", "Content-Length: 0\r\n", ""),
        &mut client,
        &mut out,
    );
    assert_eq!(done.flags, DONE | REUSE);
    out.clear();
    let later = upstream.data(stray.as_bytes(), &mut client, &mut out);
    assert_eq!((later.flags, out.len()), (DONE, 0));
}

#[test]
fn p3_interim_answers_are_for_http11_alone() {
    let response = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: y\r\n\r\n\
        HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 0\r\n\r\n";
    let (got, flags) = answer(&world(|_| {}), GET, &[response], false);
    assert_eq!(
        String::from_utf8_lossy(&got),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(flags, DONE | REUSE);
    let (got, _) = answer(&world(|_| {}), GET_10, &[response], false);
    assert!(got.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let alone = b"HTTP/1.1 102 Processing\r\n\r\n";
    assert_eq!(
        answer(&world(|_| {}), GET, &[alone], false),
        (alone.to_vec(), 0)
    );
    let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(65);
    assert_eq!(answer(&world(|_| {}), GET, &[&endless], false).1, BROKEN);
}

#[test]
fn p4_truncation_is_never_hidden() {
    for (response, begun) in [
        (&b""[..], 0),
        (b"HTTP/1.1 200 OK\r\n", 0),
        (b"HTTP/1.1 100 Continue\r\n\r\n", 0),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            RESPONSE_BEGUN,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            RESPONSE_BEGUN,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
            RESPONSE_BEGUN,
        ),
    ] {
        let world = world(|_| {});
        let (got, flags) = answer(&world, GET, &[response], true);
        assert_eq!(flags, begun | BROKEN, "{}", response.escape_ascii());
        assert!(!got.ends_with(b"0\r\n\r\n"));
        assert_eq!(world.count("upstream_truncated"), 1);
    }
}

#[test]
fn p5_p6_bodies_to_the_close_fit_the_client() {
    let response = dated("200 OK", "", "abc");
    let (got, flags) = ask_to_end(GET, &response);
    assert!(got.head.ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(
        (got.rest.as_slice(), flags),
        (&b"3\r\nabc\r\n0\r\n\r\n"[..], DONE)
    );
    for request in [GET_10, KEEP_10] {
        let (got, flags) = ask_to_end(request, &response);
        assert!(got.head.ends_with("\r\nConnection: close\r\n\r\n"));
        assert_eq!(
            (got.rest.as_slice(), flags),
            (&b"abc"[..], DONE | CLOSE_CLIENT)
        );
    }
}

#[test]
fn p6_chunks_are_for_http11_alone() {
    let response = dated(
        "200 OK",
        "Transfer-Encoding: chunked\r\nTrailer: X\r\n",
        "3\r\nabc\r\n2;e\r\nde\r\n0\r\nX: y\r\n\r\n",
    );
    let (got, flags) = ask(GET, &response);
    assert_eq!(
        got.head,
        "HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(
        (got.rest.as_slice(), flags),
        (&b"5\r\nabcde\r\n0\r\n\r\n"[..], DONE | REUSE)
    );
    let (got, flags) = ask(KEEP_10, &response);
    assert_eq!(
        got.head,
        "HTTP/1.1 200 OK\r\nDate: d\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(
        (got.rest.as_slice(), flags),
        (&b"abcde"[..], DONE | REUSE | CLOSE_CLIENT)
    );
}

#[test]
fn p6_http10_keeps_its_connection_when_asked_and_possible() {
    let response = dated("200 OK", "Content-Length: 1\r\n", "a");
    let (got, flags) = ask(KEEP_10, &response);
    assert!(got.head.ends_with("\r\nConnection: keep-alive\r\n\r\n"));
    assert_eq!(flags, DONE | REUSE);
    let (got, flags) = ask(GET_10, &response);
    assert!(got.head.ends_with("\r\nConnection: close\r\n\r\n"));
    assert_eq!(flags, DONE | REUSE | CLOSE_CLIENT);
}

#[test]
fn p7_an_answer_before_the_request_is_over_closes_both_sides() {
    let world = world(|_| {});
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
    let response = dated("413 Content Too Large", "Content-Length: 0\r\n", "");
    let (got, flags) = answer(&world, request, &[&response], false);
    assert!(split(&got).head.ends_with("\r\nConnection: close\r\n\r\n"));
    assert_eq!(flags, DONE | CLOSE_CLIENT);
}

#[test]
fn p10_hop_by_hop_fields_end_here() {
    let fields = "Connection: X-Mine, close\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\nAlt-Svc: h3\r\n\
        Upgrade: h2c\r\nTrailer: X\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n";
    let (got, flags) = ask(GET, &dated("200 OK", fields, ""));
    assert_eq!(
        got.head,
        "HTTP/1.1 200 OK\r\nDate: d\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(flags, DONE);
}

#[test]
fn malformed_answers_break_and_are_counted() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "rubbish",
    ] {
        let world = world(|_| {});
        let (got, flags) = answer(&world, GET, &[response.as_bytes()], false);
        assert_eq!(
            (got.len(), flags, world.count("upstream_malformed")),
            (0, BROKEN, 1),
            "{response}"
        );
    }
    let (_, flags) = ask(
        GET,
        &dated("200 OK", "Transfer-Encoding: chunked\r\n", "3\r\nabcX"),
    );
    assert_eq!(flags, RESPONSE_BEGUN | BROKEN);
}

#[test]
fn a_tunnel_opens_on_a_real_101_alone() {
    let real = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: k\r\n\
        Keep-Alive: 1\r\n\r\n\x81\x00";
    let world = world(|_| {});
    let (got, flags) = answer(&world, WEBSOCKET, &[real, b"\x81\x01x"], false);
    let got = split(&got);
    assert_eq!(
        got.head,
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    assert_eq!(
        (got.rest.as_slice(), flags),
        (&b"\x81\x00\x81\x01x"[..], RESPONSE_BEGUN | TUNNEL)
    );
    assert_eq!(
        (
            world.count("responses_1xx"),
            world.count("tunnels"),
            world.count("requests_in_flight")
        ),
        (1, 1, 0)
    );
    let bare = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
    assert_eq!(answer(&world, WEBSOCKET, &[bare], false).1, BROKEN);
    let declined = dated("400 Bad Request", "Content-Length: 0\r\n", "");
    assert_eq!(
        answer(&world, WEBSOCKET, &[&declined], false).1,
        DONE | REUSE
    );
}

#[test]
fn later_pieces_of_a_sized_body_pass_through() {
    let world = world(|_| {});
    let (mut client, mut upstream) = asked(&world, GET);
    let mut out = Vec::new();
    let first = upstream.data(
        &dated("200 OK", "Content-Length: 6\r\n", "ab"),
        &mut client,
        &mut out,
    );
    assert_eq!((first.flags, first.passes_through), (RESPONSE_BEGUN, false));
    out.clear();
    let second = upstream.data(b"cd", &mut client, &mut out);
    assert_eq!(
        (second.flags, second.passes_through, out.len()),
        (RESPONSE_BEGUN, true, 0)
    );
    let last = upstream.data(b"efX", &mut client, &mut out);
    assert_eq!(
        (last.flags, last.passes_through, out.as_slice()),
        (DONE, false, &b"ef"[..])
    );
}

#[test]
fn each_piece_of_a_body_of_unknown_length_is_one_chunk() {
    let world = world(|_| {});
    let (mut client, mut upstream) = asked(&world, GET);
    let mut got = Vec::new();
    let pieces = [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n2"[..],
        b"\r\ncd\r\n4\r\nef",
        b"gh\r\n0\r\n",
        b"\r\n",
    ];
    let mut chunk_lines = Vec::new();
    for piece in pieces {
        let mut out = Vec::new();
        upstream.data(piece, &mut client, &mut out);
        let body = if got.is_empty() {
            split(&out).rest
        } else {
            out.clone()
        };
        chunk_lines.push(
            String::from_utf8_lossy(&body)
                .lines()
                .next()
                .map(str::to_owned),
        );
        got.extend_from_slice(&out);
    }
    assert_eq!(unchunk(&split(&got).rest), (b"abcdefgh".to_vec(), true));
    let expected = [Some("2"), Some("4"), Some("2"), Some("0")].map(|line| line.map(str::to_owned));
    assert_eq!(chunk_lines, expected);
}

#[test]
fn an_exchange_can_begin_again_on_another_connection() {
    let world = world(|_| {});
    let (mut client, mut first) = asked(&world, GET);
    let mut out = Vec::new();
    assert_eq!(first.eof(&mut client, &mut out), BROKEN);
    let mut second = world.upstream();
    second.begin(&mut client);
    let response = dated("200 OK", "Content-Length: 0\r\n", "");
    assert_eq!(
        second.data(&response, &mut client, &mut out).flags,
        DONE | REUSE
    );
    assert_eq!(
        (world.count("requests"), world.count("responses_2xx")),
        (1, 1)
    );
}

#[test]
fn a_server_error_is_told_by_a_flag_and_its_status_behind_any_interim_answer() {
    for (status, flag) in [
        ("499 A", 0),
        ("500 B", SERVER_ERROR),
        ("503 C", SERVER_ERROR),
    ] {
        let world = world(|_| {});
        let mut client = world.client("192.0.2.1");
        client.head(GET, &mut Vec::new());
        let mut upstream = world.upstream();
        upstream.begin(&mut client);
        let mut out = Vec::new();
        let interim = upstream.data(b"HTTP/1.1 103 Hints\r\n\r\n", &mut client, &mut out);
        assert_eq!((interim.flags, upstream.status()), (0, 0));
        let response = dated(status, "Content-Length: 0\r\n", "");
        let last = upstream.data(&response, &mut client, &mut out);
        assert_eq!(last.flags, DONE | REUSE | flag);
        assert_eq!(upstream.status().to_string(), status[..3]);
    }
}

#[test]
fn answers_are_counted_and_timed() {
    let world = world(|_| {});
    for status in ["200 OK", "301 Moved", "404 Not Found", "503 Down"] {
        answer(
            &world,
            GET,
            &[&dated(status, "Content-Length: 2\r\n", "ab")],
            false,
        );
    }
    let names = [
        "requests",
        "responses_2xx",
        "responses_3xx",
        "responses_4xx",
        "responses_5xx",
        "requests_in_flight",
    ];
    assert_eq!(names.map(|name| world.count(name)), [4, 1, 1, 1, 1, 0]);
    assert_eq!(
        world.count("bytes_received"),
        4 * i64::try_from(GET.len()).expect("small")
    );
    for histogram in [decide::Histogram::Request, decide::Histogram::Upstream] {
        let buckets = world.segment.histogram(histogram);
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 4);
        assert!(
            buckets
                .iter()
                .all(|(bound, _)| *bound > 0.0 && *bound < 5.0)
        );
    }
}

fn asked(world: &World, request: &[u8]) -> (decide::Downstream, decide::Upstream) {
    let mut client = world.client("198.51.100.1");
    assert!(matches!(
        client.head(request, &mut Vec::new()),
        HeadOutcome::Ready(_)
    ));
    let mut upstream = world.upstream();
    upstream.begin(&mut client);
    (client, upstream)
}
