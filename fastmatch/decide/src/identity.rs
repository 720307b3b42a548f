//! Peer address and X-Forwarded-For -> the client, as far as we may believe it.

use std::net::{IpAddr, Ipv6Addr};

use http1::target::parse_port;
use http1::{Refusal, list};

use crate::network::TrustedNetworks;

/// Proxies in a row; more is a loop or an attack.
const MOST_HOPS: usize = 32;

/// An address in canonical form: mapped IPv4 unmapped, zone dropped. No port.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let without_zone = match text.split_once('%') {
        // A zone belongs to an IPv6 address and is not empty (RFC 4007 section 11).
        Some((address, zone)) if !zone.is_empty() => IpAddr::V6(address.parse::<Ipv6Addr>().ok()?),
        Some(_) => return None,
        None => text.parse().ok()?,
    };
    Some(without_zone.to_canonical())
}

/// One element: an address, `v4:port`, `[v6]` or `[v6]:port`.
fn parse_element(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() {
            parse_port(port.strip_prefix(':')?.as_bytes())?;
        }
        return parse_address(address).filter(|_| address.contains(':'));
    }
    match text.split_once(':') {
        Some((address, port)) if !port.contains(':') => {
            parse_port(port.as_bytes())?;
            Some(IpAddr::V4(address.parse().ok()?))
        }
        _ => parse_address(text),
    }
}

/// Walks all lines as one list from the right, stops at the first address that is not one of ours.
///
/// `chain` receives the addresses believed, nearest first, the client last; without any the peer is the client.
/// Untrusted peers are not asked. Elements left of the client are its own invention and not looked at.
/// A trusted peer that sends anything else than addresses: refused, since a guess could be anybody's.
pub fn identify<'l>(
    peer: IpAddr,
    lines: impl DoubleEndedIterator<Item = &'l [u8]>,
    trusted: &TrustedNetworks,
    chain: &mut Vec<IpAddr>,
) -> Result<IpAddr, Refusal> {
    chain.clear();
    let mut client = peer;
    for element in lines.rev().flat_map(|line| list::elements(line).rev()) {
        if !trusted.contains(client) {
            break;
        }
        if chain.len() == MOST_HOPS {
            return Err(Refusal::Forwarding);
        }
        client = parse_element(element).ok_or(Refusal::Forwarding)?;
        chain.push(client);
    }
    Ok(client)
}
