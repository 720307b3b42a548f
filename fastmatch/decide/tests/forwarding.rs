//! What the upstream gets, field by field.

mod support;

use decide::action::{
    BODY_DONE, CLOSE, DENY, EXPECT_CONTINUE, FORWARD, HeadOutcome, IDEMPOTENT, UPGRADE,
};
use support::{Seen, World, entry, head_only, outcome, requests, world};

/// The upstream's head for a request with these field lines, from an untrusted peer.
fn forward(fields: &str) -> String {
    let request = format!("GET /p?q HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
    head_only(&world(|_| {}), "198.51.100.1", request.as_bytes())
}

fn trusting() -> World {
    world(|settings| settings.trusted_proxies = vec!["10.0.0.0/8".to_owned()])
}

fn status(world: &World, request: &str) -> u16 {
    match outcome(world, "198.51.100.1", request.as_bytes()) {
        HeadOutcome::Refused(refusal) => refusal.status(),
        other => panic!("{request:?} gave {other:?}"),
    }
}

fn flags(request: &str) -> u32 {
    match outcome(&world(|_| {}), "198.51.100.1", request.as_bytes()) {
        HeadOutcome::Ready(action) => action.action,
        other => panic!("{request:?} gave {other:?}"),
    }
}

#[test]
fn a_whole_head_is_made_anew() {
    assert_eq!(
        forward("Accept: */*\r\nhost2:x\r\nAccept:  a \r\nEmpty:\r\n"),
        "GET /p?q HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nhost2: x\r\nAccept: a\r\nEmpty: \r\n\
         X-Forwarded-For: 198.51.100.1\r\nX-Real-IP: 198.51.100.1\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: a.example\r\nX-Request-Id: -\r\nVia: 1.1 sentra\r\n\r\n"
    );
}

#[test]
fn s1_hop_by_hop_fields_end_here() {
    let head = forward(
        "Connection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\n\
         Trailer: X\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nProxy-Authorization: x\r\nProxy: http://x\r\nX-Other: 2\r\n",
    );
    let lower = head.to_lowercase();
    for gone in [
        "connection",
        "x-mine",
        "keep-alive",
        "te:",
        "trailer",
        "upgrade",
        "http2",
        "proxy",
    ] {
        assert!(!lower.contains(&format!("\n{gone}")), "{gone} in {head}");
    }
    assert!(head.contains("\r\nX-Other: 2\r\n"));
}

#[test]
fn s1_options_cannot_remove_what_others_need() {
    let named = "Host, Content-Length, Authorization, Cookie, X-Forwarded-For, X-Real-IP, X-Sentra-Score, Via, \
                 Content-Type, X-Forwarded-Host, X-Request-Id, Origin, Referer, Date, Range";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nConnection: {named}\r\nAuthorization: a\r\n\
         Cookie: c\r\nContent-Type: t\r\nOrigin: o\r\nReferer: r\r\nDate: d\r\nRange: x\r\n\r\nabc"
    );
    let head = head_only(&world(|_| {}), "198.51.100.1", request.as_bytes());
    for kept in [
        "Host: a.example",
        "Content-Length: 3",
        "Authorization: a",
        "Cookie: c",
        "X-Forwarded-For: 198.51.100.1",
        "X-Real-IP: 198.51.100.1",
        "Via: 1.1 sentra",
        "Content-Type: t",
        "X-Forwarded-Host: a.example",
        "Origin: o",
        "Referer: r",
        "Date: d",
        "Range: x",
        "X-Request-Id: -",
    ] {
        assert!(
            head.contains(&format!("\r\n{kept}\r\n")),
            "{kept} not in {head}"
        );
    }
}

#[test]
fn s2_order_and_repetition_stay() {
    let head = forward("Cookie: a\r\nB: 1\r\nCookie: b\r\nB:2\r\nb: 3\r\n");
    assert!(head.contains("\r\nCookie: a\r\nB: 1\r\nCookie: b\r\nB: 2\r\nb: 3\r\nX-Forwarded-For"));
}

