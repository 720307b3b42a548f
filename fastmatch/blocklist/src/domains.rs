//! Domain entries to a hash table of names, and the chain that holds for a name.
//!
//! Each name that has an entry is a node with two chains: for the name itself and for what is below it. Both already
//! include what the nodes above contribute, so the longest listed suffix of a name decides alone. Lookup: one pass from the
//! right finds the label borders, each suffix is hashed (keyed, lists come from strangers) and probed, longest first; a
//! fingerprint that fits is verified against the text. Names with more labels than any node has skip the longer suffixes.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_micro_inline};

use crate::builder::{Builder, DomainEntry};
use crate::chains::Chains;
use crate::image::{Image, ImageError, Section, SectionId};
use crate::memory::Table;
use crate::name::MAX_NAME_LABELS;
use crate::target::{Rule, domain_specificity, label_count};

const SLOTS: SectionId = SectionId(7);
const NODES: SectionId = SectionId(8);
const TEXT: SectionId = SectionId(9);

/// The hash of one list; its key is in the list's header.
pub(crate) struct NameHasher(RapidSecrets);

impl NameHasher {
    pub fn new(key: u64) -> Self {
        Self(RapidSecrets::seed(key))
    }

    #[inline]
    fn hash(&self, name: &[u8]) -> u64 {
        rapidhash_v3_micro_inline::<true, false>(name, &self.0)
    }
}

/// Fixed-range reduction of the high half; the low half is the fingerprint.
#[inline]
fn first_slot(hash: u64, slot_count: usize) -> usize {
    (((hash >> 32) * slot_count as u64) >> 32) as usize
}

/// A slot is the fingerprint below and the node's number plus one above; 0 is free.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
fn split_slot(slot: u64) -> (u32, usize) {
    (slot as u32, (slot >> 32) as usize)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is the fingerprint"
)]
fn fingerprint(hash: u64) -> u32 {
    hash as u32
}

/// [text offset, length, chain of the name, chain of what is below]
type Node = [u32; 4];

#[inline]
fn node_text<'a>(text: &'a [u8], node: &Node) -> Option<&'a [u8]> {
    text.get(node[0] as usize..)?.get(..node[1] as usize)
}

/// The node of exactly this name.
#[inline]
fn find_node(
    slots: &[u64],
    nodes: &[Node],
    text: &[u8],
    max_probes: usize,
    name: &[u8],
    hash: u64,
) -> Option<usize> {
    let mut position = first_slot(hash, slots.len());
    for _ in 0..max_probes {
        let (stored, number) = split_slot(*slots.get(position)?);
        if number == 0 {
            return None;
        }
        if stored == fingerprint(hash) {
            let node = nodes.get(number - 1)?;
            if node_text(text, node) == Some(name) {
                return Some(number - 1);
            }
        }
        position += 1;
        if position == slots.len() {
            position = 0;
        }
    }
    None
}

/// Where the last `max_labels` labels begin; None for no labels.
#[inline]
fn skip_labels(name: &[u8], max_labels: usize) -> Option<usize> {
    let mut left = max_labels.checked_sub(1)?;
    for position in (0..name.len()).rev() {
        if name[position] == b'.' {
            match left.checked_sub(1) {
                Some(fewer) => left = fewer,
                None => return Some(position + 1),
            }
        }
    }
    Some(0)
}

/// The suffixes of at most `max_labels` labels, longest first, and whether each is the whole name.
#[inline]
fn suffixes(name: &[u8], max_labels: usize) -> impl Iterator<Item = (&[u8], bool)> {
    let mut start = skip_labels(name, max_labels);
    std::iter::from_fn(move || {
        let here = start?;
        let suffix = name.get(here..)?;
        start = suffix
            .iter()
            .position(|byte| *byte == b'.')
            .map(|dot| here + dot + 1);
        Some((suffix, here == 0))
    })
}

/// The compiled form; the entries of each node, grouped, are the evidence.
#[derive(Default)]
pub(crate) struct DomainTables {
    slots: Vec<u64>,
    nodes: Vec<Node>,
    text: Vec<u8>,
    max_labels: usize,
    max_probes: usize,
    /// Node n has the entries `ends[n - 1]..ends[n]` of the two below.
    pub ends: Vec<u32>,
    pub rules: Vec<u8>,
    pub facts: Vec<u32>,
}

