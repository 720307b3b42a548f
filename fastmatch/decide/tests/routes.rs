//! Which route a request takes, and by which rules it is judged there.

mod support;

use decide::action::{Action, HeadOutcome};
use decide::{Miss, RouteSettings, Settings, Tables};
use support::{entry, head_only, outcome, routed, taken, world};

fn route(name: &str, change: impl FnOnce(&mut RouteSettings)) -> RouteSettings {
    let mut route = RouteSettings::named(name);
    change(&mut route);
    route
}

fn on_host(host: &str) -> RouteSettings {
    route(host, |route| route.hosts = vec![host.to_owned()])
}

fn below(prefix: &str) -> RouteSettings {
    route(prefix, |route| route.path_prefix = Some(prefix.to_owned()))
}

#[test]
fn the_most_specific_host_wins() {
    let world = routed(vec![
        route("any", |_| {}),
        on_host("*.example"),
        on_host("*.a.example"),
        on_host("a.example"),
        on_host("[2001:db8::1]"),
        on_host("192.0.2.1"),
    ]);
    for (host, expected) in [
        ("a.example", 3),
        ("A.Example:8080", 3),
        ("a.example.", 3),
        ("b.a.example", 2),
        ("c.b.a.example", 2),
        ("ba.example", 1),
        ("example", 0),
        ("other.test", 0),
        ("[2001:DB8:0:0::1]:80", 4),
        ("192.0.2.1", 5),
    ] {
        let request = format!("GET / HTTP/1.1|Host: {host}");
        assert_eq!(taken(&world, &request), Ok(Some(expected)), "{host}");
    }
    assert_eq!(taken(&world, "GET / HTTP/1.0"), Ok(Some(0)));
    let absolute = "GET http://a.example/ HTTP/1.1|Host: a.example";
    assert_eq!(taken(&world, absolute), Ok(Some(3)));
}

#[test]
fn a_prefix_is_whole_segments_and_the_longest_wins() {
    let world = routed(vec![
        below("/v1"),
        below("/v1/users/"),
        route("exact", |route| route.path = Some("/v1/users".to_owned())),
    ]);
    for (path, expected) in [
        ("/v1", Some(0)),
        ("/v1?q", Some(0)),
        ("/v1/", Some(0)),
        ("/v1/x", Some(0)),
        ("/v1/users", Some(2)),
        ("/v1/users/", Some(1)),
        ("/v1/users/7", Some(1)),
        ("/v1/usersx", Some(0)),
        ("/v10", None),
        ("/", None),
        ("/V1", None),
        ("//v1", Some(0)),
        ("/%76%31/x", Some(0)),
        ("/x/../v1", Some(0)),
        ("/v1/..", None),
        ("/v1/%2e%2e/", None),
    ] {
        let request = format!("GET {path} HTTP/1.1|Host: a");
        assert_eq!(taken(&world, &request), Ok(expected), "{path}");
    }
    assert_eq!(taken(&world, "OPTIONS * HTTP/1.1|Host: a"), Ok(None));
    assert_eq!(taken(&world, "GET http://a?q HTTP/1.1|Host: a"), Ok(None));
}

#[test]
fn a_path_with_two_readings_on_two_routes_is_refused() {
    let world = routed(vec![below("/"), below("/admin")]);
    for path in [
        "/public/..%2fadmin",
        "/admin%2F",
        "/admin%5cx",
        "/x/%2e%2e%5cadmin",
        "/q%5cr/../admin%2fx",
        "/a%00b",
        "/a/%00/../b",
    ] {
        let request = format!("GET {path} HTTP/1.1|Host: a");
        assert_eq!(taken(&world, &request), Err(400), "{path}");
    }
    for (path, expected) in [("/a%2Fb", 0), ("/admin/a%2fb", 1), ("/a?b=%2fadmin%00", 0)] {
        let request = format!("GET {path} HTTP/1.1|Host: a");
        assert_eq!(taken(&world, &request), Ok(Some(expected)), "{path}");
    }
}

#[test]
fn what_no_route_looks_at_is_nobodys_business() {
    let world = routed(vec![on_host("a")]);
    let request = "GET /%00/..%2f HTTP/1.1|Host: a";
    assert_eq!(taken(&world, request), Ok(Some(0)));
}

