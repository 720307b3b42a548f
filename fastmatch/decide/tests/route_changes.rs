//! What a route changes on the way, and what it answers by itself.

mod support;

use decide::action::{Action, CLOSE, DENY, HeadOutcome};
use decide::{ChangeSettings, RouteSettings, Settings, Tables};
use support::{Split, World, answer, head_only, split, world};

fn with(change: impl FnOnce(&mut RouteSettings)) -> World {
    let mut route = RouteSettings::named("changing");
    change(&mut route);
    world(|settings| settings.routes = vec![route])
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn changes(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> ChangeSettings {
    ChangeSettings {
        set: pairs(set),
        add: pairs(add),
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn request(lines: &str) -> Vec<u8> {
    (lines.replace('|', "\r\n") + "\r\n\r\n").into_bytes()
}

fn lines(head: &str, start: &str) -> Vec<String> {
    let wanted = head.split("\r\n").filter(|line| line.starts_with(start));
    wanted.map(str::to_owned).collect()
}

#[test]
fn request_fields_are_set_added_and_removed_in_any_spelling() {
    let world = with(|route| {
        route.request_headers = changes(
            &[("X-Tenant", "ours")],
            &[("X-Tag", "edge")],
            &["X-Debug", "Referer"],
        );
    });
    let head = head_only(
        &world,
        "198.51.100.1",
        &request(
            "GET / HTTP/1.1|Host: a|X-Tenant: theirs|x_tenant: theirs|X-TENANT: more|X-Tag: client|X_Debug: 1|\
             x-debug: 2|Referer: http://b/|Accept: */*|Connection: x-tenant, x-tag",
        ),
    );
    assert_eq!(lines(&head.to_lowercase(), "x-tenant"), ["x-tenant: ours"]);
    assert!(!head.contains("theirs"), "{head}");
    // The client's own line was named in Connection; ours is not the client's to remove.
    assert_eq!(lines(&head, "X-Tag"), ["X-Tag: edge"]);
    assert!(!head.to_lowercase().contains("debug"), "{head}");
    assert!(!head.contains("Referer"), "{head}");
    assert!(head.contains("\r\nAccept: */*\r\n"), "{head}");
}

#[test]
fn response_fields_are_set_added_and_removed() {
    let world = with(|route| {
        route.response_headers = changes(
            &[("Server", "edge")],
            &[("Set-Cookie", "b=2")],
            &["X-Powered-By", "Link"],
        );
    });
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nServer: origin\r\n\r\n";
    let last = b"HTTP/1.1 200 OK\r\nServer: origin\r\nX-Powered-By: x\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\nok";
    let both = [&interim[..], last].concat();
    let (got, _) = answer(&world, &request("GET / HTTP/1.1|Host: a"), &[&both], false);
    let Split { head: first, rest } = split(&got);
    assert_eq!(first, "HTTP/1.1 103 Early Hints\r\n\r\n");
    let Split { head, rest } = split(&rest);
    assert_eq!(lines(&head, "Server"), ["Server: edge"]);
    assert_eq!(
        lines(&head, "Set-Cookie"),
        ["Set-Cookie: a=1", "Set-Cookie: b=2"]
    );
    assert!(!head.contains("Powered"), "{head}");
    assert_eq!(rest, b"ok");
}

#[test]
fn an_answer_is_changed_by_the_route_that_its_request_took() {
    let world = with(|route| route.response_headers = changes(&[("Server", "old")], &[], &[]));
    let mut client = world.client("198.51.100.1");
    client.head(&request("GET / HTTP/1.1|Host: a"), &mut Vec::new());
    let tables = Tables::compile(&Settings::default()).expect("valid");
    world.gate.configure(&std::sync::Arc::new(tables));
    let mut upstream = world.upstream();
    upstream.begin(&mut client);
    let mut out = Vec::new();
    upstream.data(b"HTTP/1.1 204 No Content\r\n\r\n", &mut client, &mut out);
    assert!(split(&out).head.contains("\r\nServer: old\r\n"));
}

#[test]
fn prefixes_are_stripped_and_added_and_the_rest_travels_byte_for_byte() {
    let stripping = with(|route| {
        route.path_prefix = Some("/v1/api".to_owned());
        route.strip_prefix = Some("/v1".to_owned());
    });
    let swapping = with(|route| {
        route.path_prefix = Some("/v1".to_owned());
        route.strip_prefix = Some("/v1/".to_owned());
        route.add_prefix = Some("/inner/".to_owned());
    });
    let adding = with(|route| route.add_prefix = Some("/inner".to_owned()));
    for (world, path, expected) in [
        (&stripping, "/v1/api", "/api"),
        (
            &stripping,
            "/v1/api/a%2fb%7e?x=/v1//",
            "/api/a%2fb%7e?x=/v1//",
        ),
        (&stripping, "/v1/api//a/./b", "/api//a/./b"),
        (&stripping, "/%761/api/%7e", "/api/~"),
        (&stripping, "//v1/api", "/api"),
        (&stripping, "/x/../v1/api/%7e", "/api/~"),
        (&stripping, "/v1/x/../api/b", "/x/../api/b"),
        (&swapping, "/v1", "/inner"),
        (&swapping, "/v1?q", "/inner?q"),
        (&swapping, "/v1/", "/inner/"),
        (&swapping, "/v1/a?q", "/inner/a?q"),
        (&swapping, "/v1//evil.example/", "/inner/evil.example/"),
        (&swapping, "http://a/v1/b", "/inner/b"),
        (&adding, "/", "/inner/"),
        (&adding, "http://a?q", "/inner/?q"),
        (&adding, "/a%41", "/inner/a%41"),
    ] {
        let head = head_only(
            world,
            "198.51.100.1",
            &request(&format!("GET {path} HTTP/1.1|Host: a")),
        );
        let sent = head.split(' ').nth(1);
        assert_eq!(sent, Some(expected), "{path}");
    }
    let asterisk = head_only(
        &adding,
        "198.51.100.1",
        &request("OPTIONS * HTTP/1.1|Host: a"),
    );
    assert!(asterisk.starts_with("OPTIONS * HTTP/1.1\r\n"), "{asterisk}");
    let head = head_only(
        &stripping,
        "198.51.100.1",
        &request(
            "GET /v1/api HTTP/1.1|Host: a|X-Forwarded-Prefix: /evil|X_Forwarded-Prefix: /evil",
        ),
    );
    assert_eq!(
        lines(&head, "X-Forwarded-Prefix"),
        ["X-Forwarded-Prefix: /v1"]
    );
    assert!(!head.contains("evil"), "{head}");
}

#[test]
fn a_stripped_path_never_begins_with_two_slashes() {
    let world = with(|route| {
        route.path_prefix = Some("/v1".to_owned());
        route.strip_prefix = Some("/v1".to_owned());
    });
    for (path, expected) in [
        ("/v1", "/"),
        ("/v1//evil.example/", "/evil.example/"),
        ("/v1///", "/"),
    ] {
        let head = head_only(
            &world,
            "198.51.100.1",
            &request(&format!("GET {path} HTTP/1.1|Host: a")),
        );
        assert_eq!(head.split(' ').nth(1), Some(expected), "{path}");
    }
}

fn answered(world: &World, lines: &str) -> (Action, String) {
    let mut out = Vec::new();
    match world.client("198.51.100.1").head(&request(lines), &mut out) {
        HeadOutcome::Ready(action) => {
            assert_eq!(action.action & 15, DENY);
            (action, String::from_utf8(out).expect("ASCII"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_redirection_names_the_place_that_the_operator_meant() {
    let location = |template: &str, lines: &str| {
        let world = with(|route| {
            route.redirect = Some((308, template.to_owned()));
            route.response_headers = changes(&[("X-Why", "moved")], &[], &["Server"]);
        });
        let (action, text) = answered(&world, lines);
        assert!(
            text.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nX-Why: moved\r\n"), "{text}");
        assert!(text.contains("\r\ncontent-length: 0\r\n"), "{text}");
        assert_eq!(action.action & CLOSE, 0);
        assert_eq!(world.count("responses_3xx"), 1);
        let line = text
            .split("\r\n")
            .find_map(|line| line.strip_prefix("location: "));
        line.expect("a location").to_owned()
    };
    let https = "https://{host}{path}{query}";
    for (template, lines, expected) in [
        (
            https,
            "GET /a%2fb?c=d HTTP/1.1|Host: A.example:80",
            "https://A.example/a%2fb?c=d",
        ),
        (
            https,
            "GET //evil.example HTTP/1.1|Host: a",
            "https://a//evil.example",
        ),
        (https, "GET http://a?q HTTP/1.1|Host: a", "https://a/?q"),
        (
            "https://new.example",
            "GET /x HTTP/1.1|Host: a",
            "https://new.example",
        ),
        (
            "/new{path}",
            "GET //evil.example/ HTTP/1.1|Host: a",
            "/new//evil.example/",
        ),
    ] {
        assert_eq!(location(template, lines), expected, "{lines}");
    }
}

#[test]
fn a_fixed_response_is_the_whole_answer() {
    let world = with(|route| {
        route.respond = Some((200, "text/html".to_owned(), "<p>hello</p>".to_owned()));
        route.response_headers = changes(&[], &[("Cache-Control", "max-age=60")], &[]);
    });
    let (_, text) = answered(&world, "GET / HTTP/1.1|Host: a");
    let Split { head, rest } = split(text.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for line in [
        "content-type: text/html",
        "content-length: 12",
        "Cache-Control: max-age=60",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
    assert_eq!(rest, b"<p>hello</p>");
    let (_, text) = answered(&world, "HEAD / HTTP/1.1|Host: a");
    assert!(
        text.contains("\r\ncontent-length: 12\r\n") && text.ends_with("\r\n\r\n"),
        "{text}"
    );
    // A body that has not arrived is not read: the connection closes.
    let (action, text) = answered(&world, "POST / HTTP/1.1|Host: a|Content-Length: 9");
    assert_ne!(action.action & CLOSE, 0);
    assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
    assert_eq!(world.count("responses_2xx"), 3);
    let world = with(|route| route.respond = Some((304, "text/html".to_owned(), String::new())));
    let (_, text) = answered(&world, "GET / HTTP/1.1|Host: a");
    assert!(
        text.starts_with("HTTP/1.1 304 Not Modified\r\n") && !text.contains("content-"),
        "{text}"
    );
}

type Change = fn(&mut RouteSettings);

#[test]
fn changes_that_would_break_a_message_are_refused() {
    let fault = |change: fn(&mut RouteSettings)| {
        let mut route = RouteSettings::named("a");
        change(&mut route);
        let settings = Settings {
            routes: vec![route],
            ..Settings::default()
        };
        Tables::compile(&settings).expect_err("refused").key
    };
    let cases: [(Change, &str); 20] = [
        (
            |r| r.request_headers = changes(&[("Host", "a")], &[], &[]),
            "request_headers",
        ),
        (
            |r| r.request_headers = changes(&[], &[("Content-Length", "1")], &[]),
            "request_headers",
        ),
        (
            |r| r.request_headers = changes(&[], &[], &["X-Real-IP"]),
            "request_headers",
        ),
        (
            |r| r.request_headers = changes(&[], &[], &["x_sentra_score"]),
            "request_headers",
        ),
        (
            |r| r.request_headers = changes(&[("a b", "c")], &[], &[]),
            "request_headers",
        ),
        (
            |r| r.request_headers = changes(&[("a", "b\r\nc: d")], &[], &[]),
            "request_headers",
        ),
        (
            |r| r.request_headers = changes(&[("a", " b")], &[], &[]),
            "request_headers",
        ),
        (
            |r| r.request_headers = changes(&[("a", &"b".repeat(9000))], &[], &[]),
            "request_headers",
        ),
        (
            |r| r.response_headers = changes(&[], &[("Transfer-Encoding", "chunked")], &[]),
            "response_headers",
        ),
        (
            |r| r.response_headers = changes(&[], &[], &["Connection"]),
            "response_headers",
        ),
        (|r| r.strip_prefix = Some("/v1".into()), "strip_prefix"),
        (
            |r| (r.path_prefix, r.strip_prefix) = (Some("/v10".into()), Some("/v1".into())),
            "strip_prefix",
        ),
        (|r| r.add_prefix = Some("v1".into()), "add_prefix"),
        (|r| r.redirect = Some((200, "/a".into())), "redirect"),
        (|r| r.redirect = Some((301, "//evil".into())), "redirect"),
        (|r| r.redirect = Some((301, "{path}".into())), "redirect"),
        (
            |r| r.redirect = Some((301, "https://{path}".into())),
            "redirect",
        ),
        (
            |r| r.redirect = Some((301, "https://a/\r\nb".into())),
            "redirect",
        ),
        (
            |r| r.respond = Some((100, "text/plain".into(), String::new())),
            "respond",
        ),
        (
            |r| {
                (r.redirect, r.respond) = (
                    Some((301, "/a".into())),
                    Some((200, "a".into(), String::new())),
                );
            },
            "respond",
        ),
    ];
    for (index, (change, key)) in cases.into_iter().enumerate() {
        assert_eq!(fault(change), key, "case {index}");
    }
}
