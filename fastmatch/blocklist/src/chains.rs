//! Chains: what is left to decide about one piece of address space or one domain node.
//!
//! A chain holds the entries that cover the piece, strongest first, without those that can never decide: behind an entry
//! that outlives them. A feed's block does not hide operators' and incidents' entries behind it, because a known-good
//! entry (of an overlay, or on a smaller piece) may still veto it. `known_good` is resolved here: a vetoed chain holds no
//! feed's block. Equal chains are stored once; chain 0 is "nothing covers".

use std::cmp::Reverse;

use rapidhash::RapidHashMap;

use crate::builder::Facts;
use crate::verdict::Disposition;

/// `Origin::Feed` as the strength has it: larger is stronger.
const FEED: u64 = 0;

/// One covering entry as the one rule for verdicts ranks it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Candidate {
    /// allow (1 bit), score (7), specificity (16), origin (2), rank of sources and categories (38).
    strength: u64,
    verdict: u32,
    /// 0 = never.
    expires: u32,
}

impl Candidate {
    fn is_feed(self) -> bool {
        self.strength >> 38 & 3 == FEED
    }

    fn lives_until(self) -> u32 {
        if self.expires == 0 {
            u32::MAX
        } else {
            self.expires
        }
    }

    /// [verdict, expires, specificity and origin]: see `decision`.
    pub fn encode(self) -> [u32; 3] {
        let specificity = (self.strength >> 40) & 0xffff;
        let origin = 2 - (self.strength >> 38 & 3);
        [
            self.verdict,
            self.expires,
            u32::try_from(specificity | origin << 16).unwrap_or(0),
        ]
    }
}

/// A fact's part of a candidate; the specificity comes with the target.
#[derive(Clone, Copy)]
enum Role {
    Candidate(Candidate),
    KnownGood,
}

/// One distinct verdict.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct VerdictKey {
    pub disposition: Disposition,
    pub score_tenths: u8,
    pub attributes: u32,
}

#[derive(PartialEq, Eq, Hash)]
struct ChainKey {
    is_vetoed: bool,
    candidates: Box<[Candidate]>,
}

pub(crate) struct Chains {
    roles: Vec<Role>,
    verdicts: Vec<VerdictKey>,
    /// Chain n is `candidates[ends[n - 1]..ends[n]]`.
    ends: Vec<u32>,
    vetoed: Vec<bool>,
    candidates: Vec<Candidate>,
    numbers: RapidHashMap<ChainKey, u32>,
    single_numbers: RapidHashMap<Candidate, u32>,
    scratch: Vec<Candidate>,
}

impl Chains {
    pub fn new(facts: &Facts) -> Self {
        let ranks = attribute_ranks(facts);
        let mut verdicts = Vec::new();
        let mut verdict_numbers: RapidHashMap<VerdictKey, u32> = RapidHashMap::default();
        let roles = facts.facts().iter().map(|fact| {
            if fact.disposition == Disposition::KnownGood {
                return Role::KnownGood;
            }
            let key = VerdictKey {
                disposition: fact.disposition,
                score_tenths: fact.score_tenths,
                attributes: fact.attributes,
            };
            let verdict = *verdict_numbers.entry(key).or_insert_with(|| {
                verdicts.push(key);
                u32::try_from(verdicts.len() - 1).unwrap_or(u32::MAX)
            });
            let allow = u64::from(fact.disposition == Disposition::Allow);
            let origin = 2 - fact.origin as u64;
            let rank = ranks.get(fact.attributes as usize).copied().unwrap_or(0);
            Role::Candidate(Candidate {
                strength: allow << 63 | u64::from(fact.score_tenths) << 56 | origin << 38 | rank,
                verdict,
                expires: fact.expires,
            })
        });
        let roles = roles.collect();
        Self {
            roles,
            verdicts,
            ends: vec![0],
            vetoed: vec![false],
            candidates: Vec::new(),
            numbers: RapidHashMap::default(),
            single_numbers: RapidHashMap::default(),
            scratch: Vec::new(),
        }
    }