#[test]
fn methods_and_fields_narrow_a_route() {
    let tenant = |value: Option<&str>| ("X-Tenant".to_owned(), value.map(str::to_owned));
    let world = routed(vec![
        route("all", |_| {}),
        route("present", |route| route.headers = vec![tenant(None)]),
        route("both", |route| {
            route.headers = vec![tenant(Some("a")), ("Cookie".to_owned(), None)];
        }),
        route("get", |route| route.methods = vec!["GET".to_owned()]),
    ]);
    for (request, expected) in [
        ("GET / HTTP/1.1|Host: a", 3),
        ("GET / HTTP/1.1|Host: a|X-Tenant: a|Cookie: b", 3),
        ("HEAD / HTTP/1.1|Host: a", 0),
        ("get / HTTP/1.1|Host: a", 0),
        ("PUT / HTTP/1.1|Host: a|x-tenant: b", 1),
        ("PUT / HTTP/1.1|Host: a|X-Tenant: a|Cookie: b", 2),
        (
            "PUT / HTTP/1.1|Host: a|X-Tenant: a|X-Tenant: a|Cookie: b",
            2,
        ),
        // Two values: not the one that was asked for.
        (
            "PUT / HTTP/1.1|Host: a|X-Tenant: a|X-Tenant: b|Cookie: b",
            1,
        ),
        // Removed on the way: the upstream would not see it.
        ("PUT / HTTP/1.1|Host: a|X-Tenant: a|Connection: x-tenant", 0),
        ("PUT / HTTP/1.1|Host: a|X_Tenant: a", 0),
    ] {
        assert_eq!(taken(&world, request), Ok(Some(expected)), "{request}");
    }
}

