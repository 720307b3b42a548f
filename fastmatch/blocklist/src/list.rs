//! A compiled list as its users see it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::name::NameError;
use crate::verdict::VerdictRef;

/// The coarse clock expiry is judged by, in Unix seconds.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn advance(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

/// The verdict on a host: a name or an address literal.
pub type HostLookup<'a> = Result<Option<VerdictRef<'a>>, NameError>;

/// An immutable list; lookups neither lock nor allocate.
pub struct Blocklist {
    clock: Arc<Clock>,
    version: (u64, u64),
}

impl Blocklist {
    /// (epoch, sequence) of the base, or of the overlay when there is one.
    pub fn version(&self) -> (u64, u64) {
        self.version
    }

    /// Shared by every list made from this one.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    pub fn verdict(&self, _id: u32) -> Option<VerdictRef<'_>> {
        None
    }

    pub fn lookup4(&self, _address: u32) -> Option<VerdictRef<'_>> {
        None
    }

    /// A mapped IPv4 address is judged as IPv4.
    pub fn lookup6(&self, _address: u128) -> Option<VerdictRef<'_>> {
        None
    }

    pub fn lookup_address(&self, address: IpAddr) -> Option<VerdictRef<'_>> {
        match address {
            IpAddr::V4(address) => self.lookup4(address.to_bits()),
            IpAddr::V6(address) => self.lookup6(address.to_bits()),
        }
    }

    /// The verdict on a name: upper case, one trailing dot and Unicode are folded. No allocation for ASCII.
    pub fn lookup_domain_bytes(&self, _name: &[u8]) -> HostLookup<'_> {
        Err(NameError::Empty)
    }

    /// As `lookup_domain_bytes`, but an IPv4 literal or a bracketed IPv6 literal is judged as an address. No port.
    pub fn lookup_host(&self, _host: &[u8]) -> HostLookup<'_> {
        Err(NameError::Empty)
    }
}
