//! Request targets and hosts (RFC 9112 sections 3.2, 3.3; RFC 9110 section 7.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::Refusal;
use crate::octets::{is_host_label, is_target};

/// RFC 1035 section 2.3.4, without the trailing dot.
const NAME_BYTES: usize = 253;

/// `host [":" port]`, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// As received, with the port.
    pub text: &'a [u8],
    /// Without the port; an IPv6 literal keeps its brackets.
    pub name: &'a [u8],
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Refuses user information, paths, lists, blanks, percent-encoding, the empty host, and every name that no list
    /// could hold: unjudged, it would reach a gateway that answers for a whole domain.
    pub fn parse(text: &'a [u8]) -> Result<Self, Refusal> {
        let name_length = match text.first() {
            Some(b'[') => {
                let end = text.iter().position(|&octet| octet == b']');
                let end = end.ok_or(Refusal::Host)?;
                let literal = std::str::from_utf8(&text[1..end]).map_err(|_| Refusal::Host)?;
                literal.parse::<Ipv6Addr>().map_err(|_| Refusal::Host)?;
                end + 1
            }
            _ => text
                .iter()
                .position(|&octet| octet == b':')
                .unwrap_or(text.len()),
        };
        let (name, rest) = text.split_at(name_length);
        if name.first() != Some(&b'[') && !is_host_name(name) {
            return Err(Refusal::Host);
        }
        let port = match rest {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(parse_port(digits).ok_or(Refusal::Host)?),
            _ => return Err(Refusal::Host),
        };
        Ok(Self { text, name, port })
    }

    /// The same place, whatever the case and whether the scheme's own port is spelled out.
    pub fn is_same(&self, other: &Self, default_port: u16) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// Labels as DNS has them and one trailing dot at most, or an IPv4 address in its one strict form: `2130706433`, `127.1`
/// and `0x7f.0.0.1` are addresses to some (WHATWG URL, host parsing).
fn is_host_name(text: &[u8]) -> bool {
    let name = text.strip_suffix(b".").unwrap_or(text);
    if name.len() > NAME_BYTES {
        return false;
    }
    let mut last = name;
    for label in name.split(|&octet| octet == b'.') {
        if !is_host_label(label) {
            return false;
        }
        last = label;
    }
    !last[0].is_ascii_digit() || !is_number(last) || is_ipv4(text)
}

fn is_number(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

fn is_ipv4(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv4Addr>().is_ok())
}

/// Digits only; five at most.
pub fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The forms of a request target, without authority-form: CONNECT is refused before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Path and query, byte for byte.
    Origin(&'a [u8]),
    /// `rest` is path and query as received: empty, or beginning with `/` or `?`.
    Absolute {
        host: Host<'a>,
        default_port: u16,
        rest: &'a [u8],
    },
    Asterisk,
}

impl<'a> Target<'a> {
    /// `is_options`: the asterisk belongs to OPTIONS alone.
    pub fn parse(text: &'a [u8], is_options: bool) -> Result<Self, Refusal> {
        if !is_target(text) {
            return Err(Refusal::StartLine);
        }
        match text {
            [b'/', ..] => Ok(Self::Origin(text)),
            b"*" if is_options => Ok(Self::Asterisk),
            _ => Self::parse_absolute(text),
        }
    }

    fn parse_absolute(text: &'a [u8]) -> Result<Self, Refusal> {
        let (rest, default_port) = if let Some(rest) = strip_scheme(text, b"http://") {
            (rest, 80)
        } else if let Some(rest) = strip_scheme(text, b"https://") {
            (rest, 443)
        } else {
            return Err(Refusal::Target);
        };
        let end = rest
            .iter()
            .position(|&octet| matches!(octet, b'/' | b'?'))
            .unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let host = Host::parse(authority).map_err(|_| Refusal::Target)?;
        Ok(Self::Absolute {
            host,
            default_port,
            rest,
        })
    }

    /// Path and query as they go upstream, in at most two pieces: an empty path becomes `/`, or `*` for OPTIONS.
    pub fn path(&self, is_options: bool) -> (&'static [u8], &'a [u8]) {
        match *self {
            Self::Origin(path) => (b"", path),
            Self::Asterisk => (b"*", b""),
            Self::Absolute { rest: [], .. } if is_options => (b"*", b""),
            Self::Absolute { rest, .. } if rest.first() == Some(&b'/') => (b"", rest),
            Self::Absolute { rest, .. } => (b"/", rest),
        }
    }
}

fn strip_scheme<'a>(text: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// The host in an `Origin` or `Referer` value; None for `null`, a relative reference or anything odd.
pub fn host_of_url(url: &[u8]) -> Option<&[u8]> {
    let scheme_length = url.windows(3).position(|window| window == b"://")?;
    let (scheme, rest) = (&url[..scheme_length], &url[scheme_length + 3..]);
    // `/login?next=https://a.example/` names no host.
    if !scheme
        .iter()
        .all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(octet))
    {
        return None;
    }
    let end = rest
        .iter()
        .position(|&octet| matches!(octet, b'/' | b'?' | b'#' | b'\\'))
        .unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = match authority.iter().rposition(|&octet| octet == b'@') {
        Some(at) => &authority[at + 1..],
        None => authority,
    };
    Host::parse(host).ok().map(|host| host.name)
}