#[test]
fn every_route_is_explained_in_the_order_in_which_it_is_considered() {
    let settings = Settings {
        routes: vec![
            route("any", |_| {}),
            route("elsewhere", |route| route.hosts = vec!["b".to_owned()]),
            route("deep", |route| route.path_prefix = Some("/v1/x".to_owned())),
            route("put", |route| {
                route.path_prefix = Some("/v1".to_owned());
                route.methods = vec!["PUT".to_owned()];
            }),
            route("tenant", |route| {
                route.hosts = vec!["a".to_owned(), "*.a".to_owned()];
                route.headers = vec![("X-Tenant".to_owned(), None)];
            }),
            route("v1", |route| route.path_prefix = Some("/v1".to_owned())),
        ],
        ..Settings::default()
    };
    let tables = Tables::compile(&settings).expect("valid");
    let explained = tables.explain(b"GET /v1/y HTTP/1.1\r\nHost: a\r\n\r\n");
    let expected = vec![
        (4, Some(Miss::Field)),
        (3, Some(Miss::Method)),
        (5, None),
        (0, None),
        (2, Some(Miss::Path)),
        (1, Some(Miss::Host)),
    ];
    assert_eq!(explained, Ok(expected));
    assert!(
        tables
            .explain(b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n")
            .is_err()
    );
    assert!(tables.explain(b"GET / HTTP/1.1\r\n").is_err());
}

#[test]
fn a_route_has_its_own_score_mode_domains_and_limit() {
    let world = world(|settings| {
        settings.body_bytes = 100;
        settings.routes = vec![
            route("default", |_| {}),
            route("strict", |route| {
                route.hosts = vec!["strict.example".to_owned()];
                route.block_score = Some(3.0);
                route.domains = Some(vec!["origin".to_owned()]);
                route.body_bytes = Some(10);
            }),
            route("watched", |route| {
                route.hosts = vec!["watched.example".to_owned()];
                route.observe = Some(true);
                route.body_bytes = Some(0);
                route.host_header = Some("inner:81".to_owned());
            }),
        ];
    });
    world.install(&[
        entry("192.0.2.1", 50),
        entry("192.0.2.2", 90),
        entry("bad.example", 40),
    ]);
    let denied = |peer: &str, host: &str, more: &str| {
        let bytes = format!("POST / HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        match outcome(&world, peer, bytes.as_bytes()) {
            HeadOutcome::Ready(Action { action, .. }) => Ok(action & 15 == decide::action::DENY),
            HeadOutcome::Refused(refusal) => Err(refusal.status()),
            HeadOutcome::Incomplete => panic!("whole"),
        }
    };
    assert_eq!(denied("192.0.2.1", "a.example", ""), Ok(false));
    assert_eq!(denied("192.0.2.1", "strict.example", ""), Ok(true));
    assert_eq!(denied("192.0.2.2", "a.example", ""), Ok(true));
    assert_eq!(denied("192.0.2.2", "watched.example", ""), Ok(false));
    assert_eq!(world.count("observed"), 1);
    let origin = "Origin: https://bad.example\r\n";
    assert_eq!(denied("192.0.2.9", "a.example", origin), Ok(false));
    assert_eq!(denied("192.0.2.9", "strict.example", origin), Ok(true));
    let eleven = "Content-Length: 11\r\n";
    assert_eq!(denied("192.0.2.9", "strict.example", eleven), Err(413));
    assert_eq!(denied("192.0.2.9", "a.example", eleven), Ok(false));
    let more = "Content-Length: 101\r\n";
    assert_eq!(denied("192.0.2.9", "a.example", more), Err(413));
    assert_eq!(denied("192.0.2.9", "watched.example", more), Ok(false));
    let head = head_only(
        &world,
        "192.0.2.9",
        b"GET / HTTP/1.1\r\nHost: watched.example\r\n\r\n",
    );
    assert!(head.contains("\r\nHost: inner:81\r\n"), "{head}");
    assert!(
        head.contains("\r\nX-Forwarded-Host: watched.example\r\n"),
        "{head}"
    );
}

#[test]
fn a_request_that_no_route_fits_is_answered_404_unless_it_is_denied() {
    let world = routed(vec![on_host("a.example")]);
    world.install(&[entry("192.0.2.2", 90)]);
    let request = b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n";
    let answer = |peer: &str| {
        let mut out = Vec::new();
        world.client(peer).head(request, &mut out);
        String::from_utf8(out).expect("ASCII")
    };
    assert!(answer("192.0.2.1").starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(answer("192.0.2.2").starts_with("HTTP/1.1 403 "));
    assert_eq!((world.count("unrouted"), world.count("denied")), (1, 1));
}

#[test]
fn an_open_exchange_is_judged_by_its_route_as_it_is_now() {
    let strict = |score: f64| {
        let settings = Settings {
            routes: vec![
                route("other", |route| route.hosts = vec!["b.example".to_owned()]),
                route("strict", |route| {
                    route.hosts = vec!["a.example".to_owned()];
                    route.block_score = Some(score);
                }),
            ],
            ..Settings::default()
        };
        std::sync::Arc::new(Tables::compile(&settings).expect("valid settings"))
    };
    let world = routed(vec![route("strict", |route| route.block_score = Some(6.0))]);
    world.install(&[entry("192.0.2.1", 50)]);
    let mut client = world.client("192.0.2.1");
    client.head(
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        &mut Vec::new(),
    );
    assert!(!client.rejudge());
    world.gate.configure(&strict(5.0));
    assert!(client.rejudge());
    world.gate.configure(&strict(5.1));
    assert!(!client.rejudge());
}

#[test]
fn a_wrong_route_is_named_with_its_key() {
    let fault = |change: fn(&mut RouteSettings)| {
        let settings = Settings {
            routes: vec![route("first", |_| {}), route("second", change)],
            ..Settings::default()
        };
        Tables::compile(&settings).expect_err("refused").to_string()
    };
    for (change, start) in [
        (
            (|r| r.name = "first".into()) as fn(&mut RouteSettings),
            "name: \"first\"",
        ),
        (|r| r.name = String::new(), "name: "),
        (|r| r.hosts = vec!["a b".into()], "hosts: "),
        (
            |r| r.hosts = vec!["a:80".into()],
            "hosts: \"a:80\" has a port",
        ),
        (|r| r.hosts = vec!["*.1.2.3.4".into()], "hosts: "),
        (|r| r.hosts = vec!["*".into()], "hosts: "),
        (|r| r.path = Some("a".into()), "path: "),
        (|r| r.path = Some("/a?b".into()), "path: "),
        (|r| r.path = Some("/a b".into()), "path: "),
        (
            |r| r.path = Some("/a//b".into()),
            "path: \"/a//b\" is not in normal form, which is \"/a/b\"",
        ),
        (|r| r.path = Some("/%61".into()), "path: "),
        (|r| r.path_prefix = Some("/a%2fb".into()), "path_prefix: "),
        (
            |r| (r.path, r.path_prefix) = (Some("/a".into()), Some("/b".into())),
            "path_prefix: ",
        ),
        (|r| r.methods = vec!["A B".into()], "methods: "),
        (
            |r| r.methods = vec!["TRACE".into()],
            "methods: \"TRACE\" is always refused",
        ),
        (
            |r| r.headers = vec![("X-Real-IP".into(), None)],
            "headers: ",
        ),
        (|r| r.headers = vec![("Host".into(), None)], "headers: "),
        (|r| r.headers = vec![("a b".into(), None)], "headers: "),
        (
            |r| r.headers = vec![("a".into(), Some("b ".into()))],
            "headers: ",
        ),
        (|r| r.block_score = Some(11.0), "block_score: "),
        (|r| r.domains = Some(vec!["cookie".into()]), "domains: "),
        (|r| r.host_header = Some("a/b".into()), "host_header: "),
    ] {
        let message = fault(change);
        assert!(
            message.starts_with(&format!("routes.1.{start}")),
            "{message}"
        );
    }
    for count in [0, 257] {
        let routes = (0..count).map(|index| route(&index.to_string(), |_| {}));
        let settings = Settings {
            routes: routes.collect(),
            ..Settings::default()
        };
        let fault = Tables::compile(&settings).expect_err("refused");
        assert_eq!((fault.route, fault.key), (None, "routes"));
    }
}
