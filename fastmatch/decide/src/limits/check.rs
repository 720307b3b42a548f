//! A request and the limits of its route -> may it pass, and what its client is told.

use std::net::IpAddr;

use http1::render::{decimal, decimal_field};
use http1::request::RequestHead;

use super::keys::{Identity, Keys};
use super::policy::{Key, Limit, MOST_LIMITS};
use super::table::{LimitTable, Quota, Standing, TICKS_PER_SECOND};

/// Limits of the edge and of one route.
const MOST: usize = 2 * MOST_LIMITS;

/// What requests are counted in, and when.
pub(crate) struct Counting<'c> {
    pub table: LimitTable<'c>,
    pub keys: &'c Keys,
    /// Ticks.
    pub now: u64,
    /// A limit that finds no place in the table lets pass.
    pub passes_unknown: bool,
}

/// One of a route's limits, and where this request stands with it.
#[derive(Clone, Copy)]
struct Counted<'l> {
    limit: &'l Limit,
    key: u64,
    standing: Standing,
}

/// Where a request stands with all of its route's limits.
pub(crate) struct Outcome<'l> {
    counted: [Option<Counted<'l>>; MOST],
    pub is_exceeded: bool,
    /// Limits for which the table had no place.
    pub unknown_count: u64,
}

impl<'c> Counting<'c> {
    /// Counts the request in all limits that apply to it, or in none when it exceeds one of them.
    pub fn check<'l>(
        &self,
        limits: &'l [Limit],
        client: IpAddr,
        head: &RequestHead<'_, '_>,
    ) -> Outcome<'l> {
        let mut counted = [None; MOST];
        let mut count = 0;
        for limit in limits {
            let (Some(key), Some(place)) =
                (self.key_of(limit, client, head), counted.get_mut(count))
            else {
                continue;
            };
            let standing = Standing::Within { spent: 0 };
            *place = Some(Counted {
                limit,
                key,
                standing,
            });
            count += 1;
        }
        let mut outcome = Outcome {
            counted,
            is_exceeded: false,
            unknown_count: 0,
        };
        // One limit is looked up once; of several, none is charged for what another refuses.
        if count > 1 {
            self.judge(&mut outcome, LimitTable::look);
        }
        if count > 0 && !outcome.is_exceeded {
            outcome.unknown_count = 0;
            self.judge(&mut outcome, LimitTable::take);
        }
        outcome
    }

    fn key_of(&self, limit: &Limit, client: IpAddr, head: &RequestHead<'_, '_>) -> Option<u64> {
        let identity: Identity = limit.identity;
        match &limit.key {
            Key::Client => Some(self.keys.of_client(identity, client)),
            Key::Route => Some(self.keys.of_all(identity)),
            Key::Header(name) => {
                let fields = head.fields.iter();
                let lines = fields.filter(|field| field.name.as_bytes().eq_ignore_ascii_case(name));
                self.keys
                    .of_values(identity, lines.map(|field| field.value))
            }
        }
    }

    fn judge(
        &self,
        outcome: &mut Outcome<'_>,
        ask: impl Fn(&LimitTable<'c>, u64, u64, Quota) -> Standing,
    ) {
        for counted in outcome.counted.iter_mut().map_while(Option::as_mut) {
            let standing = ask(&self.table, counted.key, self.now, counted.limit.quota);
            counted.standing = standing;
            match standing {
                Standing::Within { .. } => {}
                Standing::Exceeded { .. } => outcome.is_exceeded = true,
                Standing::Unknown { .. } => {
                    outcome.unknown_count += 1;
                    outcome.is_exceeded |= !self.passes_unknown;
                }
            }
        }
    }
}

impl Counted<'_> {
    fn is_exceeded(&self) -> bool {
        !matches!(self.standing, Standing::Within { .. })
    }
}

impl Outcome<'_> {
    fn all(&self) -> impl Iterator<Item = &Counted<'_>> {
        self.counted.iter().map_while(Option::as_ref)
    }

    /// Those that say no.
    fn exceeded(&self) -> impl Iterator<Item = &Counted<'_>> {
        self.all().filter(|counted| counted.is_exceeded())
    }

    /// The first limit that says no, by its name.
    pub fn name(&self) -> &str {
        self.exceeded()
            .next()
            .map_or("", |counted| &counted.limit.name)
    }

    /// `"a","b"`: names are plain, so they need no escapes.
    pub fn write_names(&self, out: &mut Vec<u8>) {
        for (index, counted) in self.exceeded().enumerate() {
            let comma: &[u8] = if index > 0 { b"," } else { b"" };
            for part in [comma, b"\"", counted.limit.name.as_bytes(), b"\""] {
                out.extend_from_slice(part);
            }
        }
    }

    /// How a refused client is told when to come again, and by which limits.
    pub fn write_refusal(&self, out: &mut Vec<u8>) {
        let waits = self
            .exceeded()
            .map(|counted| until_more(counted.standing, counted.limit.quota));
        decimal_field(out, b"Retry-After", waits.max().unwrap_or(1).max(1));
        write_fields(out, || self.exceeded());
    }

    /// What is left of each limit.
    pub fn write_fields(&self, out: &mut Vec<u8>) {
        write_fields(out, || self.all());
    }
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), nothing without a limit.
fn write_fields<'c, I: Iterator<Item = &'c Counted<'c>>>(
    out: &mut Vec<u8>,
    limits: impl Fn() -> I,
) {
    if limits().next().is_none() {
        return;
    }
    out.extend_from_slice(b"RateLimit-Policy: ");
    for (index, counted) in limits().enumerate() {
        separate(out, index);
        out.extend_from_slice(&counted.limit.policy);
    }
    out.extend_from_slice(b"\r\nRateLimit: ");
    for (
        index,
        Counted {
            limit, standing, ..
        },
    ) in limits().enumerate()
    {
        separate(out, index);
        for part in [b"\"", limit.name.as_bytes(), b"\";r="] {
            out.extend_from_slice(part);
        }
        decimal(out, left(*standing, limit.quota));
        out.extend_from_slice(b";t=");
        decimal(out, until_more(*standing, limit.quota));
    }
    out.extend_from_slice(b"\r\n");
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.extend_from_slice(b", ");
    }
}

/// Requests that may still come at once.
fn left(standing: Standing, quota: Quota) -> u64 {
    match standing {
        Standing::Within { spent } => (quota.allowance - spent) / quota.interval,
        Standing::Exceeded { .. } | Standing::Unknown { .. } => 0,
    }
}

/// Seconds until one more may come, rounded up; 0 when none is missing.
fn until_more(standing: Standing, quota: Quota) -> u64 {
    let ticks = match standing {
        // With one more left than now, so much would be spent.
        Standing::Within { spent } => {
            let free = (left(standing, quota) + 1) * quota.interval;
            spent.saturating_sub(quota.allowance.saturating_sub(free))
        }
        Standing::Exceeded { wait } | Standing::Unknown { wait } => wait,
    };
    ticks.div_ceil(TICKS_PER_SECOND)
}
