//! The name of one exchange in every log on its way.

use http1::render::hex_digit;

const OWN_BYTES: usize = 32;
const MOST_BYTES: usize = 64;

/// 128 bits of ours in hexadecimal, or what a trusted proxy calls it; no allocation.
#[derive(Clone, Copy, Debug)]
pub struct RequestId {
    bytes: [u8; MOST_BYTES],
    length: usize,
}

impl RequestId {
    pub fn from_words(words: [u64; 2]) -> Self {
        let mut bytes = [0; MOST_BYTES];
        for (index, digit) in bytes.iter_mut().take(OWN_BYTES).enumerate() {
            *digit = hex_digit(words[index / 16] >> (60 - 4 * (index % 16)));
        }
        Self {
            bytes,
            length: OWN_BYTES,
        }
    }

    /// Letters, digits and `-._`, at most 64: nothing that could break a field, a log line or a JSON string.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._".contains(octet);
        if text.is_empty() || !text.iter().all(is_plain) {
            return None;
        }
        let mut bytes = [0; MOST_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self {
            bytes,
            length: text.len(),
        })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}