#[test]
fn s3_via_grows_and_finds_loops() {
    let head = forward("Via: 1.0 first, 1.1 second\r\n");
    assert!(head.contains("\r\nVia: 1.0 first, 1.1 second\r\n"));
    assert!(head.ends_with("\r\nVia: 1.1 sentra\r\n\r\n"));
    let world = world(|_| {});
    for via in ["1.1 sentra", "1.0 a, HTTP/1.1 SENTRA (x)", "1.1\tsentra"] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\n\r\n");
        assert_eq!(status(&world, &request), 508, "{via}");
    }
    let old = head_only(
        &world,
        "198.51.100.1",
        b"GET / HTTP/1.0\r\nHost: a\r\nVia: 1.1 sentra2\r\n\r\n",
    );
    assert!(old.ends_with("\r\nVia: 1.0 sentra\r\n\r\n"));
}

#[test]
fn s4_max_forwards_counts_down_for_options_alone() {
    let request = |method: &str, hops: &str| {
        format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n")
    };
    let world = world(|_| {});
    let head = head_only(&world, "198.51.100.1", request("OPTIONS", "5").as_bytes());
    assert!(head.contains("\r\nMax-Forwards: 4\r\n") && !head.contains("Max-Forwards: 5"));
    let head = head_only(&world, "198.51.100.1", request("GET", "0").as_bytes());
    assert!(head.contains("\r\nMax-Forwards: 0\r\n"));
    assert_eq!(status(&world, &request("OPTIONS", "x")), 400);
    let mut out = Vec::new();
    let answered = world
        .client("198.51.100.1")
        .head(request("OPTIONS", "0").as_bytes(), &mut out);
    assert!(matches!(answered, HeadOutcome::Ready(action) if action.action & 15 == DENY));
    assert!(out.starts_with(b"HTTP/1.1 204 No Content\r\n") && out.ends_with(b"\r\n\r\n"));
}

#[test]
fn s5_an_expectation_travels_when_a_body_follows() {
    let request = |version: &str, body: &str| {
        format!("PUT / HTTP/{version}\r\nHost: a\r\nExpect: 100-Continue\r\n{body}\r\n")
    };
    let world = world(|_| {});
    let travels = |request: &str| {
        let head = head_only(&world, "198.51.100.1", request.as_bytes());
        let is_flagged = flags(request) & EXPECT_CONTINUE != 0;
        assert_eq!(head.contains("\r\nExpect: "), is_flagged);
        is_flagged
    };
    assert!(travels(&request("1.1", "Content-Length: 3\r\n")));
    assert!(travels(&request("1.1", "Transfer-Encoding: chunked\r\n")));
    assert!(!travels(&request("1.1", "Content-Length: 0\r\n")));
    assert!(!travels(&request("1.1", "")));
    assert!(!travels(&request("1.0", "Content-Length: 3\r\n")));
}

#[test]
fn s8_clients_cannot_say_what_only_we_say() {
    let head = forward(
        "X-Forwarded-For: 1.1.1.1\r\nx-forwarded-proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n\
         X-Forwarded-Prefix: /x\r\nForwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nX-Sentra-Score: 0\r\n\
         X_Sentra_Score: 0\r\nX-SENTRA-Anything: 0\r\nX_Real_IP: 1\r\nx_forwarded_for: 1\r\nX-Forwarded_Host: 1\r\n\
         X-Request-Id: mine\r\nX_Request_Id: mine\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n\
         X-Original-URL: /admin\r\nX-Rewrite-Url: /admin\r\nHTTP_HOST: fine\r\n",
    );
    assert_eq!(
        head,
        "GET /p?q HTTP/1.1\r\nHost: a.example\r\nHTTP_HOST: fine\r\nX-Forwarded-For: 198.51.100.1\r\n\
         X-Real-IP: 198.51.100.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\nX-Request-Id: -\r\n\
         Via: 1.1 sentra\r\n\r\n"
    );
}

