//! Verdicts, denials, observation, drops, events and what they leave in the counters.

mod support;

use blocklist::Disposition;
use decide::action::{BODY_DONE, CLOSE, DENY, FORWARD, HeadOutcome};
use proptest::prelude::*;
use support::{Seen, World, entry, list, outcome, requests, split, stated, world};

const GET: &str = "GET /secret?token=x HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn denying() -> World {
    let world = world(|settings| {
        settings.domains = ["host", "origin", "referer"].map(str::to_owned).to_vec();
    });
    world.install(&[
        entry("203.0.113.0/24", 70),
        entry("2001:db8::/32", 100),
        entry("bad.example", 95),
        entry("mild.example", 69),
        stated("203.0.113.8", 0, Disposition::Allow),
    ]);
    world
}

fn is_denied(world: &World, peer: &str, request: &str) -> bool {
    match outcome(world, peer, request.as_bytes()) {
        HeadOutcome::Ready(action) => action.action & 15 == DENY,
        other => panic!("{request:?} gave {other:?}"),
    }
}

#[test]
fn each_subject_is_judged_alone() {
    let world = denying();
    let with = |host: &str, fields: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    for (peer, request, expected) in [
        ("203.0.113.9", with("a.example", ""), true),
        ("::ffff:203.0.113.9", with("a.example", ""), true),
        ("198.51.100.1", with("a.example", ""), false),
        ("198.51.100.1", with("www.BAD.example:8080", ""), true),
        ("198.51.100.1", with("mild.example", ""), false),
        (
            "198.51.100.1",
            with("a.example", "Origin: https://bad.example\r\n"),
            true,
        ),
        (
            "198.51.100.1",
            with("a.example", "Referer: http://u@x.bad.example:1/?a@b\r\n"),
            true,
        ),
        (
            "198.51.100.1",
            with("a.example", "Referer: https://203.0.113.9/\r\n"),
            true,
        ),
        (
            "198.51.100.1",
            with("a.example", "Origin: http://[2001:db8::1]\r\n"),
            true,
        ),
        (
            "198.51.100.1",
            with("a.example", "Origin: null\r\nReferer: /bad.example\r\n"),
            false,
        ),
        (
            "198.51.100.1",
            with("a.example", "Referer: /?next=http://bad.example/\r\n"),
            false,
        ),
        (
            "198.51.100.1",
            with(
                "a.example",
                "Origin: https://ok.example\r\nOrigin: https://bad.example\r\n",
            ),
            true,
        ),
        // An allow saves its own subject and no other.
        ("203.0.113.8", with("a.example", ""), false),
        ("203.0.113.8", with("bad.example", ""), true),
    ] {
        assert_eq!(
            is_denied(&world, peer, &request),
            expected,
            "{peer} {request}"
        );
    }
}

#[test]
fn a_denial_says_no_more_than_its_status_and_name() {
    let world = denying();
    let mut client = world.client("203.0.113.9");
    let mut out = Vec::new();
    let HeadOutcome::Ready(action) = client.head(GET.as_bytes(), &mut out) else {
        panic!("ready");
    };
    assert_eq!(
        (action.action, action.consumed),
        (DENY | BODY_DONE, GET.len())
    );
    let id = client.request_id();
    let answer = split(&out);
    assert_eq!(
        answer.head,
        format!(
            "HTTP/1.1 403 Forbidden\r\ndate: Tue, 14 Nov 2023 22:13:20 GMT\r\ncontent-type: application/problem+json\r\n\
             content-length: {}\r\ncache-control: no-store\r\nx-request-id: {id}\r\n\r\n",
            answer.rest.len()
        )
    );
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,\"request_id\":\"{id}\"}}\n"
    );
    assert_eq!(String::from_utf8_lossy(&answer.rest), body);
    let counts = [
        "requests",
        "denied",
        "responses_4xx",
        "refused",
        "requests_in_flight",
    ]
    .map(|name| world.count(name));
    assert_eq!(counts, [1, 1, 1, 0, 0]);
    // The exchange is over: ending it again changes nothing.
    client.end(499);
    assert_eq!(world.count("requests"), 1);
}

#[test]
fn a_denied_body_never_becomes_the_next_request() {
    let world = denying();
    let see = |text: &str| requests(&world, "203.0.113.9", &[text.as_bytes()]);
    let denied = |closes| Seen::Denied { closes };
    let post = |rest: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}");
    assert_eq!(see(&format!("{GET}{GET}")), [denied(false), denied(false)]);
    assert_eq!(
        see(&post(&format!("Content-Length: 3\r\n\r\nabc{GET}"))),
        [denied(false), denied(false)]
    );
    assert_eq!(see(&post("Content-Length: 3\r\n\r\nab")), [denied(true)]);
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    assert_eq!(
        see(&post(&format!("{chunked}0\r\n\r\n{GET}"))),
        [denied(false), denied(false)]
    );
    assert_eq!(see(&post(chunked)), [denied(true)]);
    assert_eq!(
        see(&post("Transfer-Encoding: chunked\r\n\r\nrubbish")),
        [Seen::Refused(400)]
    );
    assert_eq!(see("GET / HTTP/1.0\r\n\r\n"), [denied(true)]);
    assert_eq!(
        see("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        [denied(true)]
    );
}

