//! Configuration compiled to tables: identity, verdict, policy, heads and record of one request.
//!
//! `Gate` holds what all connections of a worker share and swaps it by one store; `Downstream` and `Upstream` are the
//! codecs of one connection each. Bytes in, bytes and numbers out; no I/O but the counters in shared memory.
#![forbid(unsafe_code)]

mod access;
pub mod action;
mod addresses;
mod answer;
mod changes;
pub mod config;
mod date;
mod downstream;
mod end;
mod events;
mod exchange;
mod fixed;
mod forward;
mod gate;
mod hidden;
mod histogram;
mod identity;
mod judge;
pub mod limits;
mod network;
mod path;
mod request_body;
mod request_id;
mod response_head;
mod rewrite;
mod route;
mod route_counters;
mod route_rules;
mod router;
mod segment;
mod traffic;
pub mod upstream;

pub use addresses::Entry;
pub use changes::ChangeSettings;
pub use config::{ConfigError, Settings, Tables, tenths};
pub use downstream::Downstream;
pub use end::{ENDS, End};
pub use gate::{Gate, InvalidPeer};
pub use histogram::Histogram;
pub use identity::parse_address;
pub use network::TrustedNetworks;
pub use request_body::BodyPart;
pub use route::{NO_ROUTE, RouteSettings};
pub use route_counters::{ROUTE_COUNTERS, RouteCounts};
pub use route_rules::Miss;
pub use router::MOST_ROUTES;
pub use segment::{COUNTERS, Counter, GAUGES, Gauge, Segment, SegmentError, Sizes};
pub use upstream::Upstream;
