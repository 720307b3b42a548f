//! X-Forwarded-For of a trusted peer: refused, or an address that the last believed element really is.
#![no_main]

use std::net::IpAddr;
use std::sync::Arc;

use decide::Downstream;
use decide::action::HeadOutcome;
use fastmatch_fuzz::GATE;
use libfuzzer_sys::fuzz_target;

fn is_ours(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

/// The slow way: split, strip, try each spelling.
fn parse(element: &str) -> Option<IpAddr> {
    let plain = |text: &str| {
        let (address, zone) = text
            .split_once('%')
            .map_or((text, None), |(a, zone)| (a, Some(zone)));
        let address: IpAddr = address.parse().ok()?;
        match zone {
            Some("") => None,
            Some(_) if address.is_ipv4() => None,
            _ => Some(address.to_canonical()),
        }
    };
    let port = |text: &str| {
        text.len() <= 5
            && text.bytes().all(|octet| octet.is_ascii_digit())
            && text.parse::<u16>().is_ok()
    };
    if let Some(rest) = element.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let is_ended = after.is_empty() || after.strip_prefix(':').is_some_and(port);
        return plain(inside).filter(|_| inside.contains(':') && is_ended);
    }
    plain(element).or_else(|| {
        let (address, digits) = element.split_once(':')?;
        let address: std::net::Ipv4Addr = address.parse().ok()?;
        port(digits).then_some(IpAddr::V4(address))
    })
}

fn expected(value: &str) -> Result<IpAddr, ()> {
    let mut client: IpAddr = [10, 0, 0, 1].into();
    let trimmed = value
        .split(',')
        .map(|element| element.trim_matches([' ', '\t']));
    let elements: Vec<&str> = trimmed.filter(|element| !element.is_empty()).collect();
    for (hops, element) in elements.iter().rev().enumerate() {
        if !is_ours(client) {
            break;
        }
        if hops == 32 {
            return Err(());
        }
        client = parse(element).ok_or(())?;
    }
    Ok(client)
}

fuzz_target!(|value: &str| {
    if value
        .bytes()
        .any(|octet| (octet < 32 && octet != b'\t') || octet == 127)
        || value.len() > 400
    {
        return;
    }
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {value}\r\n\r\n");
    let mut client = Downstream::new(Arc::clone(&GATE), "10.0.0.1").expect("an address");
    let got = match client.head(request.as_bytes(), &mut Vec::new()) {
        HeadOutcome::Ready(_) => Ok(client.client()),
        HeadOutcome::Refused(refusal) => {
            assert_eq!(refusal.status(), 400);
            Err(())
        }
        HeadOutcome::Incomplete => panic!("a whole head"),
    };
    assert_eq!(got, expected(value), "{value:?}");
});
