//! What an entry speaks about: a network, or a domain with its rule.

use std::fmt;

use crate::address::{Network, NetworkError, parse_ipv4};
use crate::name::{Name, NameError};

/// Which names a domain entry covers. The order is that of specificity on the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rule {
    /// The name and everything below it.
    Suffix = 0,
    /// Only what is below the name.
    Below = 1,
    /// Only the name itself.
    Exact = 2,
}

impl Rule {
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Suffix, Self::Below, Self::Exact]
            .get(usize::from(code))
            .copied()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Suffix => "suffix",
            Self::Below => "below",
            Self::Exact => "exact",
        }
    }
}

/// Always canonical.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    Network(Network),
    Domain { name: Box<str>, rule: Rule },
}

/// Why a text is not a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    Network(NetworkError),
    Name(NameError),
}

impl fmt::Display for TargetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(NetworkError::Address) => {
                formatter.write_str("not an IPv4 or IPv6 address")
            }
            Self::Network(NetworkError::Length) => {
                formatter.write_str("the prefix length is not one its family has")
            }
            Self::Network(NetworkError::HostBits) => {
                formatter.write_str("the network has host bits set")
            }
            Self::Network(NetworkError::NotOneAddress) => {
                formatter.write_str("a network, where one address or name is asked for")
            }
            Self::Name(error) => error.fmt(formatter),
        }
    }
}

impl From<NameError> for TargetError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<NetworkError> for TargetError {
    fn from(error: NetworkError) -> Self {
        Self::Network(error)
    }
}

/// Whether a text can only be meant as an address: it has a colon, a slash or four decimal octets.
pub fn looks_like_network(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b':' | b'/')) || parse_ipv4(text).is_some()
}

impl Target {
    /// `rule` is for domains; networks have none.
    pub fn parse(text: &[u8], rule: Rule) -> Result<Self, TargetError> {
        if looks_like_network(text) {
            return Ok(Self::Network(Network::parse(text, false)?));
        }
        match Name::parse_checked(text) {
            Ok(name) => Ok(Self::Domain {
                name: name.as_str().into(),
                rule,
            }),
            // `1.2.3` or `1.2.3.256` was meant as an address.
            Err(NameError::NumericLastLabel) => Err(NetworkError::Address.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// `network`, `suffix`, `below` or `exact`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Network(_) => "network",
            Self::Domain { rule, .. } => rule.name(),
        }
    }

    /// Larger is more specific; comparable between targets that cover one subject.
    pub fn specificity(&self) -> u16 {
        match self {
            Self::Network(network) => u16::from(network.length()),
            Self::Domain { name, rule } => domain_specificity(name.as_bytes(), *rule),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(formatter),
            Self::Domain { name, .. } => formatter.write_str(name),
        }
    }
}

/// Labels first, then the rule: `below` covers less than `suffix`, `exact` less than either.
pub fn domain_specificity(name: &[u8], rule: Rule) -> u16 {
    label_count(name) * 4 + rule as u16
}

/// At most 127 in a name of 253 bytes.
#[expect(
    clippy::naive_bytecount,
    reason = "a name is short, a crate for it is not worth it"
)]
pub fn label_count(name: &[u8]) -> u16 {
    u16::try_from(name.iter().filter(|byte| **byte == b'.').count()).unwrap_or(u16::MAX / 8) + 1
}
