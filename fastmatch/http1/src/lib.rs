//! Bytes to strict HTTP/1 heads, body framing and re-made heads; no I/O.
//!
//! `request` and `response` turn a head into slices of the input, `lines` finds its end when it comes in pieces,
//! `chunked` is the body coding both ways, `field` says what a field means to an intermediary. Nothing here knows of
//! policy. Every refusal has a status (`Refusal::status`); the rules and their sources are in `DESIGN.md` beside this
//! crate. One head costs one pass of `httparse`, one pass over the fields and no allocation.
#![forbid(unsafe_code)]

pub mod chunked;
pub mod field;
pub mod fields;
pub mod lines;
pub mod list;
mod octets;
pub mod proxy_header;
mod refusal;
pub mod render;
pub mod request;
pub mod response;
pub mod target;

pub use octets::{is_field_value, is_target, is_token, parse_decimal};
pub use refusal::Refusal;

/// Only these two are spoken; everything else is refused with 505.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    Http11,
}

/// How many bytes of a body follow a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    /// Responses only: until the connection closes.
    ToClose,
}

/// Bounds of one head. They hold byte by byte, not only for heads that arrive whole.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Start line and fields with their line ends.
    pub head_bytes: usize,
    /// The request target alone.
    pub target_bytes: usize,
    /// At most `FIELD_CAPACITY`.
    pub field_count: usize,
}

/// Most fields that any head may have, whatever the configuration says: parsing needs no allocation this way.
pub const FIELD_CAPACITY: usize = 256;

/// Longest method: no registered one has more than 17 letters.
pub const METHOD_BYTES: usize = 32;
