//! Nanoseconds per call of the codecs, best of several rounds: `cargo run --release -p decide --example codec_cost`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use blocklist::{Builder, Stamp};
use decide::limits::LimitSettings;
use decide::{Downstream, Gate, Segment, Settings, Sizes, Tables, Upstream};
use http1::request::{self, FieldStorage};
use http1::response;

const REQUEST: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
    AppleWebKit/537.36\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef; theme=dark\r\nX-Custom: 1\r\nCache-Control: no-cache\r\n\
    Referer: https://example.com/\r\nConnection: keep-alive\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello";

fn best(name: &str, mut work: impl FnMut()) {
    const CALLS: u32 = 50_000;
    let nanoseconds = (0..15)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                work();
            }
            start.elapsed().as_nanos() / u128::from(CALLS)
        })
        .min();
    #[expect(clippy::print_stdout, reason = "the output is the purpose")]
    {
        println!("{name:<28}{:>6} ns", nanoseconds.unwrap_or_default());
    }
}

/// As the other gate, with a limit that is never reached.
fn limited_gate() -> Arc<Gate> {
    let settings = Settings {
        on_missing: "open".to_owned(),
        rate_limits: vec![LimitSettings {
            name: "per-client".to_owned(),
            key: "client".to_owned(),
            requests: 100_000,
            per_seconds: 1,
            burst: Some(1_000_000_000),
        }],
        ..Settings::default()
    };
    let tables = Arc::new(Tables::compile(&settings).expect("valid settings"));
    let segment = Arc::new(Segment::create(Sizes::of(1)).expect("memfd"));
    let gate = Gate::new(tables, segment, 0).expect("slot 0");
    gate.install(Some(&Arc::new(
        Builder::new().build(Stamp::default()).expect("a base"),
    )));
    Arc::new(gate)
}

fn main() {
    let settings = Settings::default();
    let tables = Arc::new(Tables::compile(&settings).expect("defaults are valid"));
    let limits = http1::Limits {
        head_bytes: 16_384,
        target_bytes: 8_192,
        field_count: 100,
    };
    let segment = Arc::new(Segment::create(Sizes::of(1)).expect("memfd"));
    let gate = Arc::new(Gate::new(tables, segment, 0).expect("slot 0"));
    gate.install(Some(&Arc::new(
        Builder::new().build(Stamp::default()).expect("a base"),
    )));
    let mut client = Downstream::new(Arc::clone(&gate), "198.51.100.7").expect("an address");
    let mut upstream = Upstream::new(Arc::clone(&gate));
    let mut out = Vec::new();
    best("now", || {
        black_box(Instant::now());
    });
    best("parse", || {
        let mut storage = FieldStorage::new();
        black_box(request::parse(black_box(REQUEST), &limits, &mut storage).is_ok());
    });
    best("head + end", || {
        out.clear();
        black_box(client.head(black_box(REQUEST), &mut out));
        client.end(200);
    });
    let limited = limited_gate();
    let mut client_limited =
        Downstream::new(Arc::clone(&limited), "198.51.100.7").expect("an address");
    best("head + end, one limit", || {
        out.clear();
        black_box(client_limited.head(black_box(REQUEST), &mut out));
        client_limited.end(200);
    });
    best("response parse", || {
        let mut storage = FieldStorage::new();
        black_box(response::parse(black_box(RESPONSE), &limits, false, &mut storage).is_ok());
    });
    best("begin + data, not recorded", || {
        upstream.begin(&mut client);
        out.clear();
        black_box(upstream.data(black_box(RESPONSE), &mut client, &mut out));
    });
    best("head + begin + data", || {
        out.clear();
        black_box(client.head(black_box(REQUEST), &mut out));
        upstream.begin(&mut client);
        out.clear();
        black_box(upstream.data(black_box(RESPONSE), &mut client, &mut out));
    });
}
