//! The evidence file: every entry as it was listed, for `explain`.
//!
//! Networks are sorted by (start, length): one binary search per prefix length finds what covers an address. Domain entries
//! are in the order of the names in the decision file of the same compilation (`domains/marks.rs`). Cost per entry: 9 bytes
//! (IPv4), 21 (IPv6), 2 to 5 (domain), and 24 per distinct fact.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use crate::address::{Address, Network, mask4, mask6};
use crate::builder::Fact;
use crate::decision::{Compiled, Decision};
use crate::domains::DomainEvidence;
use crate::entry::{Entry, Origin, Statement};
use crate::image::{Image, ImageError, Rendering, Section, SectionId};
use crate::labels::{Labels, StringTables, Strings};
use crate::memory::{Plain, Region, Table};
use crate::target::Target;
use crate::verdict::Disposition;

const MAGIC: [u8; 8] = *b"SNTREVDC";
const NETWORKS4: u32 = 1;
const NETWORKS6: u32 = 4;
const FACTS: SectionId = SectionId(16);
const REASON_ENDS: SectionId = SectionId(17);
const REASON_TEXT: SectionId = SectionId(18);

impl Compiled<'_> {
    pub fn render_evidence(&self) -> Rendering<'_> {
        let builder = self.builder;
        let (sorted4, sorted6) = (&builder.entries4, &builder.entries6);
        let reasons = StringTables::new(builder.facts.reasons());
        let mut sections = vec![
            Section::column(SectionId(NETWORKS4), sorted4, |entry| entry.start),
            Section::column(SectionId(NETWORKS4 + 1), sorted4, |entry| entry.length),
            Section::column(SectionId(NETWORKS4 + 2), sorted4, |entry| entry.fact),
            Section::column(SectionId(NETWORKS6), sorted6, |entry| entry.start),
            Section::column(SectionId(NETWORKS6 + 1), sorted6, |entry| entry.length),
            Section::column(SectionId(NETWORKS6 + 2), sorted6, |entry| entry.fact),
            Section::column(FACTS, builder.facts.facts(), encode_fact),
            Section::owned(REASON_ENDS, reasons.ends),
            Section::owned(REASON_TEXT, reasons.text),
        ];
        sections.extend(self.domains.evidence_sections());
        sections.extend(self.labels.sections());
        Rendering::new(MAGIC, self.header, sections)
    }
}

fn encode_fact(fact: &Fact) -> [u32; 6] {
    let head =
        u32::from(fact.score_tenths) | (fact.disposition as u32) << 8 | (fact.origin as u32) << 16;
    [
        head,
        fact.attributes,
        fact.reason,
        fact.first_seen,
        fact.last_seen,
        fact.expires,
    ]
}

struct Networks<T> {
    starts: Table<T>,
    lengths: Table<u8>,
    facts: Table<u32>,
}

impl<T: Plain + Ord> Networks<T> {
    fn open(image: &Image, first: u32) -> Result<Self, ImageError> {
        let networks = Self {
            starts: image.table(SectionId(first))?,
            lengths: image.table(SectionId(first + 1))?,
            facts: image.table(SectionId(first + 2))?,
        };
        let count = networks.starts.len();
        if networks.lengths.len() != count || networks.facts.len() != count {
            return Err(ImageError::Mismatch("network tables"));
        }
        Ok(networks)
    }

    /// (start, length, fact) of each entry.
    fn all(&self) -> impl Iterator<Item = (T, u8, u32)> {
        let places = self.starts.iter().zip(self.lengths.iter());
        let facts = self.facts.iter();
        places
            .zip(facts)
            .map(|((start, length), fact)| (*start, *length, *fact))
    }

    /// Facts of exactly this network.
    fn facts(&self, start: T, length: u8) -> &[u32] {
        let from = self.starts.partition_point(|other| *other < start);
        let count = self.starts[from..].partition_point(|other| *other == start);
        let lengths = &self.lengths[from..from + count];
        let first = lengths.partition_point(|other| *other < length);
        let end = lengths.partition_point(|other| *other <= length);
        // A damaged file may be unsorted, so that the borders cross.
        self.facts.get(from + first..from + end).unwrap_or_default()
    }
}

pub(crate) struct Evidence {
    image: Image,
    networks4: Networks<u32>,
    networks6: Networks<u128>,
    domains: DomainEvidence,
    facts: Table<[u32; 6]>,
    reasons: Strings,
    labels: Labels,
}

