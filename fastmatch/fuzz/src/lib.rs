//! What the targets share: a gate, a small list, and the cuts that the first bytes of an input ask for.
#![forbid(unsafe_code)]

mod entries;

use std::sync::{Arc, LazyLock};

pub use entries::{ADDRESSES, NAMES, builder, exercise};

use decide::{ChangeSettings, Gate, RouteSettings, Segment, Settings, Sizes, Tables};

/// Each forwards, rewrites or answers in its own way; all keep `/tyk` from outside.
fn routes() -> Vec<RouteSettings> {
    let hiding = |name: &str| RouteSettings {
        hidden_paths: vec!["/tyk".to_owned()],
        ..RouteSettings::named(name)
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        hiding("any"),
        RouteSettings {
            path_prefix: Some("/a/b".to_owned()),
            strip_prefix: Some("/a".to_owned()),
            request_headers: ChangeSettings {
                set: vec![pair("X-Set", "ours")],
                add: vec![pair("X-Add", "ours")],
                remove: vec!["Referer".to_owned()],
            },
            ..hiding("strips")
        },
        RouteSettings {
            path_prefix: Some("/c".to_owned()),
            strip_prefix: Some("/c".to_owned()),
            add_prefix: Some("/a/d".to_owned()),
            methods: vec!["GET".to_owned()],
            ..hiding("swaps")
        },
        RouteSettings {
            hosts: vec!["*.a".to_owned(), "b.a".to_owned()],
            headers: vec![("X-Key".to_owned(), None)],
            body_bytes: Some(16),
            ..hiding("narrow")
        },
        RouteSettings {
            path: Some("/old".to_owned()),
            redirect: Some((308, "https://{host}/new{path}{query}".to_owned())),
            ..hiding("moved")
        },
    ]
}

/// Small limits, so that a fuzzer reaches them; `10.0.0.0/8` is trusted.
pub static GATE: LazyLock<Arc<Gate>> = LazyLock::new(|| {
    let settings = Settings {
        on_missing: "open".to_owned(),
        trusted_proxies: vec!["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()],
        domains: ["host", "origin", "referer"].map(str::to_owned).to_vec(),
        head_bytes: 512,
        target_bytes: 64,
        header_count: 8,
        body_bytes: 256,
        response_head_bytes: 512,
        routes: routes(),
        ..Settings::default()
    };
    let tables = Arc::new(Tables::compile(&settings).expect("valid settings"));
    let segment = Arc::new(Segment::create(Sizes::of(1)).expect("memfd"));
    Arc::new(Gate::new(tables, segment, 0).expect("slot 0"))
});

/// The first byte of an input says how its rest is cut: into pieces of 1 to 16 bytes, in turn.
pub fn pieces(input: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let Some((seed, message)) = input.split_first() else {
        return (input, Vec::new());
    };
    let sizes = [usize::from(seed & 15) + 1, usize::from(seed >> 4) + 1];
    let (mut cut, mut rest) = (Vec::new(), message);
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(sizes[cut.len() % 2].min(rest.len()));
        cut.push(piece);
        rest = left;
    }
    (message, cut)
}
