//! A compiled list as its users see it: a base, perhaps an overlay above it, and a clock.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::builder::Builder;
use crate::compile::{Layer, Stamp, layer};
use crate::decision::Decision;
use crate::entry::Entry;
use crate::evidence::Evidence;
use crate::explain::{Explanation, NoEvidence, Subject, explain};
use crate::image::{Header, ImageError};
use crate::pack::PackError;
use crate::target::Target;
use crate::unpack::Limits;
use crate::verdict::VerdictRef;

/// More than an operator's overlay ever holds, and still compiled in about a second.
const OVERLAY_LIMITS: Limits = Limits::of_entries(1_000_000);

/// The coarse clock expiry is judged by, in Unix seconds.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    fn at(now: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now)))
    }

    #[inline]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn advance(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

/// Sizes, for status pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub ipv4: u64,
    pub ipv6: u64,
    pub domains: u64,
    pub overlay: u64,
    pub verdicts: u64,
    pub bytes: u64,
}

/// An immutable list; lookups neither lock nor allocate.
pub struct Blocklist {
    pub(crate) base: Arc<Layer>,
    pub(crate) overlay: Option<Arc<Layer>>,
    clock: Arc<Clock>,
    sequence: u64,
}

impl fmt::Debug for Blocklist {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Blocklist")
            .field("version", &self.version())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Blocklist {
    pub(crate) fn from_base(base: Layer) -> Self {
        let Header {
            sequence, created, ..
        } = *base.decision.header();
        Self {
            base: Arc::new(base),
            overlay: None,
            clock: Clock::at(created),
            sequence,
        }
    }

    /// Maps files that `Builder::write` made. With `prefault` every page is present; with `verify` every checksum is
    /// checked, otherwise the heads' only.
    pub fn open(
        decision: &Path,
        evidence: Option<&Path>,
        prefault: bool,
        verify: bool,
    ) -> Result<Self, ImageError> {
        let decision = Decision::map(decision, prefault, verify)?;
        let evidence = evidence
            .map(|path| Evidence::map(path, &decision, prefault, verify))
            .transpose()?;
        Ok(Self::from_base(Layer { decision, evidence }))
    }

    /// The same base and clock with these entries above it. Cost: that of compiling the overlay.
    pub fn with_overlay(&self, packed: &[u8], sequence: u64) -> Result<Self, PackError> {
        let mut builder = Builder::new();
        builder.add_packed(packed, OVERLAY_LIMITS)?;
        let (epoch, _) = self.version();
        let overlay = layer(
            &mut builder,
            Stamp {
                epoch,
                sequence,
                now: self.created(),
                compact_domains: false,
            },
        );
        Ok(Self {
            base: Arc::clone(&self.base),
            overlay: Some(Arc::new(overlay)),
            clock: Arc::clone(&self.clock),
            sequence,
        })
    }

    /// (epoch, sequence) of the base, or of the overlay when there is one.
    pub fn version(&self) -> (u64, u64) {
        (self.base.decision.header().epoch, self.sequence)
    }

    /// Unix seconds at which the base was compiled.
    pub fn created(&self) -> u64 {
        self.base.decision.header().created
    }

    /// Shared by every list made from this one.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Entries in base and overlay, its tombstones too; what they remove counts until it is folded.
    pub fn len(&self) -> u64 {
        self.layers()
            .map(|layer| layer.decision.entry_count())
            .sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn stats(&self) -> Stats {
        let header = self.base.decision.header();
        let bytes = |layer: &Layer| {
            let evidence = layer.evidence.as_ref().map_or(0, Evidence::byte_count);
            (layer.decision.byte_count() + evidence) as u64
        };
        Stats {
            ipv4: header.entries4,
            ipv6: header.entries6,
            domains: header.domains,
            overlay: self
                .overlay
                .as_ref()
                .map_or(0, |layer| layer.decision.entry_count()),
            verdicts: self
                .layers()
                .map(|layer| layer.decision.ruling.verdict_count() as u64)
                .sum(),
            bytes: self.layers().map(bytes).sum(),
        }
    }

    pub(crate) fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&*self.base).chain(self.overlay.as_deref())
    }

    /// (verdicts of the base, verdicts of the overlay): ids count the base's first.
    pub fn verdict_counts(&self) -> (usize, usize) {
        let overlay = self
            .overlay
            .as_ref()
            .map_or(0, |layer| layer.decision.ruling.verdict_count());
        (self.base.decision.ruling.verdict_count(), overlay)
    }

    pub fn verdict(&self, id: u32) -> Option<VerdictRef<'_>> {
        let base = &self.base.decision;
        let offset = self.overlay_offset();
        if id < offset {
            return Some(VerdictRef::new(base, id, 0));
        }
        let overlay = &self.overlay.as_ref()?.decision;
        let is_known = ((id - offset) as usize) < overlay.ruling.verdict_count();
        is_known.then(|| VerdictRef::new(overlay, id - offset, offset))
    }

    pub(crate) fn overlay_offset(&self) -> u32 {
        u32::try_from(self.base.decision.ruling.verdict_count()).unwrap_or(u32::MAX)
    }

    /// Every entry: the base's that the overlay does not remove, then the overlay's. Entries that say the same share their
    /// statement.
    pub fn entries(&self) -> Result<impl Iterator<Item = Entry>, NoEvidence> {
        let base = self.base.entries()?;
        let overlay = self.overlay.as_deref().map(Layer::entries).transpose()?;
        let (tombstones, added): (Vec<_>, Vec<_>) =
            overlay.into_iter().flatten().partition(Entry::is_tombstone);
        let mut removals: HashMap<Target, Vec<Entry>> = HashMap::new();
        for tombstone in tombstones {
            let beside = removals.entry(tombstone.target.clone()).or_default();
            beside.push(tombstone);
        }
        let is_removed = move |entry: &Entry| {
            removals
                .get(&entry.target)
                .is_some_and(|beside| beside.iter().any(|tombstone| tombstone.removes(entry)))
        };
        Ok(base.filter(move |entry| !is_removed(entry)).chain(added))
    }

    pub fn explain(&self, subject: &Subject) -> Result<Explanation, NoEvidence> {
        explain(self, subject)
    }
}
