//! Any bytes as a host: addresses are those that the standard library reads, spelling changes no verdict.
#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use blocklist::address::{Address, parse_address};
use blocklist::{Blocklist, Stamp};
use fastmatch_fuzz::builder;
use libfuzzer_sys::fuzz_target;

static LIST: LazyLock<Blocklist> =
    LazyLock::new(|| builder().build(Stamp::default()).expect("a base"));

fn expected(host: &str) -> Option<IpAddr> {
    // Zones are dropped, and only IPv6 has them.
    let (text, zone) = host
        .split_once('%')
        .map_or((host, None), |(text, zone)| (text, Some(zone)));
    let address: IpAddr = text.parse().ok()?;
    match zone {
        Some(zone) if zone.is_empty() || address.is_ipv4() => None,
        _ => Some(address.to_canonical()),
    }
}

fuzz_target!(|host: &[u8]| {
    if let Ok(text) = std::str::from_utf8(host) {
        let found = parse_address(host).map(|address| match address {
            Address::V4(bits) => IpAddr::V4(bits.into()),
            Address::V6(bits) => IpAddr::V6(bits.into()),
        });
        if !host.contains(&b'%') {
            assert_eq!(found, expected(text), "{text:?}");
        }
    }
    let id = |host: &[u8]| {
        LIST.lookup_host(host)
            .map(|found| found.map(|verdict| verdict.id()))
    };
    let found = id(host);
    if host.is_ascii() {
        assert_eq!(id(&host.to_ascii_uppercase()).ok(), found.clone().ok());
        if found.is_ok() && !host.ends_with(b".") && !host.ends_with(b"]") && host.len() < 253 {
            let dotted = [host, b"."].concat();
            // An address has no trailing dot.
            assert!(id(&dotted).is_err() || id(&dotted).ok() == found.ok());
        }
    }
});
