//! The lookups of a list: a subject to the verdict on it.

use std::cmp::Ordering;
use std::net::IpAddr;

use crate::address::{Address, parse_ipv4, parse_ipv6, unmap};
use crate::compile::Layer;
use crate::explain::Subject;
use crate::list::Blocklist;
use crate::name::{NameError, canonical};
use crate::rule::Link;
use crate::verdict::VerdictRef;

/// The verdict on a host: a name or an address literal.
pub type HostLookup<'a> = Result<Option<VerdictRef<'a>>, NameError>;

impl Blocklist {
    #[inline]
    pub fn lookup4(&self, address: u32) -> Option<VerdictRef<'_>> {
        let chain = self.base.decision.chain4(address);
        match &self.overlay {
            None => self.base_verdict(chain, self.clock().now()),
            Some(overlay) => self.strongest(
                chain,
                overlay,
                overlay.decision.chain4(address),
                self.clock().now(),
            ),
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
            None => self.base_verdict(chain, self.clock().now()),
            Some(overlay) => self.strongest(
                chain,
                overlay,
                overlay.decision.chain6(address),
                self.clock().now(),
            ),
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
            None => self.base_verdict(chain, self.clock().now()),
            Some(overlay) => self.strongest(
                chain,
                overlay,
                overlay.decision.domains.chain(name),
                self.clock().now(),
            ),
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

    pub(crate) fn lookup_subject(&self, subject: &Subject) -> Option<VerdictRef<'_>> {
        match subject {
            Subject::Address(Address::V4(bits)) => self.lookup4(*bits),
            Subject::Address(Address::V6(bits)) => self.lookup6(*bits),
            Subject::Name(name) => self.lookup_name(name.as_bytes()),
        }
    }

    #[inline]
    pub(crate) fn base_verdict(&self, chain: u32, now: u64) -> Option<VerdictRef<'_>> {
        if chain == 0 {
            return None;
        }
        let decision = &self.base.decision;
        decision
            .live(chain, now)
            .map(|live| VerdictRef::new(decision, live.verdict, 0))
    }

    /// Each list's strongest by the rule, where a known-good entry of either vetoes the feeds' blocks of both and the
    /// overlay's tombstones leave out what they remove.
    pub(crate) fn strongest<'a>(
        &'a self,
        base_chain: u32,
        overlay: &'a Layer,
        overlay_chain: u32,
        now: u64,
    ) -> Option<VerdictRef<'a>> {
        if overlay_chain == 0 {
            return self.base_verdict(base_chain, now);
        }
        let (below, above) = (&self.base.decision, &overlay.decision);
        let (base, overlay) = (&below.ruling, &above.ruling);
        let has_tombstones = overlay.has_tombstones(overlay_chain);
        let is_removed = |link: &Link| has_tombstones && overlay.removes(overlay_chain, base, link);
        let is_vetoed = overlay.is_vetoed(overlay_chain)
            || base.is_vetoed(base_chain) && base.is_vetoed_without(base_chain, is_removed);
        let from_base = base.strongest(base_chain, now, is_vetoed, is_removed);
        let from_overlay = overlay.strongest(overlay_chain, now, is_vetoed, |_| false);
        let overlay_wins = match (from_base, from_overlay) {
            (Some(theirs), Some(ours)) => overlay.compare(ours, base, theirs) == Ordering::Greater,
            (theirs, _) => theirs.is_none(),
        };
        if overlay_wins {
            from_overlay.map(|found| VerdictRef::new(above, found.verdict, self.overlay_offset()))
        } else {
            from_base.map(|found| VerdictRef::new(below, found.verdict, 0))
        }
    }
}
