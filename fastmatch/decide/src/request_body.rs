//! What is still to come of a request's body.

use http1::chunked::{Decoder, recode};
use http1::{Framing, Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPart {
    pub consumed: usize,
    pub is_done: bool,
    /// The input itself is the output: nothing was written.
    pub passes_through: bool,
}

#[derive(Clone, Debug)]
pub enum RequestBody {
    Done,
    Length(u64),
    /// With the payload bytes so far.
    Chunked(Box<Decoder>, u64),
}

/// Idle connections do not pay for the decoder, but a hundred thousand uploads would.
const _: () = assert!(size_of::<Decoder>() < 128);

fn clamp(left: u64, most: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(most)
}

impl RequestBody {
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length @ 1..) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::default(), 0),
            _ => Self::Done,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Body bytes that came with the head go out with it when both are small; returns how many were used.
    pub fn take_along(
        &mut self,
        data: &[u8],
        room: usize,
        limit: u64,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        let size = match self {
            Self::Done => 0,
            Self::Length(left) => clamp(*left, data.len()),
            Self::Chunked(..) => data.len(),
        };
        if size == 0 || size > room {
            return Ok(0);
        }
        let part = self.feed(&data[..size], limit, out)?;
        if part.passes_through {
            out.extend_from_slice(&data[..size]);
        }
        Ok(part.consumed)
    }

    /// Appends what the upstream gets, unless that is the input itself. `limit` is for chunked bodies: a declared
    /// length was checked before.
    pub fn feed(
        &mut self,
        data: &[u8],
        limit: u64,
        out: &mut Vec<u8>,
    ) -> Result<BodyPart, Refusal> {
        let (consumed, passes_through) = match self {
            Self::Done => (0, false),
            Self::Length(left) => {
                let length = clamp(*left, data.len());
                *left -= length as u64;
                if length < data.len() {
                    out.extend_from_slice(&data[..length]);
                }
                if *left == 0 {
                    *self = Self::Done;
                }
                (length, length == data.len())
            }
            Self::Chunked(decoder, total) => {
                let (used, payload) = recode(decoder, data, out)?;
                *total += payload;
                if *total > limit {
                    return Err(Refusal::BodyTooLarge);
                }
                if decoder.is_done() {
                    *self = Self::Done;
                }
                (used, false)
            }
        };
        Ok(BodyPart {
            consumed,
            is_done: self.is_done(),
            passes_through,
        })
    }

    /// Some(bytes) and done when all of the body has arrived, None when more is to come.
    pub fn skip_arrived(&mut self, data: &[u8]) -> Result<Option<usize>, Refusal> {
        let used = match self {
            Self::Done => Some(0),
            Self::Length(left) => usize::try_from(*left)
                .ok()
                .filter(|length| *length <= data.len()),
            Self::Chunked(decoder, _) => {
                let used = decoder.decode(data, |_| {})?;
                decoder.is_done().then_some(used)
            }
        };
        if used.is_some() {
            *self = Self::Done;
        }
        Ok(used)
    }
}
