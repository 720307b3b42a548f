//! One line of a list to its targets.

use std::fmt;

use super::range::networks_between;
use crate::address::{Address, Network, NetworkError, parse_address, parse_ipv4};
use crate::name::{NameBuffer, NameError, canonical_entry, is_canonical_entry};
use crate::target::{Rule, TargetError, looks_like_network};

/// Why a line is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineError {
    /// Not a statement about anything: comments, headings, `create` of ipset.
    Ignored,
    Target(TargetError),
    TextBehind,
    Range,
    NotSinkhole,
    NoName,
    NotNetwork,
    Exception,
    NoScore,
    ScoreRange,
}

impl fmt::Display for LineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Target(error) => return error.fmt(formatter),
            Self::Ignored => "nothing stated",
            Self::TextBehind => "text behind the target",
            Self::Range => "the range ends before it begins or mixes families",
            Self::NotSinkhole => "does not begin with 0.0.0.0, 127.0.0.1, :: or ::1",
            Self::NoName => "no name behind the address",
            Self::NotNetwork => "not an address or network",
            Self::Exception => "an exception, not an entry",
            Self::NoScore => "the score column is missing or not a number",
            Self::ScoreRange => "the score is not between 0 and 10",
        })
    }
}

impl From<NetworkError> for LineError {
    fn from(error: NetworkError) -> Self {
        Self::Target(error.into())
    }
}

impl From<NameError> for LineError {
    fn from(error: NameError) -> Self {
        Self::Target(error.into())
    }
}

/// What one line speaks about; the same memory for every line.
pub(super) struct Targets {
    pub networks: Vec<Network>,
    /// End of the name in `text`.
    names: Vec<(usize, Rule)>,
    text: Vec<u8>,
    buffer: NameBuffer,
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            names: Vec::new(),
            text: Vec::new(),
            buffer: [0; 256],
        }
    }
}

impl Targets {
    pub fn clear(&mut self) {
        self.networks.clear();
        self.names.clear();
        self.text.clear();
    }

    pub fn names(&self) -> impl Iterator<Item = (&[u8], Rule)> {
        let mut start = 0;
        self.names.iter().map(move |(end, rule)| {
            let name = &self.text[start..*end];
            start = *end;
            (name, *rule)
        })
    }

    fn push_name(&mut self, text: &[u8], rule: Rule) -> Result<(), NameError> {
        let name = canonical_entry(text, &mut self.buffer)?;
        self.text.extend_from_slice(name);
        self.names.push((self.text.len(), rule));
        Ok(())
    }
}

pub(super) fn is_comment(line: &[u8]) -> bool {
    matches!(line, [b'#' | b';' | b'!', ..] | [b'/', b'/', ..])
}

/// Without a trailing comment: from a `#` or `;` on, or from a word that begins one.
fn without_comment(line: &[u8]) -> &[u8] {
    let starts_comment = |at: usize| {
        matches!(line[at], b'#' | b';')
            || (line[at].is_ascii_whitespace() && is_comment(&line[at + 1..]))
    };
    let end = (0..line.len())
        .find(|at| starts_comment(*at))
        .unwrap_or(line.len());
    line[..end].trim_ascii_end()
}

/// The words of a line.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// What nearly every line is, and nothing else could be: an address, or a canonical name.
#[derive(Clone, Copy)]
pub(super) enum Simple<'a> {
    Address(u32),
    Name(&'a [u8]),
}

/// Reads a line once where `plain` reads it five times. None: `plain` must look.
#[inline]
pub(super) fn simple(line: &[u8]) -> Option<Simple<'_>> {
    let begins_with_digit = line.first()?.is_ascii_digit();
    if begins_with_digit {
        if let Some(bits) = parse_ipv4(line) {
            return Some(Simple::Address(bits));
        }
        // Perhaps a range.
        if line.contains(&b'-') {
            return None;
        }
    }
    is_canonical_entry(line).then_some(Simple::Name(line))
}