impl Evidence {
    /// Refused when it is not of the same compilation as the decision file.
    pub fn map(
        path: &Path,
        decision: &Decision,
        prefault: bool,
        verify: bool,
    ) -> Result<Self, ImageError> {
        Self::from_image(Image::map(path, MAGIC, prefault, verify)?, decision)
    }

    pub fn open(region: Region, decision: &Decision) -> Result<Self, ImageError> {
        Self::from_image(Image::open(region, MAGIC)?, decision)
    }

    fn from_image(image: Image, decision: &Decision) -> Result<Self, ImageError> {
        if image.header != *decision.header() {
            return Err(ImageError::Mismatch("decision and evidence file"));
        }
        Ok(Self {
            networks4: Networks::open(&image, NETWORKS4)?,
            networks6: Networks::open(&image, NETWORKS6)?,
            domains: DomainEvidence::open(&image, &decision.domains)?,
            facts: image.table(FACTS)?,
            reasons: Strings::open(&image, REASON_ENDS, REASON_TEXT)?,
            labels: Labels::open(&image)?,
            image,
        })
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    pub fn byte_count(&self) -> usize {
        self.image.bytes().len()
    }

    pub fn covering_address(&self, address: Address) -> Vec<Entry> {
        let mut covering = Vec::new();
        let longest = if matches!(address, Address::V4(_)) {
            32
        } else {
            128
        };
        for length in 0..=longest {
            let (network, facts) = match address {
                Address::V4(bits) => {
                    let start = bits & mask4(length).unwrap_or(0);
                    (
                        Network::V4 { start, length },
                        self.networks4.facts(start, length),
                    )
                }
                Address::V6(bits) => {
                    let start = bits & mask6(length).unwrap_or(0);
                    (
                        Network::V6 { start, length },
                        self.networks6.facts(start, length),
                    )
                }
            };
            covering.extend(facts.iter().filter_map(|fact| {
                Some(Entry {
                    target: Target::Network(network),
                    statement: self.statement(*fact)?,
                })
            }));
        }
        covering
    }

    /// `decision` is the one this was opened with: it knows the names.
    pub fn covering_name(&self, name: &[u8], decision: &Decision) -> Vec<Entry> {
        let covering = self.domains.covering(name, &decision.domains).into_iter();
        let stated = covering.filter_map(|(target, fact)| {
            let statement = self.statement(fact)?;
            Some(Entry { target, statement })
        });
        stated.collect()
    }

    /// Every entry, ordered as the tables are. Entries that say the same share their statement.
    pub fn entries<'a>(&'a self, decision: &'a Decision) -> impl Iterator<Item = Entry> + use<'a> {
        let mut statements: Vec<Option<Arc<Statement>>> = vec![None; self.facts.len()];
        let networks4 = self.networks4.all().filter_map(|(start, length, fact)| {
            let (network, _) = Network::v4(start, length)?;
            Some((Target::Network(network), fact))
        });
        let networks6 = self.networks6.all().filter_map(|(start, length, fact)| {
            let (network, _) = Network::v6(start, length)?;
            Some((Target::Network(network), fact))
        });
        let domains = self.domains.entries(&decision.domains);
        let stated = networks4.chain(networks6).chain(domains);
        stated.filter_map(move |(target, fact)| {
            let known = statements.get_mut(fact as usize)?;
            if known.is_none() {
                *known = self.statement(fact);
            }
            let statement = known.clone()?;
            Some(Entry { target, statement })
        })
    }

    /// None when the tables are damaged.
    fn statement(&self, fact: u32) -> Option<Arc<Statement>> {
        let [head, attributes, reason, first_seen, last_seen, expires] =
            *self.facts.get(fact as usize)?;
        let [score_tenths, disposition, origin, _] = head.to_le_bytes();
        Some(Arc::new(Statement {
            disposition: Disposition::from_code(disposition)?,
            origin: Origin::from_code(origin)?,
            score_tenths,
            sources: self.labels.sources(attributes).map(Into::into).collect(),
            categories: self.labels.categories(attributes).map(Into::into).collect(),
            reason: self.reasons.get(reason).into(),
            first_seen: NonZeroU32::new(first_seen),
            last_seen: NonZeroU32::new(last_seen),
            expires: NonZeroU32::new(expires),
        }))
    }
}
