//! Chains: the entries that cover one piece of address space or one domain node.
//!
//! A chain is a link, one entry of the most specific target, and the chain of the rest; chain 0 is "nothing covers". What a
//! network contributes is written once, whatever lies beneath it, so that links never outnumber entries. Each chain has a
//! head with its strongest entry, which is all that most lookups read. Equal chains are one.
//!
//! Nothing is cut because something stronger covers it: an overlay may remove the stronger entry. It removes by target,
//! origin and sources, so only among entries that agree on these goes what can never decide.

use rapidhash::RapidHashMap;

use crate::builder::Facts;
use crate::rank::{Kind, Mark, VerdictRecord, can_be_vetoed, strength};
use crate::render::Section;
use crate::rule::{HEADS, LINKS, Link, VERDICTS, head};
use crate::tiebreak::{AttributeOrder, verdict_record};

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
        let verdicts = order.verdicts(facts);
        let numbers: RapidHashMap<VerdictRecord, u32> = verdicts.iter().copied().zip(0..).collect();
        let roles = facts.facts().iter().map(|fact| {
            let verdict = numbers.get(&verdict_record(fact)).copied();
            Role {
                mark: Mark::new(fact.origin, fact.disposition),
                subject: verdict.unwrap_or(fact.attributes),
                expires: fact.expires,
                sources: order.sources(fact.attributes),
            }
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::entry::{Origin, Statement};
    use crate::verdict::Disposition;

    fn statement(source: &str, score_tenths: u8, expires: u32) -> Statement {
        Statement {
            disposition: Disposition::Block,
            origin: Origin::Feed,
            score_tenths,
            sources: Box::new([source.into()]),
            categories: Box::default(),
            reason: "".into(),
            first_seen: None,
            last_seen: None,
            expires: NonZeroU32::new(expires),
        }
    }

    /// The links of nested networks with these entries in each.
    fn link_count(nesting: u16, statements: &[Statement]) -> usize {
        let mut facts = Facts::default();
        let numbers: Vec<u32> = statements.iter().map(|one| facts.number(one)).collect();
        let mut chains = Chains::new(&facts);
        (0..nesting).fold(0, |inherited, specificity| {
            let own = numbers.iter().map(|fact| (*fact, specificity));
            chains.compose(inherited, own)
        });
        chains.links.len() - 1
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn what_one_source_says_again_with_another_expiry_takes_no_second_link() {
        let mut entries: Vec<_> = (1..1000).map(|second| statement("a", 50, second)).collect();
        assert_eq!(link_count(33, &entries), 33);
        // Weaker entries that are gone sooner never decide either.
        entries.extend((1..1000).map(|second| statement("a", 40, second)));
        assert_eq!(link_count(33, &entries), 33);
        entries.push(statement("a", 30, 2000));
        entries.push(statement("b", 30, 1));
        assert_eq!(link_count(33, &entries), 33 * 3);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn links_never_outnumber_entries() {
        let entries: Vec<_> = (0..100)
            .map(|number| statement(&number.to_string(), number, 1000 - u32::from(number)))
            .collect();
        assert_eq!(link_count(33, &entries), 33 * 100);
    }
}
