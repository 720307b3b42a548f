//! Each name's chains: what its own entries and those above it say together.

use rapidhash::RapidHashMap;

use crate::chains::Chains;
use crate::simd::prefetch;
use crate::target::Rule;

use super::buckets::home;
use super::gather::{Mark, Names, word};
use super::suffix::{NameHasher, label_bit};

/// Distinct (chain of the name, chain of what is below) and which of them each name has.
#[derive(Default)]
pub(super) struct Values {
    pub pairs: Vec<[u32; 2]>,
    pub of_names: Vec<u32>,
    /// Bit per number of labels that names have.
    pub label_counts: u64,
}

/// Where the names of a home begin.
struct Directory {
    homes: u64,
    starts: Vec<u32>,
}

impl Directory {
    fn new(hashes: &[u64], homes: u64) -> Self {
        let mut starts = Vec::with_capacity(usize::try_from(homes).unwrap_or(0) + 1);
        for (number, hash) in hashes.iter().enumerate() {
            let home = home(*hash, homes);
            if starts.len() <= home {
                starts.resize(home + 1, word(number));
            }
        }
        starts.resize(usize::try_from(homes).unwrap_or(0) + 1, word(hashes.len()));
        Self { homes, starts }
    }

    fn prefetch(&self, names: &Names, hash: u64) {
        let start = self.starts[home(hash, self.homes)] as usize;
        prefetch(&names.hashes, start);
        prefetch(&names.hashes, start + 8);
    }

    fn find(&self, names: &Names, hash: u64, name: &[u8]) -> Option<usize> {
        let home = home(hash, self.homes);
        let (start, end) = (self.starts[home] as usize, self.starts[home + 1] as usize);
        (start..end).find(|number| names.hashes[*number] == hash && names.name(*number) == name)
    }
}

struct Composer<'a> {
    names: &'a Names,
    hasher: &'a NameHasher,
    directory: Directory,
    values: Values,
    numbers: RapidHashMap<[u32; 2], u32>,
    /// Of names with one entry: (inherited, fact, rule, labels). Feeds have few of them.
    singles: RapidHashMap<(u32, u32, Rule, u8), u32>,
    above: Vec<Above>,
}

/// A name's number, and a suffix of it: hash and start.
type Above = (u32, u64, u32);

/// Names whose suffixes are looked for together.
const BLOCK: usize = 32;

pub(super) fn compose(
    names: &Names,
    hasher: &NameHasher,
    homes: u64,
    chains: &mut Chains,
) -> Values {
    let mut composer = Composer {
        names,
        hasher,
        directory: Directory::new(&names.hashes, homes),
        values: Values {
            of_names: vec![0; names.len()],
            ..Values::default()
        },
        numbers: RapidHashMap::default(),
        singles: RapidHashMap::default(),
        above: Vec::new(),
    };
    // Fewer labels first, so that what is above is complete when it is inherited.
    let mut by_labels: Vec<Vec<u32>> = vec![Vec::new(); 256];
    for (number, labels) in names.labels.iter().enumerate() {
        by_labels[usize::from(*labels)].push(word(number));
    }
    for (labels, numbers) in (0..=u8::MAX).zip(&by_labels) {
        for block in numbers.chunks(BLOCK) {
            composer.compose_block(block, labels, chains);
        }
        if !numbers.is_empty() {
            composer.values.label_counts |= label_bit(labels.into());
        }
    }
    composer.values
}

impl Composer<'_> {
    /// What is above the names of a block is asked for before it is looked for. `label_counts` has the smaller numbers of
    /// labels, so a name itself is not looked for, except where 63 labels and more share a bit.
    fn compose_block(&mut self, numbers: &[u32], labels: u8, chains: &mut Chains) {
        let mut above = std::mem::take(&mut self.above);
        above.clear();
        for number in numbers {
            let name = self.names.name(*number as usize);
            let _: Option<()> = self
                .hasher
                .find_suffix(name, self.values.label_counts, |suffix| {
                    if suffix.start > 0 {
                        self.directory.prefetch(self.names, suffix.hash);
                        above.push((*number, suffix.hash, word(suffix.start)));
                    }
                    None
                });
        }
        let mut rest = &above[..];
        for number in numbers {
            let own = rest.iter().take_while(|(of, ..)| of == number).count();
            let inherited = self.inherited(*number as usize, &rest[..own]);
            rest = &rest[own..];
            self.compose(*number as usize, inherited, labels, chains);
        }
        self.above = above;
    }

    fn compose(&mut self, number: usize, inherited: u32, labels: u8, chains: &mut Chains) {
        let marks = self.names.marks(number);
        let value = if let [one] = marks {
            let key = (inherited, one.fact, one.rule, labels);
            if let Some(value) = self.singles.get(&key) {
                *value
            } else {
                let value = self.value(pair(inherited, marks, labels, chains));
                self.singles.insert(key, value);
                value
            }
        } else {
            self.value(pair(inherited, marks, labels, chains))
        };
        self.values.of_names[number] = value;
    }

    fn value(&mut self, pair: [u32; 2]) -> u32 {
        let pairs = &mut self.values.pairs;
        *self.numbers.entry(pair).or_insert_with(|| {
            pairs.push(pair);
            word(pairs.len() - 1)
        })
    }

    /// The chain that the nearest listed name above hands down.
    fn inherited(&self, number: usize, above: &[Above]) -> u32 {
        let name = self.names.name(number);
        let nearest = above.iter().find_map(|(_, hash, start)| {
            self.directory
                .find(self.names, *hash, &name[*start as usize..])
        });
        nearest.map_or(0, |above| {
            self.values.pairs[self.values.of_names[above] as usize][1]
        })
    }
}

/// Sorted by rule: suffix, below, exact. The name itself is covered by the outer two, what is below by the first two.
fn pair(inherited: u32, marks: &[Mark], labels: u8, chains: &mut Chains) -> [u32; 2] {
    let suffix_end = marks.partition_point(|mark| mark.rule == Rule::Suffix);
    let below_end = marks.partition_point(|mark| mark.rule != Rule::Exact);
    let facts = |marks: &'_ [Mark]| {
        let ranked = marks
            .iter()
            .map(|mark| (mark.fact, u16::from(labels) * 4 + mark.rule as u16));
        ranked.collect::<Vec<_>>().into_iter()
    };
    let suffix = chains.compose(inherited, facts(&marks[..suffix_end]));
    let itself = chains.compose(suffix, facts(&marks[below_end..]));
    let below = chains.compose(suffix, facts(&marks[suffix_end..below_end]));
    [itself, below]
}
