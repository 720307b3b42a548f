//! The last tie-break, sources and then categories by their texts, as numbers.

use std::cmp::Ordering;

use crate::facts::{Attributes, Fact, Facts};
use crate::rank::VerdictRecord;
use crate::verdict::Disposition;

/// The sets of sources and categories of a list, by the number of the attributes.
pub(crate) struct AttributeOrder {
    /// Place by sources, then categories.
    ranks: Vec<u32>,
    /// The same number for the same sources.
    sources: Vec<u32>,
}

impl AttributeOrder {
    pub fn new(facts: &Facts) -> Self {
        let attributes = facts.attributes();
        let labels = label_ranks(facts.labels());
        let mut order: Vec<_> = (0..attributes.len()).collect();
        order.sort_unstable_by(|a, b| compare(&attributes[*a], &attributes[*b], &labels));
        let (mut ranks, mut sources) = (vec![0; order.len()], vec![0; order.len()]);
        let (mut rank, mut set) = (0, 0);
        for group in order.chunk_by(|a, b| attributes[*a].sources == attributes[*b].sources) {
            for index in group {
                ranks[*index] = rank;
                sources[*index] = set;
                rank += 1;
            }
            set += 1;
        }
        Self { ranks, sources }
    }

    /// Equal for equal sets of sources.
    pub fn sources(&self, attributes: u32) -> u32 {
        self.sources[attributes as usize]
    }

    /// Each distinct verdict once, so that of two that are equal otherwise the one with the smaller number decides.
    pub fn verdicts(&self, facts: &Facts) -> Vec<VerdictRecord> {
        let can_decide =
            |fact: &&Fact| matches!(fact.disposition, Disposition::Block | Disposition::Allow);
        let candidates = facts.facts().iter().filter(can_decide);
        let mut verdicts: Vec<_> = candidates.map(verdict_record).collect();
        verdicts
            .sort_unstable_by_key(|[head, attributes]| (self.ranks[*attributes as usize], *head));
        verdicts.dedup();
        verdicts
    }
}

pub(crate) fn verdict_record(fact: &Fact) -> VerdictRecord {
    let head = fact.disposition as u32 | u32::from(fact.score_tenths) << 8;
    [head, fact.attributes]
}

/// Texts are compared once each, not once per set that names them.
fn label_ranks(labels: &[Box<str>]) -> Vec<u32> {
    let mut order: Vec<_> = (0..labels.len()).collect();
    order.sort_unstable_by_key(|index| &labels[*index]);
    let mut ranks = vec![0; labels.len()];
    for (rank, index) in (0..).zip(order) {
        ranks[index] = rank;
    }
    ranks
}

fn compare(one: &Attributes, other: &Attributes, labels: &[u32]) -> Ordering {
    let rank = |number: &u32| labels[*number as usize];
    let by_texts = |one: &[u32], other: &[u32]| one.iter().map(rank).cmp(other.iter().map(rank));
    by_texts(&one.sources, &other.sources)
        .then_with(|| by_texts(&one.categories, &other.categories))
}
