//! One test for each rule about receiving a request: raw bytes in, status out, whole and one byte at a time.

use http1::lines::{HeadKind, LineScanner};
use http1::request::{self, FieldStorage, Parse};
use http1::{Framing, Limits, Refusal, Version};

const LIMITS: Limits = Limits {
    head_bytes: 1024,
    target_bytes: 128,
    field_count: 16,
};

#[derive(Debug, PartialEq, Eq)]
struct Taken {
    framing: Framing,
    version: Version,
    keep_alive: bool,
    host: Option<Vec<u8>>,
    length: usize,
}

fn whole(bytes: &[u8]) -> Result<Option<Taken>, Refusal> {
    let mut storage = FieldStorage::new();
    match request::parse(bytes, &LIMITS, &mut storage)? {
        Parse::Incomplete(_) => Ok(None),
        Parse::Complete(head) => Ok(Some(Taken {
            framing: head.framing,
            version: head.version,
            keep_alive: head.keep_alive,
            host: head.host.map(|host| host.text.to_vec()),
            length: head.length,
        })),
    }
}

fn byte_by_byte(bytes: &[u8]) -> Result<Option<Taken>, Refusal> {
    let mut scanner = LineScanner::default();
    for end in 1..=bytes.len() {
        if let Some(length) = scanner.advance(&bytes[..end], HeadKind::Request, &LIMITS)? {
            return whole(&bytes[..length]);
        }
    }
    Ok(None)
}

fn take(bytes: &[u8]) -> Result<Option<Taken>, Refusal> {
    let taken = whole(bytes);
    assert_eq!(
        taken.as_ref().map_err(|refusal| refusal.status()),
        byte_by_byte(bytes)
            .as_ref()
            .map_err(|refusal| refusal.status()),
        "{}",
        bytes.escape_ascii()
    );
    taken
}

#[track_caller]
fn refuses(expected: u16, cases: &[&[u8]]) {
    for bytes in cases {
        match take(bytes) {
            Err(refusal) => assert_eq!(refusal.status(), expected, "{}", bytes.escape_ascii()),
            other => panic!("{} gave {other:?}", bytes.escape_ascii()),
        }
    }
}

#[track_caller]
fn takes(bytes: &[u8]) -> Taken {
    take(bytes)
        .expect("a valid head is taken")
        .expect("a whole head is complete")
}

/// A request with these field lines after Host.
fn with(fields: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n\r\n").into_bytes()
}

#[track_caller]
fn refuses_fields(expected: u16, cases: &[&str]) {
    for fields in cases {
        refuses(expected, &[&with(fields)]);
    }
}

/// A request line before a valid rest.
fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a.example\r\n\r\n").into_bytes()
}

#[track_caller]
fn refuses_lines(expected: u16, cases: &[&str]) {
    for text in cases {
        refuses(expected, &[&line(text)]);
    }
}

#[test]
fn r1_length_beside_coding_is_400() {
    refuses_fields(
        400,
        &[
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 0",
            "Transfer-Encoding: gzip\r\nContent-Length: 0",
        ],
    );
}

#[test]
fn r2_a_repeated_or_listed_length_is_400() {
    refuses_fields(
        400,
        &[
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 5",
            "Content-Length: 5,",
        ],
    );
}

#[test]
fn r3_a_length_is_digits_alone() {
    for value in [
        "+1",
        "-0",
        "-1",
        "0x10",
        "1_0",
        "1 0",
        "",
        "1.0",
        "\u{0661}",
        "9223372036854775808",
        "99999999999999999999999",
        "1\t1",
    ] {
        refuses_fields(400, &[&format!("Content-Length: {value}")]);
    }
    let largest = with("Content-Length: 9223372036854775807");
    assert_eq!(takes(&largest).framing, Framing::Length(i64::MAX as u64));
    assert_eq!(
        takes(&with("Content-Length: 0007")).framing,
        Framing::Length(7)
    );
    assert_eq!(
        takes(&with("Content-Length:\t7 ")).framing,
        Framing::Length(7)
    );
}