pub(super) fn plain(line: &[u8], rule: Rule, targets: &mut Targets) -> Result<(), LineError> {
    let text = without_comment(line);
    if take_range(text, targets)? {
        return Ok(());
    }
    if text.iter().any(u8::is_ascii_whitespace) {
        return Err(LineError::TextBehind);
    }
    if looks_like_network(text) {
        targets.networks.push(Network::parse(text, true)?);
        return Ok(());
    }
    let (name, rule) = match text {
        [b'@', b'@', ..] => return Err(LineError::Exception),
        [b'|', b'|', name @ .., b'^'] => (name, Rule::Suffix),
        [b'*', b'.', name @ ..] => (name, Rule::Below),
        // A dot alone stays itself, to be refused as the root.
        [b'.', name @ ..] if !name.is_empty() => (name, Rule::Suffix),
        [b'=', name @ ..] => (name, Rule::Exact),
        name => (name, rule),
    };
    match targets.push_name(name, rule) {
        Err(NameError::NumericLastLabel) => Err(NetworkError::Address.into()),
        pushed => Ok(pushed?),
    }
}

/// `first-last`, spaces allowed around the dash.
fn take_range(text: &[u8], targets: &mut Targets) -> Result<bool, LineError> {
    let Some(dash) = text.iter().position(|byte| *byte == b'-') else {
        return Ok(false);
    };
    let Some(first) = parse_address(text[..dash].trim_ascii_end()) else {
        return Ok(false);
    };
    let last = parse_address(text[dash + 1..].trim_ascii_start()).ok_or(NetworkError::Address)?;
    let networks = networks_between(first, last).ok_or(LineError::Range)?;
    targets.networks.extend(networks);
    Ok(true)
}

/// Names that every hosts file gives to the machine itself.
const LOCAL_NAMES: [&[u8]; 12] = [
    b"localhost",
    b"localhost.localdomain",
    b"localhost4",
    b"localhost6",
    b"local",
    b"broadcasthost",
    b"ip6-localhost",
    b"ip6-loopback",
    b"ip6-localnet",
    b"ip6-mcastprefix",
    b"ip6-allnodes",
    b"ip6-allrouters",
];

pub(super) fn hosts(line: &[u8], rule: Rule, targets: &mut Targets) -> Result<(), LineError> {
    let mut words = words(without_comment(line));
    let address = parse_address(words.next().unwrap_or_default());
    let mut names = words.peekable();
    let is_sinkhole = match address {
        None => return Err(LineError::NotSinkhole),
        Some(Address::V4(bits)) => bits == 0 || bits >> 24 == 127,
        Some(Address::V6(bits)) => bits <= 1,
    };
    let first = *names.peek().ok_or(LineError::NoName)?;
    if first == b"0.0.0.0"
        || LOCAL_NAMES
            .iter()
            .any(|name| first.eq_ignore_ascii_case(name))
    {
        return Err(LineError::Ignored);
    }
    if !is_sinkhole {
        return Err(LineError::NotSinkhole);
    }
    for name in names {
        targets.push_name(name, rule)?;
    }
    Ok(())
}

pub(super) fn netset(line: &[u8], targets: &mut Targets) -> Result<(), LineError> {
    let text = without_comment(line);
    if take_range(text, targets)? {
        return Ok(());
    }
    let mut words = words(text);
    let first = words.next().unwrap_or_default();
    let network = match first {
        b"create" | b"flush" | b"destroy" | b"swap" | b"COMMIT" => return Err(LineError::Ignored),
        b"add" | b"-A" => words.nth(1).ok_or(LineError::NotNetwork)?,
        network => {
            if words.next().is_some() {
                return Err(LineError::TextBehind);
            }
            network
        }
    };
    if words.any(|word| word == b"nomatch") {
        return Err(LineError::Exception);
    }
    if take_range(network, targets)? {
        return Ok(());
    }
    if !looks_like_network(network) {
        return Err(LineError::NotNetwork);
    }
    targets.networks.push(Network::parse(network, true)?);
    Ok(())
}

/// A field by number; quotes around a field are taken off and hide delimiters. None when the line has fewer.
pub(super) fn field(line: &[u8], delimiter: u8, number: usize) -> Option<&[u8]> {
    let mut is_quoted = false;
    let mut fields = line.split(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == delimiter && !is_quoted
    });
    let field = fields.nth(number)?.trim_ascii();
    match field {
        [b'"', inner @ .., b'"'] => Some(inner.trim_ascii()),
        field => Some(field),
    }
}

/// A finite decimal number.
pub(super) fn number(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}
