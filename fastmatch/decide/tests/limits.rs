//! Rate limits as requests meet them: who is counted together, what a refused client is told, what is left behind.

mod support;

use std::sync::Arc;

use blocklist::Disposition;
use decide::action::{BODY_DONE, CLOSE, DENY, FORWARD, HeadOutcome};
use decide::limits::LimitSettings;
use decide::{Downstream, Gate, Settings, Tables};
use support::{Split, World, answer, entry, requests, split, stated, world};

const GET: &str = "GET /secret?token=x HTTP/1.1\r\nHost: a.example\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn limit(name: &str, key: &str, requests: u64, per_seconds: u64) -> LimitSettings {
    LimitSettings {
        name: name.to_owned(),
        key: key.to_owned(),
        requests,
        per_seconds,
        burst: None,
    }
}

fn limited(limits: &[LimitSettings]) -> World {
    world(|settings| settings.rate_limits = limits.to_vec())
}

/// Sends one request of this client; true when it went upstream.
fn passes(world: &World, peer: &str, request: &str) -> bool {
    let mut client = world.client(peer);
    let outcome = client.head(request.as_bytes(), &mut Vec::new());
    client.end(200);
    match outcome {
        HeadOutcome::Ready(action) => action.action & 15 == FORWARD,
        other => panic!("{request:?} gave {other:?}"),
    }
}

fn passing(world: &World, peer: &str, request: &str, tries: usize) -> usize {
    (0..tries).filter(|_| passes(world, peer, request)).count()
}