#[test]
fn r4_the_one_coding_is_chunked() {
    assert_eq!(
        takes(&with("Transfer-Encoding: chunked")).framing,
        Framing::Chunked
    );
    assert_eq!(
        takes(&with("transfer-encoding:ChUnKeD")).framing,
        Framing::Chunked
    );
    refuses_fields(
        501,
        &[
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: xchunked",
        ],
    );
    refuses_fields(
        400,
        &[
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Transfer-Encoding: ,chunked",
            "Transfer-Encoding: chunked,",
            "Transfer-Encoding: identity",
            "Transfer-Encoding:",
            "Transfer-Encoding: chunked;q=1",
            "Transfer-Encoding: \u{a0}chunked",
            "Transfer-Encoding: \u{b}chunked",
            "Transfer-Encoding: chunked\u{c}",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding : chunked",
        ],
    );
    refuses(
        400,
        &[b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"],
    );
    refuses(
        400,
        &[b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n"],
    );
}

#[test]
fn r5_bare_line_ends_are_400() {
    refuses(
        400,
        &[
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\n",
            b"GET / HTTP/1.1\r\nHost: a\n\n",
            b"GET / HTTP/1.1\rHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn r6_folded_lines_are_400() {
    refuses_fields(400, &["X: a\r\n b", "X: a\r\n\tb", "X:\r\n b"]);
}

#[test]
fn r7_blanks_around_names_are_400() {
    refuses_fields(400, &["X : a", "X\t: a", " X: a"]);
    refuses(
        400,
        &[
            b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn r8_names_are_tokens_and_values_have_no_controls() {
    refuses_fields(
        400,
        &[
            ": a",
            "no colon",
            "X(: a",
            "X\u{e9}: a",
            "X: a\u{0}b",
            "X: \u{7f}",
            "X: \u{1}",
            "X,Y: a",
            "\"X\": a",
            "X: a\u{8}",
        ],
    );
    takes(&with("X: a\tb"));
    takes(&with("X: \u{e9}"));
    takes(&with("X!#$%&'*+-.^_`|~9: a"));
    takes(&with("X:"));
    takes(&with("X: \t "));
}

#[test]
fn r9_host_is_there_once_and_is_a_host() {
    refuses(
        400,
        &[
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        ],
    );
    for host in [
        "",
        "a b",
        "a,b",
        "u@a",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "a:",
        "a:b",
        "a:65536",
        "a:1:2",
        "[::1",
        "[::1]x",
        "[1.2.3.4]",
        "::1",
        "a%2eb",
        "\u{e9}.example",
        "a:+1",
        "a:000080",
        "a..b",
        "a..",
        ".a",
        ".",
        "a~b",
        &"a".repeat(64),
        &format!("{}a", "a.".repeat(127)),
        "192.0.2.1.",
        "192.0.2.01",
        "192.0.2",
        "3221225985",
        "0xc0000201",
        "a.0X",
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        if host == "a:" {
            takes(&bytes);
        } else {
            refuses(400, &[&bytes]);
        }
    }
    for host in [
        "a.example",
        "A.EXAMPLE:8080",
        "[2001:db8::1]:443",
        "192.0.2.1",
        "a_b.example",
        "a.example.",
        "a.example.:80",
        &"a".repeat(63),
        &format!("{}a", "a.".repeat(126)),
        "1.example",
        "192.0.2.1a",
        "0xg",
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        assert_eq!(takes(&bytes).host.as_deref(), Some(host.as_bytes()));
    }
    assert_eq!(takes(b"GET / HTTP/1.0\r\n\r\n").host, None);
}

#[test]
fn r10_an_absolute_target_says_what_host_says() {
    let head = |target: &str, host: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
    };
    let host_of = |target: &str, host: &str| takes(&head(target, host)).host;
    assert_eq!(
        host_of("http://a.example/x", "A.example"),
        Some(b"a.example".to_vec())
    );
    assert_eq!(
        host_of("http://a.example:80?q", "a.example"),
        Some(b"a.example:80".to_vec())
    );
    assert_eq!(
        host_of("HTTPS://a.example:443", "a.example"),
        Some(b"a.example:443".to_vec())
    );
    for (target, host) in [
        ("http://a.example/", "b.example"),
        ("http://a.example:81/", "a.example"),
        ("ftp://a.example/", "a.example"),
        ("http://u@a.example/", "a.example"),
        ("http:///x", "a.example"),
        ("http:/a.example/", "a.example"),
        ("http:a.example", "a.example"),
    ] {
        refuses(400, &[&head(target, host)]);
    }
    refuses(400, &[b"GET http://a.example/ HTTP/1.1\r\n\r\n"]);
    let without_host = takes(b"GET http://a.example/ HTTP/1.0\r\n\r\n");
    assert_eq!(without_host.host, Some(b"a.example".to_vec()));
}

#[test]
fn r11_target_forms_belong_to_their_methods() {
    refuses_lines(
        400,
        &[
            "GET * HTTP/1.1",
            "POST * HTTP/1.1",
            "GET admin/a HTTP/1.1",
            "GET a.example:80 HTTP/1.1",
            "OPTIONS ** HTTP/1.1",
            "OPTIONS *x HTTP/1.1",
            "GET ?a HTTP/1.1",
            "GET ../a HTTP/1.1",
        ],
    );
    refuses_lines(
        405,
        &[
            "CONNECT a.example:443 HTTP/1.1",
            "TRACE / HTTP/1.1",
            "CONNECT / HTTP/1.1",
        ],
    );
    takes(&line("OPTIONS * HTTP/1.1"));
    takes(&line("get / HTTP/1.1"));
    takes(&line("M-SEARCH / HTTP/1.1"));
}

#[test]
fn r12_octets_that_no_target_has_are_400() {
    refuses_lines(
        400,
        &[
            "GET /a#b HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET /a\tb HTTP/1.1",
            "GET /a\\b HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "GET /a\u{0}b HTTP/1.1",
            "GET /\u{7f} HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET\t/ HTTP/1.1",
        ],
    );
    refuses(400, &[b"GET /adm\xffin HTTP/1.1\r\nHost: a\r\n\r\n"]);
    takes(&line("GET /%00%2F..//a;b?q=[1]&r={|}^`\"<> HTTP/1.1"));
}

#[test]
fn r14_only_the_two_versions_are_spoken() {
    refuses_lines(
        505,
        &[
            "GET / HTTP/1.2",
            "GET / HTTP/2.0",
            "GET / HTTP/0.9",
            "PRI * HTTP/2.0",
        ],
    );
    refuses_lines(
        400,
        &[
            "GET / http/1.1",
            "GET / HTTP/1",
            "GET / HTTP/1.10",
            "GET / HTTP/11",
            "GET / HTTX/1.1",
            "GET /",
            "GET",
        ],
    );
    assert_eq!(
        takes(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").version,
        Version::Http10
    );
}

#[test]
fn r15_limits_hold_byte_by_byte() {
    let target = |length: usize| {
        let path = "a".repeat(length - 1);
        line(&format!("GET /{path} HTTP/1.1"))
    };
    takes(&target(128));
    refuses(414, &[&target(129), &target(4000), &target(129)[..140]]);
    let fields = |count: usize| with(vec!["X: a"; count].join("\r\n").as_str());
    takes(&fields(15));
    refuses(431, &[&fields(16), &fields(200)]);
    let padded = |length: usize| {
        let empty = with("X: ").len();
        with(&format!("X: {}", "a".repeat(length - empty)))
    };
    assert_eq!(takes(&padded(1024)).length, 1024);
    refuses(431, &[&padded(1025), &padded(5000), &padded(5000)[..1025]]);
    let method = |length: usize| line(&format!("{} / HTTP/1.1", "A".repeat(length)));
    takes(&method(32));
    refuses(400, &[&method(33), &method(33)[..33]]);
    let options = |count: usize| with(&format!("Connection: {}", vec!["a"; count].join(",")));
    takes(&options(32));
    refuses(400, &[&options(33)]);
}

#[test]
fn another_protocol_is_refused_by_its_first_byte() {
    refuses(400, &[b"\x16\x03\x01", b"\0", b" ", b"<", b"(GET"]);
}

#[test]
fn one_empty_line_before_a_request_is_forgiven() {
    assert_eq!(takes(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").length, 29);
    refuses(400, &[b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    assert_eq!(take(b"\r\n"), Ok(None));
}

#[test]
fn an_unfinished_head_is_neither_taken_nor_refused() {
    let bytes = with("X: a");
    for end in 1..bytes.len() {
        assert_eq!(
            take(&bytes[..end]),
            Ok(None),
            "{}",
            bytes[..end].escape_ascii()
        );
    }
}

#[test]
fn only_100_continue_may_be_expected() {
    takes(&with("Expect: 100-continue\r\nContent-Length: 3"));
    refuses_fields(
        417,
        &[
            "Expect: 200-ok",
            "Expect:",
            "Expect: 100-continue\r\nExpect: 100-continue",
        ],
    );
}

#[test]
fn connections_live_on_as_version_and_options_say() {
    let keeps = |version: &str, connection: &str| {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
        takes(text.as_bytes()).keep_alive
    };
    assert!(keeps("1.1", "x"));
    assert!(!keeps("1.1", "x, Close"));
    assert!(!keeps("1.1", "keep-alive, close"));
    assert!(!keeps("1.0", "x"));
    assert!(keeps("1.0", "Keep-Alive"));
}