#[test]
fn s8_a_trusted_proxy_is_believed() {
    let request = b"GET / HTTP/1.1\r\nHost: in.example\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.1.1\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: out.example\r\nX-Forwarded-Port: 443\r\nForwarded: for=x\r\n\
        X-Real-IP: 1.1.1.1\r\nX-Sentra-Score: 0\r\nX_Forwarded_For: 1\r\n\r\n";
    let head = head_only(&trusting(), "10.0.0.1", request);
    assert_eq!(
        head,
        "GET / HTTP/1.1\r\nHost: in.example\r\nX-Forwarded-Port: 443\r\nForwarded: for=x\r\n\
         X-Forwarded-For: 203.0.113.9, 10.1.1.1, 10.0.0.1\r\nX-Real-IP: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: out.example\r\nX-Request-Id: -\r\nVia: 1.1 sentra\r\n\r\n"
    );
    let doubtful = b"GET / HTTP/1.1\r\nHost: in.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n\
        X-Forwarded-Host: a b\r\n\r\n";
    let head = head_only(&trusting(), "10.0.0.1", doubtful);
    assert!(head.contains("\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: in.example\r\n"));
}

#[test]
fn a_trusted_proxy_names_the_request() {
    let world = trusting();
    let id = |peer: &str, id: &str| {
        let mut client = world.client(peer);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\n\r\n");
        client.head(request.as_bytes(), &mut Vec::new());
        client.request_id().to_owned()
    };
    let theirs = "0f8fad5b-d9cb-469f-a165-70867728950e";
    assert_eq!(id("10.0.0.1", theirs), theirs);
    for (peer, text) in [
        ("198.51.100.1", theirs),
        ("10.0.0.1", "a\"b"),
        ("10.0.0.1", &"a".repeat(65)),
    ] {
        let ours = id(peer, text);
        assert!(
            ours.len() == 32 && ours.bytes().all(|octet| octet.is_ascii_hexdigit()),
            "{ours}"
        );
        assert_ne!(ours, id(peer, text));
    }
}