/// What a client is told once it has used up its limits.
fn refusal(world: &World, peer: &str, request: &str) -> (Split, u32) {
    let mut client = world.client(peer);
    let mut out = Vec::new();
    let HeadOutcome::Ready(action) = client.head(request.as_bytes(), &mut out) else {
        panic!("ready");
    };
    (split(&out), action.action)
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[test]
fn a_client_is_an_ipv4_address_or_a_64_of_ipv6() {
    let world = limited(&[limit("a", "client", 3, 3600)]);
    assert_eq!(passing(&world, "198.51.100.1", GET, 5), 3);
    assert_eq!(passing(&world, "::ffff:198.51.100.1", GET, 5), 0);
    assert_eq!(passing(&world, "198.51.100.2", GET, 5), 3);
    assert_eq!(passing(&world, "2001:db8::1", GET, 2), 2);
    assert_eq!(passing(&world, "2001:db8::ffff:1:2:3", GET, 5), 1);
    assert_eq!(passing(&world, "2001:db8:0:1::1", GET, 5), 3);
    assert_eq!(
        (world.count("limited"), world.count("responses_4xx")),
        (15, 15)
    );
    assert_eq!(
        (world.count("denied"), world.count("limit_table_full")),
        (0, 0)
    );
}

#[test]
fn the_client_of_a_trusted_proxy_is_who_the_proxy_says() {
    let world = world(|settings| {
        settings.trusted_proxies = vec!["10.0.0.0/8".to_owned()];
        settings.rate_limits = vec![limit("a", "client", 1, 3600)];
    });
    let from =
        |client: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
    assert_eq!(passing(&world, "10.0.0.1", &from("192.0.2.1"), 3), 1);
    assert_eq!(passing(&world, "10.0.0.2", &from("192.0.2.1"), 3), 0);
    assert_eq!(passing(&world, "10.0.0.1", &from("192.0.2.2"), 3), 1);
    // Nobody else's word is taken: what he writes does not help him.
    assert_eq!(passing(&world, "192.0.2.3", &from("192.0.2.4"), 3), 1);
    assert_eq!(passing(&world, "192.0.2.3", &from("192.0.2.5"), 3), 0);
}

#[test]
fn a_header_counts_by_its_value_and_only_where_it_is() {
    let world = limited(&[limit("a", "header:X-Api-Key", 2, 3600)]);
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(
        passing(&world, "198.51.100.1", &with("x-api-key: one\r\n"), 2),
        2
    );
    assert_eq!(
        passing(&world, "198.51.100.2", &with("X-API-KEY: one\r\n"), 2),
        0
    );
    assert_eq!(
        passing(&world, "198.51.100.2", &with("X-Api-Key: two\r\n"), 3),
        2
    );
    let twice = with("X-Api-Key: one\r\nX-Api-Key: two\r\n");
    assert_eq!(passing(&world, "198.51.100.2", &twice, 3), 2);
    assert_eq!(passing(&world, "198.51.100.2", &with(""), 9), 9);
}

#[test]
fn a_route_counts_everybody() {
    let world = limited(&[limit("a", "route", 4, 3600)]);
    let peers = ["198.51.100.1", "198.51.100.2", "2001:db8::1"];
    let passed: usize = peers.iter().map(|peer| passing(&world, peer, GET, 2)).sum();
    assert_eq!(passed, 4);
}

#[test]
fn a_refusal_says_when_to_come_again_and_by_which_limit() {
    let world = limited(&[LimitSettings {
        burst: Some(2),
        ..limit("per-client", "client", 10, 600)
    }]);
    assert_eq!(passing(&world, "198.51.100.1", GET, 2), 2);
    let (Split { head, rest }, action) = refusal(&world, "198.51.100.1", GET);
    assert_eq!(action, DENY | BODY_DONE, "the connection stays");
    assert!(
        head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"),
        "{head}"
    );
    assert_eq!(field(&head, "retry-after"), Some("60"));
    assert_eq!(
        field(&head, "ratelimit-policy"),
        Some("\"per-client\";q=10;w=600")
    );
    assert_eq!(field(&head, "ratelimit"), Some("\"per-client\";r=0;t=60"));
    assert_eq!(field(&head, "cache-control"), Some("no-store"));
    assert_eq!(field(&head, "connection"), None);
    let id = field(&head, "x-request-id").expect("an id");
    let body = format!(
        "{{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\",\"title\":\"Too Many Requests\",\
         \"status\":429,\"request_id\":\"{id}\",\"violated-policies\":[\"per-client\"]}}\n"
    );
    assert_eq!(String::from_utf8_lossy(&rest), body);
    assert_eq!(
        field(&head, "content-length"),
        Some(&*body.len().to_string())
    );
}

#[test]
fn of_several_limits_all_must_agree_and_none_is_charged_for_another() {
    let limits = [
        limit("tight", "header:K", 1, 3600),
        limit("wide", "client", 3, 600),
    ];
    let world = limited(&limits);
    let with = |key: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nK: {key}\r\n\r\n");
    assert_eq!(passing(&world, "198.51.100.1", &with("a"), 9), 1);
    // Eight refusals by the first limit have left the second alone.
    assert!(passes(&world, "198.51.100.1", &with("b")));
    assert!(passes(&world, "198.51.100.1", &with("c")));
    let (Split { head, rest }, _) = refusal(&world, "198.51.100.1", &with("d"));
    assert_eq!(field(&head, "ratelimit-policy"), Some("\"wide\";q=3;w=600"));
    assert_eq!(field(&head, "retry-after"), Some("200"));
    assert!(String::from_utf8_lossy(&rest).contains("\"violated-policies\":[\"wide\"]"));
    let (Split { head, rest }, _) = refusal(&world, "198.51.100.1", &with("a"));
    assert_eq!(
        field(&head, "ratelimit"),
        Some("\"tight\";r=0;t=3600, \"wide\";r=0;t=200")
    );
    assert_eq!(field(&head, "retry-after"), Some("3600"));
    assert!(String::from_utf8_lossy(&rest).contains("\"violated-policies\":[\"tight\",\"wide\"]"));
    // The refused one was not counted in the first limit.
    assert!(passes(&world, "198.51.100.2", &with("d")));
}

#[test]
fn a_body_that_has_not_arrived_closes_the_connection() {
    let world = limited(&[limit("a", "client", 1, 3600)]);
    assert!(passes(&world, "198.51.100.1", GET));
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    let (Split { head, .. }, action) = refusal(&world, "198.51.100.1", &format!("{post}ab"));
    assert_eq!(action, DENY | CLOSE);
    assert_eq!(field(&head, "connection"), Some("close"));
    let (_, action) = refusal(&world, "198.51.100.1", &format!("{post}abc"));
    assert_eq!(action, DENY | BODY_DONE);
    let pipelined = [post, "abc", GET].concat();
    let seen = requests(&world, "198.51.100.1", &[pipelined.as_bytes()]);
    assert_eq!(seen.len(), 2, "both are answered: {seen:?}");
    let (Split { rest, .. }, _) =
        refusal(&world, "198.51.100.1", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(rest.is_empty());
}

#[test]
fn observation_counts_and_lets_pass() {
    let world = world(|settings| {
        settings.observe = true;
        settings.rate_limits = vec![limit("a", "client", 2, 3600)];
    });
    assert_eq!(passing(&world, "198.51.100.1", GET, 5), 5);
    assert_eq!(
        (world.count("limited"), world.count("limit_observed")),
        (0, 3)
    );
    let events = world.events();
    assert_eq!(events.lines().count(), 3);
    assert!(events.contains("\"action\":\"limit_observed\""), "{events}");
}

#[test]
fn denied_requests_cost_nothing_and_an_allow_is_no_exception() {
    let world = limited(&[limit("a", "client", 2, 3600)]);
    world.install(&[
        entry("bad.example", 90),
        entry("198.51.100.0/24", 90),
        stated("198.51.100.1", 0, Disposition::Allow),
    ]);
    let bad = "GET / HTTP/1.1\r\nHost: bad.example\r\n\r\n";
    assert_eq!(passing(&world, "198.51.100.1", bad, 9), 0);
    assert_eq!(world.count("denied"), 9);
    assert_eq!(passing(&world, "198.51.100.1", GET, 9), 2);
    assert_eq!(world.count("limited"), 7);
}

#[test]
fn an_event_names_the_limit_and_the_request() {
    let world = limited(&[limit("per-client", "client", 1, 3600)]);
    passing(&world, "198.51.100.1", GET, 2);
    let events = world.events();
    assert_eq!(events.lines().count(), 1);
    for part in [
        "{\"time\":1700000000,\"request_id\":\"",
        "\"client\":\"198.51.100.1\",\"peer\":\"198.51.100.1\",\"limit\":\"per-client\",\"method\":\"GET\"",
        "\"host\":\"a.example\",\"path\":\"/secret\",\"action\":\"limited\",\"slot\":0}\n",
    ] {
        assert!(events.contains(part), "{events}");
    }
    // A client that hammers must not push out the denials of others: some events a second, all are counted.
    passing(&world, "198.51.100.1", GET, 1000);
    assert_eq!(world.events().lines().count(), 63);
    assert_eq!(
        (world.count("limited"), world.count("events_dropped")),
        (1001, 0)
    );
}

#[test]
fn answers_say_what_is_left_only_when_asked_to() {
    let limits = [
        LimitSettings {
            burst: Some(3),
            ..limit("fast", "client", 10, 600)
        },
        limit("slow", "route", 100, 3600),
    ];
    let quiet = limited(&limits);
    let (out, _) = answer(&quiet, GET.as_bytes(), &[OK], false);
    assert!(
        !String::from_utf8_lossy(&out)
            .to_ascii_lowercase()
            .contains("ratelimit")
    );
    let telling = world(|settings| {
        settings.rate_limits = limits.to_vec();
        settings.limit_fields = "always".to_owned();
    });
    for (left, wait) in [(2, 60), (1, 60), (0, 60)] {
        let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n";
        let (out, _) = answer(&telling, GET.as_bytes(), &[interim, OK], false);
        let (first, rest) = {
            let Split { head, rest } = split(&out);
            (head, split(&rest).head)
        };
        assert_eq!(
            field(&first, "ratelimit"),
            None,
            "interim answers say nothing"
        );
        assert_eq!(
            field(&rest, "ratelimit-policy"),
            Some("\"fast\";q=10;w=600, \"slow\";q=100;w=3600")
        );
        let told = field(&rest, "ratelimit").expect("a field");
        assert_eq!(
            told,
            format!("\"fast\";r={left};t={wait}, \"slow\";r={};t=36", 97 + left)
        );
    }
}

#[test]
fn workers_of_one_segment_share_their_limits_and_a_reload_keeps_what_was_counted() {
    let settings = |requests| Settings {
        on_missing: "open".to_owned(),
        rate_limits: vec![limit("a", "client", requests, 3600)],
        ..Settings::default()
    };
    let world = world(|given| *given = settings(6));
    let tables = Arc::new(Tables::compile(&settings(6)).expect("valid"));
    let second = Gate::new(tables, Arc::clone(&world.segment), 0).expect("slot 0 exists");
    let second = World {
        gate: Arc::new(second),
        segment: Arc::clone(&world.segment),
    };
    assert_eq!(passing(&world, "198.51.100.1", GET, 4), 4);
    assert_eq!(passing(&second, "198.51.100.1", GET, 4), 2);
    second
        .gate
        .configure(&Arc::new(Tables::compile(&settings(3)).expect("valid")));
    assert_eq!(passing(&second, "198.51.100.1", GET, 4), 0);
    assert_eq!(passing(&second, "198.51.100.2", GET, 4), 3);
}

#[test]
fn a_table_without_room_limits_or_lets_pass_as_it_was_told() {
    for (told, expected) in [("limit", 0), ("pass", 200)] {
        let world = support::world_of(1024, |settings| {
            settings.rate_limits = vec![limit("a", "client", 1, 3600)];
            settings.limit_when_full = told.to_owned();
        });
        for number in 0..20_000_u32 {
            passes(
                &world,
                &format!("10.1.{}.{}", number / 256, number % 256),
                GET,
            );
        }
        let before = world.count("limit_table_full");
        assert!(before > 15_000, "{before}");
        let newcomer = |number: usize| format!("192.0.2.{number}");
        let passed: usize = (0..200)
            .map(|number| passing(&world, &newcomer(number), GET, 1))
            .sum();
        assert_eq!(passed, expected);
        assert_eq!(world.count("limit_table_full") - before, 200);
        // Who is in the table stays limited.
        assert_eq!(passing(&world, "10.1.0.0", GET, 3), 0);
    }
}

#[test]
fn limited_requests_count_for_their_route() {
    let world = limited(&[limit("a", "client", 3, 3600)]);
    assert_eq!(passing(&world, "198.51.100.1", GET, 5), 3);
    let told = world.segment.route_counts("default");
    let limited = decide::ROUTE_COUNTERS
        .iter()
        .position(|name| *name == "limited");
    assert_eq!(told.counts[limited.expect("a counter")], 2);
}

#[test]
fn a_head_in_pieces_is_counted_when_it_is_complete() {
    let world = limited(&[limit("a", "client", 1, 3600)]);
    let (first, second) = GET.split_at(20);
    let mut early: Downstream = world.client("198.51.100.1");
    assert_eq!(
        early.head(first.as_bytes(), &mut Vec::new()),
        HeadOutcome::Incomplete
    );
    assert!(passes(&world, "198.51.100.1", GET));
    let outcome = early.head(second.as_bytes(), &mut Vec::new());
    assert!(matches!(outcome, HeadOutcome::Ready(action) if action.action & 15 == DENY));
}
