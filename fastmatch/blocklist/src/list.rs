//! A compiled list as its users see it: a base, perhaps an overlay above it, and a clock.

use std::cmp::Ordering as Order;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::address::{Address, parse_ipv4, parse_ipv6, unmap};
use crate::builder::Builder;
use crate::compile::{Layer, Stamp, layer};
use crate::decision::Decision;
use crate::entry::Entry;
use crate::evidence::Evidence;
use crate::explain::{Explanation, NoEvidence, Subject, explain};
use crate::image::{Header, ImageError};
use crate::name::{NameError, canonical};
use crate::pack::PackError;
use crate::unpack::unpack;
use crate::verdict::VerdictRef;

/// More than an operator's overlay ever holds, and still compiled in about a second.
const MAX_OVERLAY_ENTRIES: usize = 1_000_000;

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

/// The verdict on a host: a name or an address literal.
pub type HostLookup<'a> = Result<Option<VerdictRef<'a>>, NameError>;

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
    base: Arc<Layer>,
    overlay: Option<Arc<Layer>>,
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
        unpack(packed, MAX_OVERLAY_ENTRIES, |entry| {
            builder
                .add(&entry)
                .map_err(|_| "the entries do not fit one list")
        })?;
        let (epoch, _) = self.version();
        let overlay = layer(
            &builder,
            Stamp {
                epoch,
                sequence,
                now: self.created(),
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

    /// Entries in base and overlay.
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
                .map(|layer| layer.decision.verdict_count() as u64)
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
            .map_or(0, |layer| layer.decision.verdict_count());
        (self.base.decision.verdict_count(), overlay)
    }

    pub fn verdict(&self, id: u32) -> Option<VerdictRef<'_>> {
        let base = &self.base.decision;
        let offset = self.overlay_offset();
        if id < offset {
            return Some(VerdictRef::new(base, id, 0));
        }
        let overlay = &self.overlay.as_ref()?.decision;
        let is_known = ((id - offset) as usize) < overlay.verdict_count();
        is_known.then(|| VerdictRef::new(overlay, id - offset, offset))
    }

    fn overlay_offset(&self) -> u32 {
        u32::try_from(self.base.decision.verdict_count()).unwrap_or(u32::MAX)
    }

    #[inline]
    pub fn lookup4(&self, address: u32) -> Option<VerdictRef<'_>> {
        let chain = self.base.decision.chain4(address);
        match &self.overlay {
            None => self.base_verdict(chain),
            Some(overlay) => self.strongest(chain, overlay, overlay.decision.chain4(address)),
        }
    }

    /// A mapped IPv4 address is judged as IPv4.
    #[inline]
    pub fn lookup6(&self, address: u128) -> Option<VerdictRef<'_>> {
        if let Some(mapped) = unmap(address) {
            return self.lookup4(mapped);
        }
        let chain = self.base.decision.chain6(address);
        match &self.overlay {
            None => self.base_verdict(chain),
            Some(overlay) => self.strongest(chain, overlay, overlay.decision.chain6(address)),
        }
    }

    pub fn lookup_address(&self, address: IpAddr) -> Option<VerdictRef<'_>> {
        match address {
            IpAddr::V4(address) => self.lookup4(address.to_bits()),
            IpAddr::V6(address) => self.lookup6(address.to_bits()),
        }
    }

    /// The verdict on a name: upper case, one trailing dot and Unicode are folded. No allocation for ASCII.
    #[inline]
    pub fn lookup_domain_bytes(&self, name: &[u8]) -> HostLookup<'_> {
        let mut buffer = [0; 256];
        Ok(self.lookup_name(canonical(name, &mut buffer)?))
    }

    /// `name` is canonical.
    #[inline]
    fn lookup_name(&self, name: &[u8]) -> Option<VerdictRef<'_>> {
        let chain = self.base.decision.domains.chain(name);
        match &self.overlay {
            None => self.base_verdict(chain),
            Some(overlay) => self.strongest(chain, overlay, overlay.decision.domains.chain(name)),
        }
    }

    /// As `lookup_domain_bytes`, but an IPv4 literal or a bracketed IPv6 literal is judged as an address. No port.
    #[inline]
    pub fn lookup_host(&self, host: &[u8]) -> HostLookup<'_> {
        if let [b'[', literal @ .., b']'] = host {
            return match parse_ipv6(literal) {
                Some(bits) => Ok(self.lookup6(bits)),
                None => Err(NameError::Byte(b'[')),
            };
        }
        match self.lookup_domain_bytes(host) {
            // Only a name that ends in a number can be an address.
            Err(NameError::NumericLastLabel) => match parse_ipv4(host) {
                Some(bits) => Ok(self.lookup4(bits)),
                None => Err(NameError::NumericLastLabel),
            },
            judged => judged,
        }
    }

    /// Every entry, the base's first. Entries that say the same share their statement.
    pub fn entries(&self) -> Result<impl Iterator<Item = Entry>, NoEvidence> {
        let layers = self.layers().map(|layer| {
            let evidence = layer.evidence.as_ref().ok_or(NoEvidence)?;
            Ok(evidence.entries(&layer.decision))
        });
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        Ok(layers.into_iter().flatten())
    }

    pub fn explain(&self, subject: &Subject) -> Result<Explanation, NoEvidence> {
        explain(self, subject)
    }

    pub(crate) fn lookup_subject(&self, subject: &Subject) -> Option<VerdictRef<'_>> {
        match subject {
            Subject::Address(Address::V4(bits)) => self.lookup4(*bits),
            Subject::Address(Address::V6(bits)) => self.lookup6(*bits),
            Subject::Name(name) => self.lookup_name(name.as_bytes()),
        }
    }

    #[inline]
    fn base_verdict(&self, chain: u32) -> Option<VerdictRef<'_>> {
        if chain == 0 {
            return None;
        }
        let decision = &self.base.decision;
        decision
            .live(chain, self.clock.now())
            .map(|live| VerdictRef::new(decision, live.verdict, 0))
    }

    /// Each list's strongest by the rule, a known-good entry of either vetoing the feeds' blocks of both.
    fn strongest<'a>(
        &'a self,
        base_chain: u32,
        overlay: &'a Layer,
        overlay_chain: u32,
    ) -> Option<VerdictRef<'a>> {
        if overlay_chain == 0 {
            return self.base_verdict(base_chain);
        }
        let (base, overlay) = (&self.base.decision, &overlay.decision);
        let now = self.clock.now();
        let pick = |list: &Decision, chain: u32, is_vetoed: bool| {
            if is_vetoed {
                list.live_vetoed(chain, now)
            } else {
                list.live(chain, now)
            }
        };
        let from_base = pick(base, base_chain, overlay.is_vetoed(overlay_chain));
        let from_overlay = pick(overlay, overlay_chain, base.is_vetoed(base_chain));
        let overlay_wins = match (from_base, from_overlay) {
            (Some(below), Some(above)) => overlay.compare(above, base, below) == Order::Greater,
            (below, _) => below.is_none(),
        };
        if overlay_wins {
            from_overlay.map(|live| VerdictRef::new(overlay, live.verdict, self.overlay_offset()))
        } else {
            from_base.map(|live| VerdictRef::new(base, live.verdict, 0))
        }
    }
}
