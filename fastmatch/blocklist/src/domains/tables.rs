//! Names and their values to the tables of both files.

use crate::builder::Builder;
use crate::chains::Chains;
use crate::image::Section;

use super::buckets::{MAX_PROBES, Shape, Slot, SlotTable};
use super::compose::{Values, compose};
use super::gather::Names;
use super::marks::MarkTables;
use super::placement::{Placement, bits_for};
use super::suffix::NameHasher;
use super::texts::{APART, INLINE, TextTables};
use super::{HEAD, HEAD_WORDS, Head, PAIRS, SLOTS, TEXT};

/// A key that does not fit is rarer than one in a million; the last is taken as it is.
pub(super) const MAX_ATTEMPTS: u64 = 8;

/// The compiled form.
#[derive(Default)]
pub(crate) struct DomainTables {
    head: [u64; HEAD_WORDS],
    slots: SlotTable,
    pairs: Vec<[u32; 2]>,
    texts: TextTables,
    marks: MarkTables,
}

/// `is_compact`: no text in the decision file, long fingerprints stand for it.
pub(crate) fn build(
    builder: &Builder,
    key: u64,
    chains: &mut Chains,
    is_compact: bool,
) -> DomainTables {
    let attempts = 0..if builder.domains.is_empty() {
        0
    } else {
        MAX_ATTEMPTS
    };
    let tables = attempts.into_iter().find_map(|attempt| {
        let hasher = NameHasher::new(key.wrapping_add(attempt));
        if is_compact {
            DomainTables::new::<u64>(builder, &hasher, attempt, chains)
        } else {
            DomainTables::new::<u32>(builder, &hasher, attempt, chains)
        }
    });
    tables.unwrap_or_default()
}

/// Whether the first slot with its fingerprint is each name's own.
fn finds_every_name<S: Slot>(
    shape: &Shape,
    slots: &[S],
    names: &Names,
    placement: &Placement,
) -> bool {
    let mut names = names.hashes.iter().zip(placement.places());
    names.all(|(hash, place)| {
        let mut first = None;
        shape.find(slots, *hash, |_, bucket, slot| {
            first = Some((bucket, slot));
            true
        });
        first == Some(place)
    })
}

impl DomainTables {
    /// None when the key sends a name too far from its home, or makes two names one where no text tells them apart.
    pub(super) fn new<S: Slot>(
        builder: &Builder,
        hasher: &NameHasher,
        attempt: u64,
        chains: &mut Chains,
    ) -> Option<Self> {
        let is_last = attempt + 1 == MAX_ATTEMPTS;
        let names = Names::gather(builder, hasher);
        let placement = Placement::new::<S>(&names.hashes);
        if placement.max_probes > MAX_PROBES && !is_last {
            return None;
        }
        let Values {
            pairs,
            of_names,
            label_counts,
        } = compose(&names, hasher, placement.homes, chains);
        let shape = Shape {
            homes: placement.homes,
            value_bits: bits_for(pairs.len()),
            max_probes: placement.max_probes,
        };
        let slots = placement.slots::<S>(&names.hashes, &of_names, shape.value_bits);
        if !S::HAS_TEXT && !is_last && !finds_every_name(&shape, &slots, &names, &placement) {
            return None;
        }
        let head = Head {
            shape,
            label_counts,
            attempt,
        };
        let marks = MarkTables::new(&names, &placement);
        let mut slots = S::table(slots);
        let mut records = Vec::new();
        match &mut slots {
            SlotTable::Narrow(slots) => INLINE.write(slots, &names.ends, &placement),
            SlotTable::Wide(_) => {
                records.resize(placement.count * APART.words, 0);
                APART.write(&mut records, &names.ends, &placement);
            }
        }
        let text = names.text;
        Some(Self {
            head: head.words(),
            slots,
            pairs,
            texts: TextTables { records, text },
            marks,
        })
    }

    /// Distinct entries.
    pub fn entry_count(&self) -> usize {
        self.marks.len()
    }

    pub fn sections(&self) -> Vec<Section<'_>> {
        let mut sections = vec![
            Section::new(HEAD, &self.head),
            Section::new(PAIRS, &self.pairs),
        ];
        match &self.slots {
            SlotTable::Narrow(slots) => {
                sections.push(Section::new(SLOTS, slots));
                sections.push(Section::new(TEXT, &self.texts.text));
            }
            SlotTable::Wide(slots) => sections.push(Section::new(SLOTS, slots)),
        }
        sections
    }

    pub fn evidence_sections(&self) -> Vec<Section<'_>> {
        let is_compact = matches!(self.slots, SlotTable::Wide(_));
        self.marks.sections(is_compact.then_some(&self.texts))
    }
}
