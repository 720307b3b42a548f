//! What `Downstream::head` answers, as numbers that cross the border to Python.

use http1::request::{Method, RequestHead};
use http1::{Framing, Refusal};

use crate::request_body::RequestBody;

/// Kinds of action, in the low four bits, and flags.
pub const FORWARD: u32 = 1;
pub const DENY: u32 = 2;
pub const BODY_DONE: u32 = 16;
pub const IDEMPOTENT: u32 = 32;
pub const UPGRADE: u32 = 64;
pub const CLOSE: u32 = 128;
pub const EXPECT_CONTINUE: u32 = 256;

pub const BODY_NONE: u32 = 0;
pub const BODY_LENGTH: u32 = 1;
pub const BODY_CHUNKED: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// `FORWARD` or `DENY`, with flags.
    pub action: u32,
    /// Its place in the configuration, or `NO_ROUTE`.
    pub route: u32,
    pub body_kind: u32,
    /// What remains of a length-delimited body after the output, -1 when chunked.
    pub length: i64,
    /// Bytes of the input that were used.
    pub consumed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadOutcome {
    Incomplete,
    Refused(Refusal),
    Ready(Action),
}

fn flags<const N: usize>(flags: [(bool, u32); N]) -> u32 {
    flags.iter().fold(0, |all, (is_set, flag)| {
        all | if *is_set { *flag } else { 0 }
    })
}

impl Action {
    /// The output is for the upstream; `body` is what is left of the request's.
    pub(crate) fn forward(
        head: &RequestHead<'_, '_>,
        body: &RequestBody,
        closes: bool,
        consumed: usize,
        route: u32,
    ) -> Self {
        let (body_kind, length) = match (head.framing, body) {
            (Framing::Chunked, _) => (BODY_CHUNKED, -1),
            (Framing::Length(_), RequestBody::Length(left)) => {
                (BODY_LENGTH, i64::try_from(*left).unwrap_or(i64::MAX))
            }
            (Framing::Length(_), _) => (BODY_LENGTH, 0),
            _ => (BODY_NONE, 0),
        };
        let is_idempotent = head.method != Method::Other && !head.is_websocket;
        let flags = flags([
            (body.is_done(), BODY_DONE),
            (is_idempotent, IDEMPOTENT),
            (head.is_websocket, UPGRADE),
            (closes, CLOSE),
            (head.expects_continue, EXPECT_CONTINUE),
        ]);
        Self {
            action: FORWARD | flags,
            route,
            body_kind,
            length,
            consumed,
        }
    }

    /// The output is the whole answer to the client.
    pub(crate) fn answered(body_is_done: bool, closes: bool, consumed: usize, route: u32) -> Self {
        Self {
            action: DENY | flags([(body_is_done, BODY_DONE), (closes, CLOSE)]),
            route,
            body_kind: BODY_NONE,
            length: 0,
            consumed,
        }
    }
}
