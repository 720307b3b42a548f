//! Why a subject has its verdict: every entry that covers it, strongest first.

use std::cmp::Reverse;
use std::fmt;

use crate::address::{Address, Network, NetworkError};
use crate::compile::Layer;
use crate::entry::{Entry, Origin};
use crate::list::Blocklist;
use crate::name::{Name, NameError};
use crate::target::{TargetError, looks_like_network};
use crate::verdict::Disposition;

/// What is judged: an address or a host name.
#[expect(clippy::large_enum_variant, reason = "lives on the stack for one call")]
pub enum Subject {
    Address(Address),
    Name(Name),
}

impl Subject {
    /// A network counts as its address only when it is a single one.
    pub fn parse(text: &[u8]) -> Result<Self, TargetError> {
        if looks_like_network(text) {
            let network = Network::parse(text, false)?;
            return if network.is_host() {
                Ok(Self::Address(network.first()))
            } else {
                Err(NetworkError::NotOneAddress.into())
            };
        }
        match Name::parse(text) {
            Ok(name) => Ok(Self::Name(name)),
            Err(NameError::NumericLastLabel) => Err(NetworkError::Address.into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name.as_str()),
        }
    }
}

/// The list was opened without its evidence file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEvidence;

impl fmt::Display for NoEvidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the list was opened without its evidence file")
    }
}

impl std::error::Error for NoEvidence {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covering {
    pub entry: Entry,
    pub is_live: bool,
    pub is_vetoed: bool,
    pub decided: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub subject: String,
    /// See `Blocklist::verdict`.
    pub verdict: Option<u32>,
    pub covering: Vec<Covering>,
    pub version: (u64, u64),
}

pub(crate) fn explain(list: &Blocklist, subject: &Subject) -> Result<Explanation, NoEvidence> {
    let mut entries = covering_entries(list, subject)?;
    entries.sort_by_cached_key(|entry| {
        let statement = entry.statement.clone();
        let rank = match statement.disposition {
            Disposition::Allow => 0,
            Disposition::KnownGood => 1,
            Disposition::Block => 2,
            Disposition::Tombstone => 3,
        };
        let strength = Reverse((statement.score_tenths, entry.target.specificity()));
        let sets = (statement.sources.clone(), statement.categories.clone());
        // Among equals what lives longest; then anything that is the same on every machine.
        let expires = Reverse(
            statement
                .expires
                .map_or(u32::MAX, std::num::NonZeroU32::get),
        );
        (rank, strength, statement.origin, sets, expires, statement)
    });
    entries.dedup();
    let now = list.clock().now();
    let is_known_good = entries
        .iter()
        .any(|entry| entry.statement.disposition == Disposition::KnownGood);
    let mut is_decided = false;
    let covering = entries.into_iter().map(|entry| {
        let statement = &entry.statement;
        let is_live = statement.is_live(now);
        let is_vetoed = is_known_good
            && statement.origin == Origin::Feed
            && statement.disposition == Disposition::Block;
        let can_decide = is_live && !is_vetoed && statement.disposition != Disposition::KnownGood;
        let decided = can_decide && !is_decided;
        is_decided |= decided;
        Covering {
            entry,
            is_live,
            is_vetoed,
            decided,
        }
    });
    Ok(Explanation {
        subject: subject.to_string(),
        covering: covering.collect(),
        verdict: list.lookup_subject(subject).map(|verdict| verdict.id()),
        version: list.version(),
    })
}

/// What base and overlay list, without what the overlay removes.
fn covering_entries(list: &Blocklist, subject: &Subject) -> Result<Vec<Entry>, NoEvidence> {
    let of_layer = |layer: &Layer| {
        let evidence = layer.evidence.as_ref().ok_or(NoEvidence)?;
        Ok(match subject {
            Subject::Address(address) => evidence.covering_address(*address),
            Subject::Name(name) => evidence.covering_name(name.as_bytes(), &layer.decision),
        })
    };
    let mut entries = of_layer(&list.base)?;
    if let Some(overlay) = &list.overlay {
        let (tombstones, added): (Vec<_>, Vec<_>) = of_layer(overlay)?
            .into_iter()
            .partition(Entry::is_tombstone);
        entries.retain(|entry| !tombstones.iter().any(|tombstone| tombstone.removes(entry)));
        entries.extend(added);
    }
    Ok(entries)
}
