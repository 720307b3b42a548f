//! Paths that an upstream keeps to itself, and what each route counts.

mod support;

use decide::action::{Action, DENY, FORWARD, HeadOutcome};
use decide::{NO_ROUTE, RouteSettings, Settings, Tables};
use support::{World, entry, outcome, world};

fn guarded() -> World {
    let route = RouteSettings {
        hidden_paths: ["/tyk", "/hello/", "/ready"].map(str::to_owned).to_vec(),
        ..RouteSettings::named("gateway")
    };
    world(|settings| settings.routes = vec![route])
}

fn kind(world: &World, target: &str) -> Result<u32, u16> {
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    match outcome(world, "198.51.100.1", bytes.as_bytes()) {
        HeadOutcome::Ready(Action { action, .. }) => Ok(action & 15),
        HeadOutcome::Refused(refusal) => Err(refusal.status()),
        HeadOutcome::Incomplete => panic!("{target} is whole"),
    }
}

#[test]
fn control_paths_are_not_there_however_they_are_written() {
    let world = guarded();
    let hidden = [
        "/tyk",
        "/tyk/",
        "/tyk/apis",
        "/tyk?x",
        "/TYK/Apis",
        "/%74%79%6B/apis",
        "//tyk/apis",
        "/./tyk//apis",
        "/api/../tyk/apis",
        "/api/%2e%2e/tyk/apis",
        "/api/..%2ftyk/apis",
        "/tyk%2Fapis",
        "/tyk%5capis",
        "/q%5cr/../tyk%2fapis",
        "/q%2fr/../tyk%5capis",
        "/hello",
        "/Hello/",
        "/ready",
        "/ready/x",
        "http://a.example/tyk/apis",
        "http://a.example//tyk",
    ];
    for target in hidden {
        assert_eq!(kind(&world, target), Ok(DENY), "{target}");
    }
    assert_eq!(
        world.count("hidden"),
        i64::try_from(hidden.len()).expect("few")
    );
    assert_eq!(world.count("responses_4xx"), world.count("hidden"));
    for target in [
        "/",
        "/tykx",
        "/tyk.html",
        "/a/tyk",
        "/helloo",
        "/?/tyk",
        "/a%2Ftyk",
    ] {
        assert_eq!(kind(&world, target), Ok(FORWARD), "{target}");
    }
    assert_eq!(kind(&world, "/a%00/tyk"), Err(400));
    let bytes = b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n";
    assert!(matches!(
        outcome(&world, "198.51.100.1", bytes),
        HeadOutcome::Ready(_)
    ));
}

#[test]
fn what_counts_is_the_path_that_goes_upstream() {
    let guarding = |change: fn(&mut RouteSettings)| {
        let mut route = RouteSettings {
            hidden_paths: vec!["/tyk".to_owned()],
            path_prefix: Some("/v1".to_owned()),
            ..RouteSettings::named("gateway")
        };
        change(&mut route);
        world(|settings| settings.routes = vec![route])
    };
    let stripping = guarding(|route| route.strip_prefix = Some("/v1".to_owned()));
    for target in [
        "/v1/tyk/apis",
        "/v1//TYK",
        "/v1/x/../tyk",
        "/v1/%74yk?a",
        "/v1/tyk%2fapis",
        "//v1/tyk",
    ] {
        assert_eq!(kind(&stripping, target), Ok(DENY), "{target}");
    }
    assert_eq!(kind(&stripping, "/v1/v1/tyk"), Ok(FORWARD));
    let adding = guarding(|route| {
        route.strip_prefix = Some("/v1".to_owned());
        route.add_prefix = Some("/api".to_owned());
    });
    assert_eq!(kind(&adding, "/v1/tyk/apis"), Ok(FORWARD));
    assert_eq!(kind(&adding, "/v1/..%2ftyk"), Err(400));
    assert_eq!(kind(&guarding(|_| ()), "/v1/tyk"), Ok(FORWARD));
}

#[test]
fn a_blocked_client_is_denied_there_as_anywhere() {
    let world = guarded();
    world.install(&[entry("198.51.100.1", 90)]);
    assert_eq!(kind(&world, "/tyk"), Ok(DENY));
    assert_eq!((world.count("denied"), world.count("hidden")), (1, 0));
}

fn on_hosts(names: &[&str]) -> Settings {
    let route = |name: &&str| RouteSettings {
        hosts: vec![format!("{name}.example")],
        ..RouteSettings::named(name)
    };
    Settings {
        routes: names.iter().map(route).collect(),
        ..Settings::default()
    }
}

/// One request to the host of a route, ended with a status; its route as the caller is told.
fn ask(world: &World, host: &str, status: u16) -> u32 {
    let mut client = world.client("198.51.100.1");
    let bytes = format!("GET / HTTP/1.1\r\nHost: {host}.example\r\n\r\n");
    let outcome = client.head(bytes.as_bytes(), &mut Vec::new());
    client.end(status);
    match outcome {
        HeadOutcome::Ready(action) => action.route,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_route_counts_by_its_name_whatever_place_it_has() {
    let world = world(|settings| settings.routes = on_hosts(&["a", "b"]).routes);
    world.install(&[]);
    assert_eq!((ask(&world, "a", 200), ask(&world, "b", 502)), (0, 1));
    assert_eq!(ask(&world, "c", 200), NO_ROUTE);
    let tables = Tables::compile(&on_hosts(&["b", "c"])).expect("valid");
    world.gate.configure(&std::sync::Arc::new(tables));
    assert_eq!((ask(&world, "b", 499), ask(&world, "c", 504)), (0, 1));
    world.install(&[entry("198.51.100.1", 90)]);
    ask(&world, "c", 200);
    // requests, denied, errors
    for (name, expected) in [
        ("a", [1, 0, 0]),
        ("b", [2, 0, 1]),
        ("c", [2, 1, 1]),
        ("d", [0, 0, 0]),
    ] {
        let told = world.segment.route_counts(name);
        assert_eq!(told.counts[..3], expected, "{name}");
        let answered: u64 = told.latency.iter().map(|(_, count)| count).sum();
        assert_eq!(answered, expected[0], "{name}");
    }
    assert_eq!(world.count("requests"), 6);
}
