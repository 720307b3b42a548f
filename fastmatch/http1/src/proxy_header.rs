//! The PROXY protocol, versions 1 and 2: what a proxy sends before anything else -> the address it speaks for.
//!
//! Strict readings of the specification (haproxy.org/download/2.9/doc/proxy-protocol.txt). The whole header is looked at
//! again with each piece that comes, which is cheap because it is bounded; nothing is kept between calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// With its line end.
const LINE_BYTES: usize = 107;
const FIXED_BYTES: usize = 16;
/// Of version 2, behind the fixed part: addresses and as many extensions as anybody sends.
const MOST_BYTES: usize = 4096;
const CHECKSUM: u8 = 0x03;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse {
    Incomplete,
    Complete {
        /// Bytes of the header; what follows is the client's.
        length: usize,
        /// None: the proxy speaks for itself (a health check), or does not know.
        source: Option<IpAddr>,
    },
}

/// Which rule the bytes break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// `data`: everything since the connection began. What is refused is refused however much follows.
pub fn parse(data: &[u8]) -> Result<Parse, Fault> {
    if begins(data, SIGNATURE_1) {
        line(data)
    } else if begins(data, SIGNATURE_2) {
        binary(data)
    } else {
        Err(Fault("not a PROXY header"))
    }
}

/// As far as both reach.
fn begins(data: &[u8], signature: &[u8]) -> bool {
    data.iter()
        .zip(signature)
        .all(|(found, wanted)| found == wanted)
}

fn line(data: &[u8]) -> Result<Parse, Fault> {
    let start = &data[..data.len().min(LINE_BYTES)];
    let Some(end) = start.iter().position(|octet| !matches!(octet, b' '..=b'~')) else {
        return if start.len() == LINE_BYTES {
            Err(Fault("line of more than 107 bytes"))
        } else {
            Ok(Parse::Incomplete)
        };
    };
    match &start[end..] {
        [b'\r', b'\n', ..] => Ok(Parse::Complete {
            length: end + 2,
            source: line_source(&start[..end])?,
        }),
        [b'\r'] if start.len() < LINE_BYTES => Ok(Parse::Incomplete),
        _ => Err(Fault("line that does not end in CR LF")),
    }
}

fn line_source(line: &[u8]) -> Result<Option<IpAddr>, Fault> {
    let text = std::str::from_utf8(line).map_err(|_| Fault("line that is no text"))?;
    let mut words = text.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(None);
    }
    let (Some(source), Some(destination), Some(from), Some(to), None) = (
        words.next(),
        words.next(),
        words.next(),
        words.next(),
        words.next(),
    ) else {
        return Err(Fault("not two addresses and two ports"));
    };
    let (source, destination) = match family {
        Some("TCP4") => (version4(source), version4(destination)),
        Some("TCP6") => (version6(source), version6(destination)),
        _ => return Err(Fault("neither TCP4, TCP6 nor UNKNOWN")),
    };
    if destination.is_none() || !is_port(from) || !is_port(to) {
        return Err(Fault("address or port that is none"));
    }
    source
        .map(Some)
        .ok_or(Fault("address or port that is none"))
}

fn version4(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

fn version6(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv6Addr>()
        .ok()
        .map(|address| IpAddr::V6(address).to_canonical())
}

/// Decimal, without leading zeros.
fn is_port(text: &str) -> bool {
    let is_canonical = text == "0" || !text.starts_with('0');
    is_canonical
        && text.len() <= 5
        && text.bytes().all(|octet| octet.is_ascii_digit())
        && text.parse::<u16>().is_ok()
}

fn binary(data: &[u8]) -> Result<Parse, Fault> {
    let command = data.get(12).map(|octet| (octet >> 4, octet & 15));
    let speaks_for_others = match command {
        None => return Ok(Parse::Incomplete),
        Some((2, 0)) => false,
        Some((2, 1)) => true,
        Some(_) => return Err(Fault("neither LOCAL nor PROXY of version 2")),
    };
    let Some(&family) = data.get(13) else {
        return Ok(Parse::Incomplete);
    };
    let address_bytes = if speaks_for_others {
        address_bytes(family)?
    } else {
        0
    };
    let Some(&[high, low]) = data.get(14..FIXED_BYTES) else {
        return Ok(Parse::Incomplete);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST_BYTES {
        return Err(Fault("more than 4096 bytes of addresses and extensions"));
    }
    if length < address_bytes {
        return Err(Fault("fewer bytes than its addresses need"));
    }
    let Some(header) = data.get(..FIXED_BYTES + length) else {
        return Ok(Parse::Incomplete);
    };
    // Without addresses nobody says where extensions begin, and nothing of them would be used.
    if address_bytes > 0 {
        extensions(header, FIXED_BYTES + address_bytes)?;
    }
    Ok(Parse::Complete {
        length: header.len(),
        source: binary_source(&header[FIXED_BYTES..], address_bytes),
    })
}

/// Source and destination with their ports; datagrams are not what arrives on a TCP listener.
fn address_bytes(family: u8) -> Result<usize, Fault> {
    match family {
        0x00 => Ok(0),
        0x11 => Ok(12),
        0x21 => Ok(36),
        0x31 => Ok(216),
        _ => Err(Fault("no family of stream addresses")),
    }
}

fn binary_source(addresses: &[u8], address_bytes: usize) -> Option<IpAddr> {
    match address_bytes {
        12 => {
            let octets: [u8; 4] = addresses.get(..4)?.try_into().ok()?;
            Some(IpAddr::from(octets))
        }
        36 => {
            let octets: [u8; 16] = addresses.get(..16)?.try_into().ok()?;
            Some(IpAddr::from(octets).to_canonical())
        }
        _ => None,
    }
}

/// Type, length and value each, to the very end; a checksum has to be right.
fn extensions(header: &[u8], start: usize) -> Result<(), Fault> {
    let mut position = start;
    while position < header.len() {
        let Some(&[kind, high, low]) = header.get(position..position + 3) else {
            return Err(Fault("extension that is cut short"));
        };
        let value = position + 3;
        position = value + usize::from(u16::from_be_bytes([high, low]));
        if position > header.len() {
            return Err(Fault("extension that is cut short"));
        }
        if kind == CHECKSUM
            && header[value..position] != checksum(header, value, position).to_be_bytes()
        {
            return Err(Fault("wrong checksum"));
        }
    }
    Ok(())
}

/// Castagnoli's CRC-32 of the header with zeros in the place of the checksum itself.
fn checksum(header: &[u8], start: usize, end: usize) -> u32 {
    let octets = header.iter().enumerate();
    !octets.fold(u32::MAX, |sum, (index, &octet)| {
        let octet = if (start..end).contains(&index) {
            0
        } else {
            octet
        };
        (0..8).fold(sum ^ u32::from(octet), |sum, _| {
            if sum & 1 == 1 {
                (sum >> 1) ^ 0x82f6_3b78
            } else {
                sum >> 1
            }
        })
    })
}
