//! Chains: the entries that cover one piece of address space or one domain node.
//!
//! A chain is a link, one entry of the most specific target, and the chain of the rest; chain 0 is "nothing covers". What a
//! network contributes is written once, whatever lies beneath it, so that links never outnumber entries. Each chain has a
//! head with its strongest entry, which is all that most lookups read. Equal chains are one.
//!
//! Nothing is cut because something stronger covers it: an overlay may remove the stronger entry. It removes by target,
//! origin and sources, so only among entries that agree on these goes what can never decide.

use rapidhash::RapidHashMap;

use crate::builder::{Fact, Facts};
use crate::rank::{Kind, Mark, VerdictRecord, can_be_vetoed, strength};
use crate::render::Section;
use crate::rule::{HEADS, LINKS, Link, VERDICTS, head};
use crate::verdict::Disposition;

/// A fact's part of a link; the specificity comes with the target.
#[derive(Clone, Copy)]
struct Role {
    mark: Mark,
    /// Number of the verdict, or of the attributes when the entry is no candidate.
    subject: u32,
    /// 0 = never.
    expires: u32,
    /// Number of the set of sources.
    sources: u32,
}

#[derive(Clone, Copy, Default)]
struct Strongest {
    strength: u64,
    verdict: u32,
    expires: u32,
}

/// What a head is made of.
#[derive(Clone, Copy, Default)]
struct Summary {
    strongest: Option<Strongest>,
    is_vetoed: bool,
    has_tombstones: bool,
}

impl Summary {
    fn head(&self) -> [u32; 2] {
        let strongest = self.strongest.map(|found| (found.verdict, found.expires));
        head(strongest, self.is_vetoed, self.has_tombstones)
    }
}

pub(crate) struct Chains {
    roles: Vec<Role>,
    /// In the order of the last tie-break: see `rule::strength`.
    verdicts: Vec<VerdictRecord>,
    /// Both by chain number.
    links: Vec<Link>,
    summaries: Vec<Summary>,
    numbers: RapidHashMap<Link, u32>,
    /// The last link asked for: a feed repeats itself.
    last: (Link, u32),
    group: Vec<Role>,
}

impl Chains {
    pub fn new(facts: &Facts) -> Self {
        let order = AttributeOrder::new(facts);
        let verdicts = verdicts_in_order(facts, &order);
        let numbers: RapidHashMap<VerdictRecord, u32> = verdicts.iter().copied().zip(0..).collect();
        let roles = facts.facts().iter().map(|fact| Role {
            mark: Mark::new(fact.origin, fact.disposition),
            subject: if is_candidate(fact) {
                numbers[&verdict_record(fact)]
            } else {
                fact.attributes
            },
            expires: fact.expires,
            sources: order.sources[fact.attributes as usize],
        });
        Self {
            roles: roles.collect(),
            verdicts,
            links: vec![Link::default()],
            summaries: vec![Summary::default()],
            numbers: RapidHashMap::default(),
            last: ([u32::MAX; 4], 0),
            group: Vec::new(),
        }
    }

    /// The chain of what `inherited` holds and the `own` (fact, specificity) pairs of one target together.
    pub fn compose<I>(&mut self, inherited: u32, mut own: I) -> u32
    where
        I: ExactSizeIterator<Item = (u32, u16)> + Clone,
    {
        if own.len() <= 1 {
            return own.next().map_or(inherited, |(fact, specificity)| {
                self.chain(self.role(fact, specificity), inherited)
            });
        }
        let mut group = std::mem::take(&mut self.group);
        group.clear();
        group.extend(own.map(|(fact, specificity)| self.role(fact, specificity)));
        self.drop_hidden(&mut group);
        let chain = group
            .iter()
            .fold(inherited, |rest, role| self.chain(*role, rest));
        self.group = group;
        chain
    }

    fn role(&self, fact: u32, specificity: u16) -> Role {
        let role = self.roles[fact as usize];
        let mark = role.mark.with_specificity(specificity);
        Role { mark, ..role }
    }

    fn strength(&self, role: &Role) -> u64 {
        match role.mark.kind() {
            Kind::Candidate => strength(
                self.verdicts[role.subject as usize],
                role.mark,
                role.subject,
            ),
            Kind::KnownGood | Kind::Tombstone => 0,
        }
    }