#[test]
fn r10_r13_targets_travel_byte_for_byte() {
    let line = |request: &str| {
        let head = head_only(&world(|_| {}), "198.51.100.1", request.as_bytes());
        head.lines().take(2).collect::<Vec<_>>().join("|")
    };
    for (target, expected) in [
        (
            "/a%2f..//b;c?x=%00&y=[]",
            "GET /a%2f..//b;c?x=%00&y=[] HTTP/1.1|Host: a.example",
        ),
        ("/?", "GET /? HTTP/1.1|Host: a.example"),
        (
            "http://A.example:80/x?",
            "GET /x? HTTP/1.1|Host: A.example:80",
        ),
        ("http://a.example", "GET / HTTP/1.1|Host: a.example"),
        ("http://a.example?q", "GET /?q HTTP/1.1|Host: a.example"),
    ] {
        assert_eq!(
            line(&format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")),
            expected
        );
    }
    let options = |target: &str| line(&format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(options("*"), "OPTIONS * HTTP/1.1|Host: a");
    assert_eq!(options("http://a"), "OPTIONS * HTTP/1.1|Host: a");
    assert_eq!(
        line("GET / HTTP/1.0\r\n\r\n"),
        "GET / HTTP/1.1|Host: localhost"
    );
}

#[test]
fn the_upstream_can_be_given_a_host_of_its_own() {
    let world = world(|settings| settings.upstream_host = Some("gateway:8080".to_owned()));
    let head = head_only(
        &world,
        "198.51.100.1",
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    );
    assert!(
        head.contains("\r\nHost: gateway:8080\r\n")
            && head.contains("\r\nX-Forwarded-Host: a.example\r\n")
    );
}

#[test]
fn s9_only_a_websocket_handshake_is_an_upgrade() {
    let request = |method: &str, version: &str, fields: &str| {
        format!("{method} / HTTP/{version}\r\nHost: a\r\n{fields}Sec-WebSocket-Key: k\r\n\r\n")
    };
    let good = request(
        "GET",
        "1.1",
        "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n",
    );
    assert_eq!(flags(&good), FORWARD | BODY_DONE | UPGRADE);
    let head = head_only(&world(|_| {}), "198.51.100.1", good.as_bytes());
    assert!(head.contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
    assert!(head.contains("\r\nSec-WebSocket-Key: k\r\n"));
    for other in [
        request(
            "POST",
            "1.1",
            "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        ),
        request(
            "GET",
            "1.0",
            "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        ),
        request("GET", "1.1", "Upgrade: websocket\r\n"),
        request(
            "GET",
            "1.1",
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n",
        ),
        request(
            "GET",
            "1.1",
            "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n",
        ),
        request(
            "GET",
            "1.1",
            "Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        ),
        request(
            "GET",
            "1.1",
            "Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n",
        ),
    ] {
        assert_eq!(flags(&other) & UPGRADE, 0, "{other}");
        let head = head_only(&world(|_| {}), "198.51.100.1", other.as_bytes()).to_lowercase();
        assert!(
            !head.contains("\r\nupgrade")
                && !head.contains("\r\nconnection")
                && !head.contains("http2"),
            "{head}"
        );
    }
}

#[test]
fn r19_every_method_may_have_a_body() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let bytes = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let seen = requests(&world(|_| {}), "198.51.100.1", &[bytes.as_bytes()]);
        let [
            Seen::Forwarded {
                head,
                body,
                is_whole: true,
            },
            Seen::Forwarded { .. },
        ] = &seen[..]
        else {
            panic!("{seen:?}");
        };
        assert!(head.contains("\r\nContent-Length: 3\r\n"));
        assert_eq!(body, b"abc");
    }
}

#[test]
fn flags_say_what_a_retry_and_the_connection_need() {
    let of = |line: &str, fields: &str| flags(&format!("{line}\r\nHost: a\r\n{fields}\r\n"));
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        assert_eq!(
            of(&format!("{method} / HTTP/1.1"), ""),
            FORWARD | BODY_DONE | IDEMPOTENT,
            "{method}"
        );
    }
    assert_eq!(of("POST / HTTP/1.1", ""), FORWARD | BODY_DONE);
    assert_eq!(of("PATCH / HTTP/1.1", "Content-Length: 1\r\n"), FORWARD);
    assert_eq!(
        of("POST / HTTP/1.1", "Connection: close\r\n"),
        FORWARD | BODY_DONE | CLOSE
    );
    assert_eq!(of("POST / HTTP/1.0", ""), FORWARD | BODY_DONE | CLOSE);
    assert_eq!(
        of("POST / HTTP/1.0", "Connection: keep-alive\r\n"),
        FORWARD | BODY_DONE
    );
}

#[test]
fn bodies_too_large_are_413() {
    let world = world(|settings| settings.body_bytes = 4);
    let request = |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{body}");
    assert_eq!(status(&world, &request("Content-Length: 5\r\n\r\n")), 413);
    let see = |text: String| requests(&world, "198.51.100.1", &[text.as_bytes()]);
    assert!(matches!(
        see(request("Content-Length: 4\r\n\r\nabcd"))[..],
        [Seen::Forwarded { is_whole: true, .. }]
    ));
    assert_eq!(
        see(request(
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )),
        [Seen::Refused(413)]
    );
}

#[test]
fn head_and_body_travel_together_when_they_are_small() {
    let ready = |length: usize| {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let bytes = [head.as_bytes(), &vec![b'x'; length]].concat();
        let mut out = Vec::new();
        match world(|_| {}).client("198.51.100.1").head(&bytes, &mut out) {
            HeadOutcome::Ready(action) => (action.length, bytes.len() - action.consumed, out.len()),
            other => panic!("{other:?}"),
        }
    };
    let (length, left, size) = ready(16_000);
    assert!(length == 0 && left == 0 && size > 16_000);
    let (length, left, size) = ready(17_000);
    assert!(length == 17_000 && left == 17_000 && size < 500);
}

#[test]
fn a_verdict_goes_upstream_in_fields_that_cannot_break() {
    let world = world(|_| {});
    world.install(&[entry("198.51.100.1", 35)]);
    let head = head_only(&world, "198.51.100.1", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        head.contains("\r\nX-Sentra-Score: 3.5\r\nX-Sentra-Categories: bot_net,scan__ner\r\n\r\n"),
        "{head}"
    );
    let clean = head_only(&world, "198.51.100.2", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!clean.contains("Sentra-"));
}
