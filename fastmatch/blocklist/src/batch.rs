//! Many lookups at once: chains in blocks that stay in the cache, their reads under way together, then the verdicts.
//!
//! Expiry is judged once, when the batch begins. Nothing is allocated besides a table of what the chains say, and that only
//! when the batch is longer than the table.

use crate::address::unmap;
use crate::compile::Layer;
use crate::decision::Decision;
use crate::list::Blocklist;
use crate::name::canonical;
use crate::verdict::VerdictRef;

/// In the place of a verdict: the name is no domain.
pub const NO_DOMAIN: u32 = u32::MAX;
/// Keys whose chains are found before the verdicts.
const BLOCK: usize = 1024;
/// Names that are made canonical before they are judged.
const NAME_BLOCK: usize = 256;

/// What stands for a verdict in a batch's answer.
#[inline]
fn code(verdict: Option<VerdictRef<'_>>) -> u32 {
    verdict.map_or(0, |verdict| verdict.id().saturating_add(1))
}

/// Many lookups at one time, in as many steps as the caller likes.
pub struct Batch<'a> {
    list: &'a Blocklist,
    now: u64,
    /// The code of every chain of the base, or empty.
    codes: Vec<u32>,
}

impl Blocklist {
    /// A batch of about this many subjects.
    pub fn batch(&self, count: usize) -> Batch<'_> {
        let now = self.clock().now();
        let chain_count = self.base.decision.ruling.chain_count();
        // A chain's code costs about as much as a subject's.
        let tabled = if chain_count <= count { chain_count } else { 0 };
        let codes = (0..u32::try_from(tabled).unwrap_or(0))
            .map(|chain| code(self.base_verdict(chain, now)))
            .collect();
        Batch {
            list: self,
            now,
            codes,
        }
    }

    /// For each address 0 or the number of its verdict plus one; as many as the shorter of the two slices has.
    pub fn lookup4_batch(&self, addresses: &[u32], out: &mut [u32]) {
        self.batch(addresses.len()).lookup4(addresses, out);
    }

    /// As `lookup4_batch`; a mapped IPv4 address is judged as IPv4.
    pub fn lookup6_batch(&self, addresses: &[u128], out: &mut [u32]) {
        self.batch(addresses.len()).lookup6(addresses, out);
    }

    /// As `lookup4_batch`, of texts as `lookup_domain_bytes` takes them; `NO_DOMAIN` for what is no name.
    pub fn lookup_domain_batch<'n>(
        &self,
        names: impl IntoIterator<Item = &'n [u8]>,
        out: &mut [u32],
    ) {
        self.batch(out.len()).lookup_domain(names, out);
    }
}

impl Batch<'_> {
    /// As `Blocklist::lookup4_batch`.
    pub fn lookup4(&self, addresses: &[u32], out: &mut [u32]) {
        self.judge_blocks(addresses, out, Decision::chains4);
    }

    /// As `Blocklist::lookup6_batch`.
    pub fn lookup6(&self, addresses: &[u128], out: &mut [u32]) {
        self.judge_blocks(addresses, out, |decision, addresses, out| {
            decision.chains6(addresses, out);
            for (address, out) in addresses.iter().zip(out) {
                if let Some(mapped) = unmap(*address) {
                    *out = decision.chain4(mapped);
                }
            }
        });
    }

    /// As `Blocklist::lookup_domain_batch`.
    pub fn lookup_domain<'n>(&self, names: impl IntoIterator<Item = &'n [u8]>, out: &mut [u32]) {
        let mut names = names.into_iter();
        for out in out.chunks_mut(NAME_BLOCK) {
            let count = self.judge_names(&mut names, out);
            if count < out.len() {
                return;
            }
        }
    }

    /// One block, as long as there are names. Those that have to be changed to be canonical are judged one by one.
    fn judge_names<'n>(
        &self,
        names: &mut impl Iterator<Item = &'n [u8]>,
        out: &mut [u32],
    ) -> usize {
        let mut buffer = [0; 256];
        let mut kept: [&[u8]; NAME_BLOCK] = [&[]; NAME_BLOCK];
        let mut places = [0; NAME_BLOCK];
        let (mut kept_count, mut count) = (0, 0);
        for ((place, out), name) in out.iter_mut().enumerate().zip(names) {
            count += 1;
            match canonical(name, &mut buffer) {
                Err(_) => *out = NO_DOMAIN,
                Ok(same) if std::ptr::eq(same.as_ptr(), name.as_ptr()) => {
                    kept[kept_count] = &name[..same.len()];
                    places[kept_count] = place;
                    kept_count += 1;
                }
                Ok(changed) => self.judge_canonical(&[changed], std::slice::from_mut(out)),
            }
        }
        let mut judged = [0; NAME_BLOCK];
        self.judge_canonical(&kept[..kept_count], &mut judged);
        for (place, judged) in places[..kept_count].iter().zip(judged) {
            out[*place] = judged;
        }
        count
    }

    fn judge_canonical(&self, names: &[&[u8]], out: &mut [u32]) {
        self.judge_blocks(names, out, |decision, names, out| {
            decision.domains.chains(names, out);
        });
    }

    fn judge_blocks<K>(
        &self,
        keys: &[K],
        out: &mut [u32],
        chains: impl Fn(&Decision, &[K], &mut [u32]),
    ) {
        let count = keys.len().min(out.len());
        let mut above = [0; BLOCK];
        let blocks = keys.chunks(BLOCK).zip(out[..count].chunks_mut(BLOCK));
        for (keys, out) in blocks {
            chains(&self.list.base.decision, keys, out);
            let Some(overlay) = &self.list.overlay else {
                for out in out {
                    *out = self.of(*out);
                }
                continue;
            };
            chains(&overlay.decision, keys, &mut above);
            for (out, above) in out.iter_mut().zip(&above) {
                *out = self.of_both(*out, overlay, *above);
            }
        }
    }

    /// What a chain of the base says.
    #[inline]
    fn of(&self, chain: u32) -> u32 {
        match self.codes.get(chain as usize) {
            Some(code) => *code,
            None => code(self.list.base_verdict(chain, self.now)),
        }
    }

    #[inline]
    fn of_both(&self, chain: u32, overlay: &Layer, overlay_chain: u32) -> u32 {
        if overlay_chain == 0 {
            self.of(chain)
        } else {
            let verdict = self.list.strongest(chain, overlay, overlay_chain, self.now);
            code(verdict)
        }
    }
}