#[test]
fn answers_fit_the_request_they_answer() {
    let world = denying();
    let answer = |request: &str| {
        let mut out = Vec::new();
        world
            .client("203.0.113.9")
            .head(request.as_bytes(), &mut out);
        split(&out)
    };
    let head = answer("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.rest.is_empty() && head.head.contains("\r\ncontent-length: 104\r\n"));
    assert!(
        answer("GET / HTTP/1.0\r\n\r\n")
            .head
            .contains("\r\nconnection: close\r\n")
    );
    let kept = answer("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(kept.head.contains("\r\nconnection: keep-alive\r\n"));
}

#[test]
fn observing_forwards_and_tells() {
    let world = world(|settings| settings.observe = true);
    world.install(&[entry("203.0.113.9", 90)]);
    let mut client = world.client("203.0.113.9");
    let mut out = Vec::new();
    let HeadOutcome::Ready(action) = client.head(GET.as_bytes(), &mut out) else {
        panic!("ready");
    };
    assert_eq!(action.action & 15, FORWARD);
    assert!(split(&out).head.contains("\r\nX-Sentra-Score: 9\r\n"));
    assert_eq!((world.count("observed"), world.count("denied")), (1, 0));
    assert!(world.events().contains("\"action\":\"observed\""));
    assert!(!client.rejudge());
}

#[test]
fn events_are_json_whatever_a_client_wrote() {
    let world = denying();
    let path = format!("/{}", "a".repeat(400));
    let request = format!("GET {path}\"<?token=secret HTTP/1.1\r\nHost: bad.example:80\r\n\r\n");
    let mut client = world.client("198.51.100.1");
    client.head(request.as_bytes(), &mut Vec::new());
    assert_eq!(
        world.events(),
        format!(
            "{{\"time\":1700000000,\"request_id\":\"{}\",\"client\":\"198.51.100.1\",\"peer\":\"198.51.100.1\",\
             \"subject\":\"host\",\"value\":\"bad.example\",\"score\":9.5,\"categories\":[\"bot net\",\
             \"scan\\u000d\\u000aner\"],\"sources\":[\"a list\"],\"method\":\"GET\",\"host\":\"bad.example:80\",\
             \"path\":\"{}\",\"action\":\"denied\",\"slot\":0}}\n",
            client.request_id(),
            &path[..256],
        )
    );
    assert_eq!(world.events(), "");
}

#[test]
fn quotes_and_backslashes_are_escaped() {
    let world = denying();
    outcome(
        &world,
        "203.0.113.9",
        b"GET /\"\x5e HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(world.events().contains("\"path\":\"/\\\"^\""));
}

#[test]
fn events_beyond_the_bound_are_counted() {
    let world = denying();
    for _ in 0..4100 {
        outcome(&world, "203.0.113.9", GET.as_bytes());
    }
    assert_eq!(world.events().lines().count(), 4096);
    assert_eq!(
        (world.count("events_dropped"), world.count("denied")),
        (4, 4100)
    );
}

#[test]
fn a_missing_list_fails_as_configured() {
    let closed = world(|settings| settings.on_missing = "closed".to_owned());
    let refused = outcome(&closed, "203.0.113.9", GET.as_bytes());
    assert!(matches!(refused, HeadOutcome::Refused(refusal) if refusal.status() == 503));
    closed.install(&[]);
    assert!(!is_denied(&closed, "203.0.113.9", GET));
    closed.gate.install(None);
    assert!(matches!(
        outcome(&closed, "203.0.113.9", GET.as_bytes()),
        HeadOutcome::Refused(_)
    ));
    assert!(!is_denied(&world(|_| {}), "203.0.113.9", GET));
}

#[test]
fn peers_are_dropped_at_accept_when_the_score_says_so() {
    let world = world(|settings| {
        settings.drop_score = Some(8.0);
        settings.trusted_proxies = vec!["10.0.0.0/8".to_owned()];
    });
    let accept = |peer: &str| world.gate.accept(peer, None).expect("an address");
    assert!(accept("203.0.113.9"));
    world.install(&[
        entry("203.0.113.9", 80),
        entry("203.0.113.8", 79),
        entry("10.0.0.1", 100),
    ]);
    assert!(
        !accept("203.0.113.9")
            && accept("203.0.113.8")
            && accept("198.51.100.1")
            && accept("10.0.0.1")
    );
    for _ in 0..99 {
        accept("203.0.113.9");
    }
    assert_eq!(world.count("dropped"), 100);
    let events = world.events();
    assert_eq!(events.lines().count(), 16);
    assert!(
        events.starts_with("{\"time\":1700000000,\"client\":\"203.0.113.9\"")
            && events.contains("\"dropped\"")
    );
    assert!(world.gate.accept("nobody", None).is_err());
}

#[test]
fn open_exchanges_are_judged_again_by_the_list_in_force() {
    let world = denying();
    let mut client = world.client("198.51.100.1");
    client.head(
        b"GET / HTTP/1.1\r\nHost: later.example\r\n\r\n",
        &mut Vec::new(),
    );
    assert!(!client.rejudge());
    world
        .gate
        .install(Some(&list(&[entry("later.example", 70)])));
    assert!(client.rejudge());
    world
        .gate
        .install(Some(&list(&[entry("198.51.100.1", 70)])));
    assert!(client.rejudge());
    world
        .gate
        .install(Some(&list(&[entry("198.51.100.1", 69)])));
    assert!(!client.rejudge());
    world.gate.install(None);
    assert!(!client.rejudge());
}

#[test]
fn refusals_end_with_an_answer_that_closes() {
    let world = world(|_| {});
    let mut client = world.client("198.51.100.1");
    let refused = client.head(
        b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc",
        &mut Vec::new(),
    );
    assert!(matches!(refused, HeadOutcome::Refused(_)));
    let mut out = Vec::new();
    client.reply(400, false, &mut out);
    let head = split(&out).head;
    assert!(
        head.starts_with("HTTP/1.1 400 Bad Request\r\n")
            && head.contains("\r\nconnection: close\r\n")
    );
    assert_eq!(
        (
            world.count("refused"),
            world.count("requests"),
            world.count("responses_4xx")
        ),
        (1, 1, 1)
    );
}

#[test]
fn our_own_answers_record_the_exchange_once() {
    let world = world(|_| {});
    let mut client = world.client("198.51.100.1");
    client.head(GET.as_bytes(), &mut Vec::new());
    assert_eq!(world.count("requests_in_flight"), 1);
    let mut out = Vec::new();
    client.reply(503, false, &mut out);
    client.end(503);
    let head = split(&out).head;
    assert!(head.contains("\r\nretry-after: 1\r\n") && !head.contains("connection:"));
    let counts = ["requests", "responses_5xx", "requests_in_flight"].map(|name| world.count(name));
    assert_eq!(counts, [1, 1, 0]);
    let mut out = Vec::new();
    client.reply(405, true, &mut out);
    let head = split(&out).head;
    assert!(head.contains("\r\nallow: GET, ") && head.contains("\r\nconnection: close\r\n"));
}

#[test]
fn an_answer_before_the_body_is_over_closes() {
    let world = world(|_| {});
    let mut client = world.client("198.51.100.1");
    client.head(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        &mut Vec::new(),
    );
    let mut out = Vec::new();
    client.reply(502, false, &mut out);
    assert!(split(&out).head.contains("\r\nconnection: close\r\n"));
}

#[test]
fn a_dropped_connection_leaves_nothing_in_flight() {
    let world = world(|_| {});
    let mut client = world.client("198.51.100.1");
    client.head(GET.as_bytes(), &mut Vec::new());
    drop(client);
    assert_eq!(
        (
            world.count("requests_in_flight"),
            world.count("client_gone")
        ),
        (0, 1)
    );
}

#[test]
fn a_draining_worker_keeps_no_connection() {
    let world = denying();
    world.gate.drain();
    assert_eq!(
        requests(&world, "203.0.113.9", &[GET.as_bytes()]),
        [Seen::Denied { closes: true }]
    );
    let HeadOutcome::Ready(action) = outcome(&world, "198.51.100.1", GET.as_bytes()) else {
        panic!("ready");
    };
    assert_ne!(action.action & CLOSE, 0);
}

#[test]
fn a_new_configuration_holds_from_the_next_request() {
    let world = denying();
    assert!(is_denied(&world, "203.0.113.9", GET));
    let settings = decide::Settings {
        block_score: 7.1,
        ..decide::Settings::default()
    };
    let tables = decide::Tables::compile(&settings).expect("valid");
    world.gate.configure(&std::sync::Arc::new(tables));
    assert!(!is_denied(&world, "203.0.113.9", GET));
    assert_eq!(world.gate.version(), Some((1, 2)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A host that is forwarded unjudged, and that a wildcard name upstream still takes, would be a way around.
    #[test]
    fn every_host_below_a_blocked_name_is_denied_or_refused(below in "[!-~]{0,70}[.]?", dot in "[.]{0,2}", port in "(:[0-9]{0,4})?") {
        let world = denying();
        let request = format!("GET / HTTP/1.1\r\nHost: {below}bad.example{dot}{port}\r\n\r\n");
        let is_below = below.is_empty() || below.ends_with('.');
        match outcome(&world, "198.51.100.1", request.as_bytes()) {
            HeadOutcome::Ready(action) => prop_assert!(!is_below || action.action & 15 == DENY),
            HeadOutcome::Refused(refusal) => prop_assert_eq!(refusal.status(), 400),
            HeadOutcome::Incomplete => prop_assert!(false, "a whole head"),
        }
    }
}
