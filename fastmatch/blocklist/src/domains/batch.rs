//! Many names at once: the lines that a block of names needs are asked for before the first is read.

use crate::block::Block;
use crate::simd::prefetch;

use super::buckets::{Shape, Slot};
use super::texts::{INLINE, place_of};
use super::{Domains, Slots};

/// Names under way together; they want two or three lines each, and a core has a dozen reads under way.
const BLOCK_NAMES: usize = 16;

/// A suffix of a name of the block.
struct Probe {
    hash: u64,
    block: Block,
    name: usize,
    start: usize,
}

impl Domains {
    /// As `chain`, for each name; as many as the shorter of the two slices has.
    pub fn chains(&self, names: &[&[u8]], out: &mut [u32]) {
        let mut probes = Vec::with_capacity(4 * BLOCK_NAMES);
        for (names, out) in names.chunks(BLOCK_NAMES).zip(out.chunks_mut(BLOCK_NAMES)) {
            out.fill(0);
            self.gather(names, &mut probes);
            match &self.slots {
                Slots::Narrow(slots, texts) => {
                    ask_for_buckets(&self.shape, slots, &probes);
                    for probe in &probes {
                        let found = self.shape.candidate(slots, probe.hash);
                        let place = found
                            .and_then(|(bucket, slot)| place_of(bucket.get(INLINE.first..)?, slot));
                        if let Some(place) = place {
                            prefetch(&texts.text, place.start);
                        }
                    }
                }
                Slots::Wide(slots) => ask_for_buckets(&self.shape, slots, &probes),
            }
            self.answer(names, &probes, out);
        }
    }

    fn gather(&self, names: &[&[u8]], probes: &mut Vec<Probe>) {
        probes.clear();
        for (number, name) in names.iter().enumerate() {
            let _: Option<()> = self.hasher.find_suffix(name, self.label_counts, |suffix| {
                probes.push(Probe {
                    hash: suffix.hash,
                    block: suffix.block,
                    name: number,
                    start: suffix.start,
                });
                None
            });
        }
    }

    /// The longest listed suffix of each name decides.
    fn answer(&self, names: &[&[u8]], probes: &[Probe], out: &mut [u32]) {
        let mut answered = usize::MAX;
        for probe in probes {
            if probe.name == answered {
                continue;
            }
            let (Some(name), Some(out)) = (names.get(probe.name), out.get_mut(probe.name)) else {
                continue;
            };
            if let Some(value) = self.value(name, probe.hash, probe.start, &probe.block) {
                *out = self.chain_of(value, probe.start);
                answered = probe.name;
            }
        }
    }
}

fn ask_for_buckets<S: Slot>(shape: &Shape, slots: &[S], probes: &[Probe]) {
    for probe in probes {
        prefetch(slots, shape.first_word::<S>(probe.hash));
    }
}
