//! Which route a request takes, against an obvious scan over all of them.

mod support;

use decide::{RouteSettings, Settings, Tables};
use proptest::prelude::*;
use support::{routed, taken};

/// What RFC 3986 says, for the few escapes that are drawn: text in, text out, nothing clever.
fn plain(path: &str, [slash, backslash]: [bool; 2]) -> String {
    let mut text = path
        .replace("%76", "v")
        .replace("%2e", ".")
        .replace("%2E", ".");
    text = text.replace("%2f", "%2F").replace("%5c", "%5C");
    if slash {
        text = text.replace("%2F", "/");
    }
    if backslash {
        text = text.replace("%5C", "/");
    }
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = text.split('/').collect();
    for segment in &segments {
        match *segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let is_open = matches!(segments.last(), Some(&("" | "." | "..")));
    let mut joined = String::new();
    for segment in kept {
        joined = joined + "/" + segment;
    }
    if is_open { joined + "/" } else { joined }
}

#[derive(Debug)]
struct Asked {
    host: String,
    path: String,
    method: &'static str,
    fields: Vec<(&'static str, &'static str)>,
}

/// How well a route fits, larger is better; None when it does not.
fn fit(route: &RouteSettings, asked: &Asked, path: &str) -> Option<[usize; 5]> {
    let host = asked.host.to_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let hosts = route
        .hosts
        .iter()
        .filter_map(|pattern| match pattern.strip_prefix('*') {
            Some(end) => (host.len() > end.len() && host.ends_with(end)).then_some(end.len()),
            None => (host == pattern).then_some(1000),
        });
    let by_host = if route.hosts.is_empty() {
        0
    } else {
        hosts.max()?
    };
    let (kind, length) = match (&route.path, &route.path_prefix) {
        (Some(exact), _) => (path == exact).then_some((2, 0))?,
        (_, Some(prefix)) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let fits = path == prefix || path.starts_with(&format!("{prefix}/"));
            fits.then_some((1, prefix.len()))?
        }
        _ => (0, 0),
    };
    let by_method = usize::from(!route.methods.is_empty());
    if by_method == 1 && !route.methods.iter().any(|method| method == asked.method) {
        return None;
    }
    for (name, value) in &route.headers {
        let mut sent = asked
            .fields
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .peekable();
        sent.peek()?;
        if !sent.all(|(_, got)| value.as_deref().is_none_or(|value| value == *got)) {
            return None;
        }
    }
    Some([by_host, kind, length, by_method, route.headers.len()])
}

fn scan(routes: &[RouteSettings], asked: &Asked) -> Result<Option<usize>, u16> {
    let best = |path: &str| {
        let mut best: Option<(usize, [usize; 5])> = None;
        for (index, route) in routes.iter().enumerate() {
            if let Some(fit) = fit(route, asked, path) {
                if best.is_none_or(|(_, known)| fit > known) {
                    best = Some((index, fit));
                }
            }
        }
        best.map(|(index, _)| index)
    };
    let looks_at_paths = routes
        .iter()
        .any(|route| route.path.is_some() || route.path_prefix.is_some());
    let ways = [[false, false], [true, false], [false, true], [true, true]];
    let found = ways.map(|way| best(&plain(&asked.path, way)));
    if looks_at_paths && found.iter().any(|other| *other != found[0]) {
        return Err(400);
    }
    Ok(found[0])
}

fn one_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    proptest::sample::select(values.to_vec())
}

fn any_route() -> impl Strategy<Value = RouteSettings> {
    let host = one_of(&["a.b", "*.b", "*.a.b", "c", "*.c.a.b", "192.0.2.1"].map(str::to_owned));
    let path = one_of(&["/", "/v", "/v/w", "/v/w/", "/w", "/vv", "/v/v/w"].map(str::to_owned));
    let method = one_of(&["GET", "PUT"].map(str::to_owned));
    let field = (
        one_of(&["X-A", "X-B"].map(str::to_owned)),
        one_of(&[None, Some("1".to_owned()), Some("2".to_owned())]),
    );
    (
        proptest::collection::vec(host, 0..3),
        0..3_u8,
        path,
        proptest::collection::vec(method, 0..2),
        proptest::collection::vec(field, 0..3),
    )
        .prop_map(|(hosts, kind, path, methods, headers)| RouteSettings {
            hosts,
            path: (kind == 1).then(|| path.clone()),
            path_prefix: (kind == 2).then_some(path),
            methods,
            headers,
            ..RouteSettings::default()
        })
}

fn any_request() -> impl Strategy<Value = Asked> {
    let host = one_of(
        &[
            "a.b",
            "A.b.",
            "x.a.b",
            "y.c.a.b",
            "c",
            "b",
            "z.b",
            "192.0.2.1",
        ]
        .map(str::to_owned),
    );
    let piece = one_of(&["v", "w", "%76", "/", "..", ".", "%2f", "%5C", "%2e", "vv"]);
    (
        host,
        proptest::collection::vec(piece, 0..7),
        one_of(&["GET", "PUT", "HEAD"]),
        proptest::collection::vec((one_of(&["X-A", "x-b"]), one_of(&["1", "2"])), 0..3),
    )
        .prop_map(|(host, pieces, method, fields)| Asked {
            host,
            path: format!("/{}", pieces.concat()),
            method,
            fields,
        })
}

proptest! {
    #[test]
    fn the_tables_choose_as_a_scan_does(
        routes in proptest::collection::vec(any_route(), 1..12),
        requests in proptest::collection::vec(any_request(), 1..12),
    ) {
        let routes: Vec<RouteSettings> = routes
            .into_iter()
            .enumerate()
            .map(|(index, route)| RouteSettings { name: index.to_string(), ..route })
            .collect();
        let world = routed(routes.clone());
        let settings = Settings { routes: routes.clone(), ..Settings::default() };
        let tables = Tables::compile(&settings).expect("valid");
        for asked in requests {
            let mut request = format!("{} {} HTTP/1.1|Host: {}", asked.method, asked.path, asked.host);
            for (name, value) in &asked.fields {
                request = request + "|" + name + ": " + value;
            }
            let expected = scan(&routes, &asked);
            prop_assert_eq!(taken(&world, &request), expected, "{}", request);
            // What is explained to an operator is what happens.
            if let Ok(expected) = expected {
                let bytes = request.replace('|', "\r\n") + "\r\n\r\n";
                let explained = tables.explain(bytes.as_bytes()).expect("taken");
                let first = explained.iter().find(|(_, miss)| miss.is_none());
                prop_assert_eq!(first.map(|(index, _)| *index), expected, "{}", request);
                prop_assert_eq!(explained.len(), routes.len());
            }
        }
    }
}