    /// Keeps, of entries with one origin and one set of sources, what outlives all that is stronger. Equal groups come
    /// out in an equal order.
    fn drop_hidden(&self, group: &mut Vec<Role>) {
        let class = |role: &Role| (role.mark, role.sources);
        let until = |role: &Role| role.expires.wrapping_sub(1);
        let weakest_first = |role: &Role| {
            let strength = self.strength(role);
            (class(role), strength, until(role), role.subject)
        };
        group.sort_unstable_by_key(weakest_first);
        let mut outlived = None;
        group.reverse();
        group.retain(|role| {
            let (same, longest) = outlived.unwrap_or((class(role), None));
            let longest = longest.filter(|_| same == class(role));
            let is_kept = longest.is_none_or(|longest| until(role) > longest);
            if is_kept {
                outlived = Some((class(role), Some(until(role))));
            }
            is_kept
        });
    }

    fn chain(&mut self, role: Role, next: u32) -> u32 {
        let link = [role.subject, role.expires, role.mark.0, next];
        if self.last.0 == link {
            return self.last.1;
        }
        let number = match self.numbers.get(&link) {
            Some(number) => *number,
            None => self.append(role, link),
        };
        self.last = (link, number);
        number
    }

    fn append(&mut self, role: Role, link: Link) -> u32 {
        // There are at most as many links as entries, and those are counted.
        let number = u32::try_from(self.links.len()).unwrap_or(0);
        let mut summary = self.summaries[link[3] as usize];
        match role.mark.kind() {
            Kind::Candidate => {
                let is_vetoed = summary.is_vetoed && self.can_be_vetoed(&link);
                if !is_vetoed {
                    summary.strongest = Some(stronger(summary.strongest, self.strongest(&link)));
                }
            }
            Kind::KnownGood => {
                if !summary.is_vetoed {
                    summary.is_vetoed = true;
                    summary.strongest = self.strongest_beyond_veto(link[3]);
                }
            }
            Kind::Tombstone => summary.has_tombstones = true,
        }
        self.links.push(link);
        self.summaries.push(summary);
        self.numbers.insert(link, number);
        number
    }

    fn can_be_vetoed(&self, link: &Link) -> bool {
        can_be_vetoed(self.verdicts[link[0] as usize], Mark(link[2]))
    }

    fn strongest(&self, link: &Link) -> Strongest {
        let [verdict, expires, mark, _] = *link;
        Strongest {
            strength: strength(self.verdicts[verdict as usize], Mark(mark), verdict),
            verdict,
            expires,
        }
    }

    fn strongest_beyond_veto(&self, chain: u32) -> Option<Strongest> {
        let mut strongest = None;
        let mut rest = chain;
        while rest != 0 {
            let link = &self.links[rest as usize];
            if Mark(link[2]).kind() == Kind::Candidate && !self.can_be_vetoed(link) {
                strongest = Some(stronger(strongest, self.strongest(link)));
            }
            rest = link[3];
        }
        strongest
    }

    pub fn sections(&self) -> [Section<'_>; 3] {
        [
            Section::column(HEADS, &self.summaries, Summary::head),
            Section::new(LINKS, &self.links),
            Section::new(VERDICTS, &self.verdicts),
        ]
    }
}

/// Among equals what lives longer.
fn stronger(one: Option<Strongest>, other: Strongest) -> Strongest {
    let rank = |found: &Strongest| (found.strength, found.expires.wrapping_sub(1));
    one.filter(|one| rank(one) >= rank(&other)).unwrap_or(other)
}

/// The sets of sources and categories of a list, by the number of the attributes.
struct AttributeOrder {
    /// Place by sources, then categories: the last tie-break.
    ranks: Vec<u32>,
    /// The same number for the same sources.
    sources: Vec<u32>,
}

impl AttributeOrder {
    fn new(facts: &Facts) -> Self {
        let names = |numbers: &[u32]| -> Vec<&str> {
            numbers
                .iter()
                .map(|number| &*facts.labels()[*number as usize])
                .collect()
        };
        let attributes = facts.attributes();
        let mut order: Vec<_> = (0..attributes.len()).collect();
        order.sort_by_cached_key(|index| {
            let sets = &attributes[*index];
            (names(&sets.sources), names(&sets.categories))
        });
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
}

fn verdict_record(fact: &Fact) -> VerdictRecord {
    let head = fact.disposition as u32 | u32::from(fact.score_tenths) << 8;
    [head, fact.attributes]
}

fn is_candidate(fact: &Fact) -> bool {
    matches!(fact.disposition, Disposition::Block | Disposition::Allow)
}

/// Each distinct one once.
fn verdicts_in_order(facts: &Facts, order: &AttributeOrder) -> Vec<VerdictRecord> {
    let candidates = facts.facts().iter().filter(|fact| is_candidate(fact));
    let mut verdicts: Vec<_> = candidates.map(verdict_record).collect();
    verdicts.sort_unstable_by_key(|[head, attributes]| (order.ranks[*attributes as usize], *head));
    verdicts.dedup();
    verdicts
}