pub(crate) fn build(builder: &Builder, key: u64, chains: &mut Chains) -> DomainTables {
    let mut tables = DomainTables::default();
    if builder.domains.is_empty() {
        return tables;
    }
    let hasher = NameHasher::new(key);
    tables.slots = vec![0; builder.domains.len() * 3 / 2 + 1];
    let owners = tables.place_nodes(builder, &hasher);
    tables.group_entries(&builder.domains, &owners);
    tables.compose_chains(&hasher, chains);
    tables
}

impl DomainTables {
    /// Gives each distinct name a node; returns each entry's.
    fn place_nodes(&mut self, builder: &Builder, hasher: &NameHasher) -> Vec<u32> {
        let mut owners = Vec::with_capacity(builder.domains.len());
        for entry in &builder.domains {
            let name = builder.name_of(entry);
            let hash = hasher.hash(name);
            let found = find_node(
                &self.slots,
                &self.nodes,
                &self.text,
                self.max_probes,
                name,
                hash,
            );
            let node = found.unwrap_or_else(|| self.append(name, hash));
            owners.push(u32::try_from(node).unwrap_or(u32::MAX));
        }
        owners
    }

    fn append(&mut self, name: &[u8], hash: u64) -> usize {
        let number = self.nodes.len();
        // The builder holds text and counts below 32 bits.
        let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        self.nodes
            .push([word(self.text.len()), word(name.len()), 0, 0]);
        self.text.extend_from_slice(name);
        self.max_labels = self.max_labels.max(usize::from(label_count(name)));
        let mut position = first_slot(hash, self.slots.len());
        let mut probes = 1;
        while self.slots[position] != 0 {
            position = (position + 1) % self.slots.len();
            probes += 1;
        }
        self.max_probes = self.max_probes.max(probes);
        self.slots[position] = (number as u64 + 1) << 32 | u64::from(fingerprint(hash));
        number
    }

    /// Sorts the entries by node, rule and fact and drops repetitions.
    fn group_entries(&mut self, entries: &[DomainEntry], owners: &[u32]) {
        let mut offsets = vec![0_u32; self.nodes.len() + 1];
        for owner in owners {
            offsets[*owner as usize + 1] += 1;
        }
        for index in 1..offsets.len() {
            offsets[index] += offsets[index - 1];
        }
        let mut grouped = vec![(Rule::Suffix, 0_u32); entries.len()];
        let mut next = offsets.clone();
        for (entry, owner) in entries.iter().zip(owners) {
            let place = &mut next[*owner as usize];
            grouped[*place as usize] = (entry.rule, entry.fact);
            *place += 1;
        }
        for bounds in offsets.windows(2) {
            let group = &mut grouped[bounds[0] as usize..bounds[1] as usize];
            group.sort_unstable();
            for (index, (rule, fact)) in group.iter().enumerate() {
                if index == 0 || group[index - 1] != (*rule, *fact) {
                    self.rules.push(*rule as u8);
                    self.facts.push(*fact);
                }
            }
            self.ends
                .push(u32::try_from(self.facts.len()).unwrap_or(u32::MAX));
        }
    }

