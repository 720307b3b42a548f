//! The chunked coding (RFC 9112 section 7.1): strict decoding, and encoding anew.
//!
//! The sender's own framing bytes never travel on: what one decoder forgives, another may read differently. Extensions
//! and trailers are checked, bounded and dropped.

use crate::Refusal;
use crate::lines::{HeadKind, check_field_line};
use crate::render::hexadecimal;

/// Sixteen hexadecimal digits overflow; nothing real needs more than these.
const SIZE_DIGITS: u8 = 15;
/// Per chunk: a signature or two.
const EXTENSION_BYTES: u16 = 1024;
const TRAILER_BYTES: usize = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Digits seen so far.
    Size(u8),
    Extension,
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    /// Inside the trailer section.
    Trailer,
    Done,
}

/// Decodes one body. A byte at a time or all at once gives the same payload and the same fault.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// Bytes left of this chunk; while its size is read, the size.
    remaining: u64,
    extension_bytes: u16,
    trailer_bytes: usize,
    /// The trailer line that is not complete yet; empty nearly always.
    trailer_line: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Size(0),
            remaining: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            trailer_line: Vec::new(),
        }
    }
}

impl Decoder {
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Gives every piece of payload to `sink`, returns how many bytes of `input` belong to this body.
    pub fn decode(&mut self, input: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, Refusal> {
        let mut position = 0;
        while let Some(&octet) = input.get(position) {
            match self.state {
                State::Done => break,
                State::Data => {
                    let rest = &input[position..];
                    let length = usize::try_from(self.remaining)
                        .unwrap_or(usize::MAX)
                        .min(rest.len());
                    sink(&rest[..length]);
                    self.remaining -= length as u64;
                    position += length;
                    if self.remaining == 0 {
                        self.state = State::DataReturn;
                    }
                    continue;
                }
                State::Size(digits) => self.take_size(octet, digits)?,
                State::Extension => self.take_extension(octet)?,
                State::SizeEnd => {
                    expect(octet, b'\n')?;
                    self.extension_bytes = 0;
                    self.state = if self.remaining == 0 {
                        State::Trailer
                    } else {
                        State::Data
                    };
                }
                State::DataReturn => {
                    expect(octet, b'\r')?;
                    self.state = State::DataEnd;
                }
                State::DataEnd => {
                    expect(octet, b'\n')?;
                    self.state = State::Size(0);
                }
                State::Trailer => self.take_trailer(octet)?,
            }
            position += 1;
        }
        Ok(position)
    }

    /// Payload bytes that `input` holds, without moving on. Costs the chunk lines, not the payload.
    pub fn measure(&self, input: &[u8]) -> Result<u64, Refusal> {
        let mut total = 0;
        self.clone()
            .decode(input, |payload| total += payload.len() as u64)?;
        Ok(total)
    }

    fn take_size(&mut self, octet: u8, digits: u8) -> Result<(), Refusal> {
        let value = match octet {
            b'0'..=b'9' => octet - b'0',
            b'a'..=b'f' => octet - b'a' + 10,
            b'A'..=b'F' => octet - b'A' + 10,
            b'\r' if digits > 0 => {
                self.state = State::SizeEnd;
                return Ok(());
            }
            b';' if digits > 0 => {
                self.state = State::Extension;
                return Ok(());
            }
            _ => return Err(Refusal::Chunk),
        };
        if digits >= SIZE_DIGITS {
            return Err(Refusal::Chunk);
        }
        self.remaining = if digits == 0 { 0 } else { self.remaining << 4 } | u64::from(value);
        self.state = State::Size(digits + 1);
        Ok(())
    }

    fn take_extension(&mut self, octet: u8) -> Result<(), Refusal> {
        self.extension_bytes += 1;
        match octet {
            b'\r' => self.state = State::SizeEnd,
            // A bare LF here once let a second request through (CVE-2024-52304).
            0..=8 | 10..=31 | 127 => return Err(Refusal::Chunk),
            _ if self.extension_bytes > EXTENSION_BYTES => return Err(Refusal::Chunk),
            _ => {}
        }
        Ok(())
    }

    fn take_trailer(&mut self, octet: u8) -> Result<(), Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES {
            return Err(Refusal::Trailer);
        }
        if octet != b'\n' {
            self.trailer_line.push(octet);
            return Ok(());
        }
        let line = self.trailer_line.strip_suffix(b"\r");
        match line.ok_or(Refusal::Trailer)? {
            [] => {
                self.state = State::Done;
                self.trailer_line = Vec::new();
            }
            line => {
                check_field_line(line, HeadKind::Request).map_err(|_| Refusal::Trailer)?;
                self.trailer_line.clear();
            }
        }
        Ok(())
    }
}

fn expect(octet: u8, wanted: u8) -> Result<(), Refusal> {
    if octet == wanted {
        Ok(())
    } else {
        Err(Refusal::Chunk)
    }
}

/// The end of a body: last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The line before `length` bytes of payload, which `CHUNK_END` follows. Zero would end the body: not for zero.
pub fn chunk_line(out: &mut Vec<u8>, length: u64) {
    debug_assert!(length > 0, "an empty chunk is the last one");
    hexadecimal(out, length);
    out.extend_from_slice(CHUNK_END);
}

pub const CHUNK_END: &[u8] = b"\r\n";

/// One chunk, or nothing for no payload.
pub fn encode(out: &mut Vec<u8>, payload: &[u8]) {
    if !payload.is_empty() {
        chunk_line(out, payload.len() as u64);
        out.extend_from_slice(payload);
        out.extend_from_slice(CHUNK_END);
    }
}

/// Decodes `input` and appends its payload as one chunk, and the last chunk when the body is over.
///
/// Returns (bytes of input used, payload bytes). Nothing is appended when it fails.
pub fn recode(
    decoder: &mut Decoder,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(usize, u64), Refusal> {
    if decoder.is_done() {
        return Ok((0, 0));
    }
    let total = decoder.measure(input)?;
    if total > 0 {
        chunk_line(out, total);
    }
    let used = decoder.decode(input, |payload| out.extend_from_slice(payload))?;
    if total > 0 {
        out.extend_from_slice(CHUNK_END);
    }
    if decoder.is_done() {
        out.extend_from_slice(LAST_CHUNK);
    }
    Ok((used, total))
}