    /// The chain of what `inherited` holds and the `own` (fact, specificity) pairs together.
    pub fn compose<I>(&mut self, inherited: u32, own: I) -> u32
    where
        I: ExactSizeIterator<Item = (u32, u16)> + Clone,
    {
        if own.len() == 0 {
            return inherited;
        }
        if inherited == 0 && own.len() == 1 {
            if let Some((Role::Candidate(candidate), specificity)) = own
                .clone()
                .next()
                .map(|(fact, specificity)| (self.role(fact), specificity))
            {
                return self.single(ranked(candidate, specificity));
            }
        }
        let mut is_vetoed = self.vetoed[inherited as usize];
        let mut covering = std::mem::take(&mut self.scratch);
        covering.clear();
        covering.extend_from_slice(self.of(inherited));
        for (fact, specificity) in own {
            match self.role(fact) {
                Role::Candidate(candidate) => covering.push(ranked(candidate, specificity)),
                Role::KnownGood => is_vetoed = true,
            }
        }
        if is_vetoed {
            covering.retain(|candidate| !candidate.is_feed() || candidate.is_allow());
        }
        covering.sort_unstable_by_key(|candidate| {
            Reverse((
                candidate.strength,
                candidate.lives_until(),
                candidate.verdict,
            ))
        });
        drop_hidden(&mut covering);
        let number = self.number(is_vetoed, &covering);
        self.scratch = covering;
        number
    }

    fn role(&self, fact: u32) -> Role {
        self.roles[fact as usize]
    }

    fn of(&self, chain: u32) -> &[Candidate] {
        let chain = chain as usize;
        let start = if chain == 0 { 0 } else { self.ends[chain - 1] };
        &self.candidates[start as usize..self.ends[chain] as usize]
    }

    fn single(&mut self, candidate: Candidate) -> u32 {
        if let Some(number) = self.single_numbers.get(&candidate) {
            return *number;
        }
        let number = self.number(false, &[candidate]);
        self.single_numbers.insert(candidate, number);
        number
    }

    fn number(&mut self, is_vetoed: bool, candidates: &[Candidate]) -> u32 {
        if candidates.is_empty() && !is_vetoed {
            return 0;
        }
        let key = ChainKey {
            is_vetoed,
            candidates: candidates.into(),
        };
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u32::try_from(self.ends.len()).unwrap_or(0);
        self.candidates.extend_from_slice(candidates);
        self.ends
            .push(u32::try_from(self.candidates.len()).unwrap_or(u32::MAX));
        self.vetoed.push(is_vetoed);
        self.numbers.insert(key, number);
        number
    }

    pub fn verdicts(&self) -> &[VerdictKey] {
        &self.verdicts
    }

    pub fn candidates(&self) -> impl Iterator<Item = Candidate> {
        self.candidates.iter().copied()
    }

    /// (end in the candidates, vetoed) of each chain, chain 0 included.
    pub fn ends(&self) -> impl Iterator<Item = (u32, bool)> {
        self.ends.iter().copied().zip(self.vetoed.iter().copied())
    }
}

impl Candidate {
    fn is_allow(self) -> bool {
        self.strength >> 63 == 1
    }
}

fn ranked(candidate: Candidate, specificity: u16) -> Candidate {
    Candidate {
        strength: candidate.strength | u64::from(specificity) << 40,
        ..candidate
    }
}

/// Keeps what can still decide at some time, with or without the feeds' blocks.
fn drop_hidden(strongest_first: &mut Vec<Candidate>) {
    let (mut any_until, mut unvetoable_until) = (0, 0);
    strongest_first.retain(|candidate| {
        let until = candidate.lives_until();
        let can_be_vetoed = candidate.is_feed() && !candidate.is_allow();
        let is_kept = until
            > if can_be_vetoed {
                any_until
            } else {
                unvetoable_until
            };
        any_until = any_until.max(until);
        if !can_be_vetoed {
            unvetoable_until = unvetoable_until.max(until);
        }
        is_kept
    });
}

/// The last tie-break: by sources, then categories; the first in order gets the highest rank.
fn attribute_ranks(facts: &Facts) -> Vec<u64> {
    let names = |numbers: &[u32]| -> Vec<&str> {
        numbers
            .iter()
            .map(|number| &*facts.labels()[*number as usize])
            .collect()
    };
    let mut order: Vec<_> = (0..facts.attributes().len()).collect();
    order.sort_by_cached_key(|index| {
        let attributes = &facts.attributes()[*index];
        (names(&attributes.sources), names(&attributes.categories))
    });
    let mut ranks = vec![0; order.len()];
    for (position, index) in order.iter().enumerate() {
        ranks[*index] = (order.len() - position) as u64;
    }
    ranks
}