    /// Fewer labels first, so that what is above is complete when it is inherited.
    fn compose_chains(&mut self, hasher: &NameHasher, chains: &mut Chains) {
        let mut by_labels = vec![Vec::new(); self.max_labels + 1];
        for (number, node) in self.nodes.iter().enumerate() {
            let name = node_text(&self.text, node).unwrap_or_default();
            by_labels[usize::from(label_count(name))].push(number);
        }
        let mut own = Vec::new();
        for number in by_labels.into_iter().flatten() {
            let node = self.nodes[number];
            let name = node_text(&self.text, &node).unwrap_or_default();
            let inherited = self.inherited(name, hasher);
            let start = if number == 0 {
                0
            } else {
                self.ends[number - 1] as usize
            };
            own.clear();
            own.extend((start..self.ends[number] as usize).map(|entry| {
                let rule = Rule::from_code(self.rules[entry]).unwrap_or(Rule::Exact);
                (rule, (self.facts[entry], domain_specificity(name, rule)))
            }));
            // Sorted by rule: suffix, below, exact. The name itself is covered by the outer two, what is below by the first two.
            let suffix_end = own.partition_point(|(rule, _)| *rule == Rule::Suffix);
            let below_end = own.partition_point(|(rule, _)| *rule != Rule::Exact);
            let facts = |range: &[(Rule, (u32, u16))]| {
                range
                    .iter()
                    .map(|(_, ranked)| *ranked)
                    .collect::<Vec<_>>()
                    .into_iter()
            };
            let suffix = chains.compose(inherited, facts(&own[..suffix_end]));
            let itself = chains.compose(suffix, facts(&own[below_end..]));
            let below = chains.compose(suffix, facts(&own[suffix_end..below_end]));
            self.nodes[number][2] = itself;
            self.nodes[number][3] = below;
        }
    }

    /// The chain that the nearest listed name above hands down.
    fn inherited(&self, name: &[u8], hasher: &NameHasher) -> u32 {
        let dots = (0..name.len()).filter(|position| name[*position] == b'.');
        let above = dots.map(|position| &name[position + 1..]);
        for suffix in above {
            let hash = hasher.hash(suffix);
            let found = find_node(
                &self.slots,
                &self.nodes,
                &self.text,
                self.max_probes,
                suffix,
                hash,
            );
            if let Some(number) = found {
                return self.nodes[number][3];
            }
        }
        0
    }

    pub fn sections(&self) -> [Section<'_>; 3] {
        [
            Section::new(SLOTS, &self.slots),
            Section::new(NODES, &self.nodes),
            Section::new(TEXT, &self.text),
        ]
    }

    /// Most labels of a listed name, longest run of probes: kept in the header.
    pub fn limits(&self) -> [u64; 2] {
        [self.max_labels as u64, self.max_probes as u64]
    }
}

/// The mapped form.
pub(crate) struct Domains {
    hasher: NameHasher,
    slots: Table<u64>,
    nodes: Table<Node>,
    text: Table<u8>,
    max_labels: usize,
    max_probes: usize,
}

impl Domains {
    pub fn open(image: &Image) -> Result<Self, ImageError> {
        let slots: Table<u64> = image.table(SLOTS)?;
        let limit = |word: u64, most: usize| usize::try_from(word).unwrap_or(most).min(most);
        Ok(Self {
            hasher: NameHasher::new(image.header.pair),
            max_labels: limit(image.header.own[0], MAX_NAME_LABELS),
            max_probes: limit(image.header.own[1], slots.len()),
            slots,
            nodes: image.table(NODES)?,
            text: image.table(TEXT)?,
        })
    }

    /// The chain that holds for a name; total whatever the tables contain.
    #[inline]
    pub fn chain(&self, name: &[u8]) -> u32 {
        for (suffix, is_whole) in suffixes(name, self.max_labels) {
            if let Some(number) = self.node(suffix) {
                let node = self.nodes.get(number).copied().unwrap_or_default();
                return if is_whole { node[2] } else { node[3] };
            }
        }
        0
    }

    /// Nodes of the name and of what is above it: (number, text, is the name itself), longest first.
    pub fn covering_nodes<'a>(&'a self, name: &[u8]) -> Vec<(usize, &'a [u8], bool)> {
        let nodes = suffixes(name, self.max_labels).filter_map(|(suffix, is_whole)| {
            let number = self.node(suffix)?;
            let text = node_text(&self.text, self.nodes.get(number)?)?;
            Some((number, text, is_whole))
        });
        nodes.collect()
    }

    /// The name of a node.
    pub fn text_of(&self, node: usize) -> Option<&[u8]> {
        node_text(&self.text, self.nodes.get(node)?)
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    fn node(&self, name: &[u8]) -> Option<usize> {
        let hash = self.hasher.hash(name);
        find_node(
            &self.slots,
            &self.nodes,
            &self.text,
            self.max_probes,
            name,
            hash,
        )
    }
}
