//! Host names to their canonical form: lower case, punycode, no trailing dot.
//!
//! Labels hold letters, digits, `-` and `_` (names in lists have both at either end, so no STD3 rules); 1-63 bytes each,
//! 253 in all. Names with other characters go through UTS-46 as a browser would (WHATWG URL), which is also where
//! full-width dots become dots. Labels that begin with `xn--` are opaque when looked up and checked when listed.

use std::fmt;

use idna::AsciiDenyList;

use crate::block::{BLOCK_BYTES, load};
use crate::simd::classify;

pub const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
/// More Unicode than could ever shrink to a name; keeps UTS-46 from chewing on megabytes.
const MAX_UNICODE_BYTES: usize = 2048;

/// Why a text is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    Empty,
    /// The root `.` alone.
    Root,
    /// A leading dot, two dots in a row, or more than one trailing dot.
    EmptyLabel,
    LabelTooLong,
    NameTooLong,
    /// A byte that host names do not have.
    Byte(u8),
    /// The last label is a number: an address or a broken one, never a name (WHATWG URL, host parsing).
    NumericLastLabel,
    /// Not UTF-8, or refused by UTS-46.
    Unicode,
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("the name is empty"),
            Self::Root => formatter.write_str("the root is not a host name"),
            Self::EmptyLabel => formatter.write_str("a label is empty"),
            Self::LabelTooLong => formatter.write_str("a label is longer than 63 bytes"),
            Self::NameTooLong => formatter.write_str("the name is longer than 253 bytes"),
            Self::Byte(byte) => write!(formatter, "byte 0x{byte:02x} does not belong in a name"),
            Self::NumericLastLabel => {
                formatter.write_str("the last label is a number, so this is no domain")
            }
            Self::Unicode => formatter.write_str("not valid under UTS-46"),
        }
    }
}

impl std::error::Error for NameError {}

/// Room for a name that has to be changed to be canonical.
pub type NameBuffer = [u8; 256];

/// The canonical name: the text itself when it is one (hosts nearly always are), otherwise folded in the buffer.
/// 17 bytes take 10 ns that way; always copying took 27, and then hashing waited for the byte-wide stores.
#[inline]
pub fn canonical<'a>(text: &'a [u8], buffer: &'a mut NameBuffer) -> Result<&'a [u8], NameError> {
    let text = match text {
        [] => return Err(NameError::Empty),
        [b'.'] => return Err(NameError::Root),
        [name @ .., b'.'] | name => name,
    };
    if is_plain(text) {
        return Ok(text);
    }
    match check(text) {
        Ok(true) => Ok(text),
        Ok(false) => Ok(lower_case(text, buffer)),
        Err(NameError::Byte(0x80..)) => from_unicode(text, buffer),
        Err(error) => Err(error),
    }
}

/// Whether a text is certainly a canonical name. Says no to what it takes care to judge: a last label that begins with a
/// digit, names of 64 bytes and more (whose labels may be too long).
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let length = text.len();
    let (plain, dots) = if length <= BLOCK_BYTES {
        let classes = classify(&load(text));
        (
            u64::from(classes.plain) << 32,
            u64::from(classes.dots) << 32,
        )
    } else if length < 2 * BLOCK_BYTES {
        let low = classify(&load(&text[..length - BLOCK_BYTES]));
        let high = classify(&load(text));
        let both = |low, high| u64::from(low) | u64::from(high) << 32;
        (both(low.plain, high.plain), both(low.dots, high.dots))
    } else {
        return false;
    };
    // The text is at the upper end; no dot may be its first byte, its last or beside another.
    let Some(own) = u64::MAX.checked_shl(64 - u32::try_from(length).unwrap_or(0)) else {
        return false;
    };
    let beside = dots << 1 | own & own.wrapping_neg() | 1 << 63;
    let last_label = length.saturating_sub(dots.leading_zeros() as usize);
    let is_digit = text.get(last_label).is_none_or(u8::is_ascii_digit);
    plain & own == own && dots & beside == 0 && !is_digit
}

/// Whether a name without its trailing dot is canonical; false when only its case is not.
#[inline]
fn check(text: &[u8]) -> Result<bool, NameError> {
    if text.len() > MAX_NAME_BYTES {
        return Err(too_long(text));
    }
    let (mut is_valid, mut is_canonical) = (true, true);
    let mut label_start = 0;
    for (position, byte) in text.iter().enumerate() {
        let folded = FOLDED[usize::from(*byte)];
        is_valid &= folded != 0;
        is_canonical &= folded == *byte;
        if folded == b'.' {
            check_label(position - label_start)?;
            label_start = position + 1;
        }
    }
    if !is_valid {
        return Err(first_invalid(text));
    }
    check_label(text.len() - label_start)?;
    let last = &text[label_start..];
    let begins_with_digit = last.first().is_some_and(u8::is_ascii_digit);
    if begins_with_digit && (last.iter().all(u8::is_ascii_digit) || is_hex_number(last)) {
        return Err(NameError::NumericLastLabel);
    }
    Ok(is_canonical)
}

fn lower_case<'a>(text: &[u8], buffer: &'a mut NameBuffer) -> &'a [u8] {
    let place = &mut buffer[..text.len()];
    place.copy_from_slice(text);
    place.make_ascii_lowercase();
    place
}

#[cold]
fn from_unicode<'a>(text: &[u8], buffer: &'a mut NameBuffer) -> Result<&'a [u8], NameError> {
    if text.len() > MAX_UNICODE_BYTES {
        return Err(NameError::NameTooLong);
    }
    std::str::from_utf8(text).map_err(|_| NameError::Unicode)?;
    let ascii =
        idna::domain_to_ascii_cow(text, AsciiDenyList::EMPTY).map_err(|_| NameError::Unicode)?;
    let ascii = ascii.strip_suffix('.').unwrap_or(&ascii).as_bytes();
    check(ascii)?;
    Ok(lower_case(ascii, buffer))
}

/// A canonical name of its own.
#[derive(Clone)]
pub struct Name {
    bytes: NameBuffer,
    length: usize,
}

impl Name {
    /// As it is looked up.
    pub fn parse(text: &[u8]) -> Result<Self, NameError> {
        let mut buffer = [0; 256];
        let name = canonical(text, &mut buffer)?;
        let mut bytes = [0; 256];
        bytes[..name.len()].copy_from_slice(name);
        Ok(Self {
            bytes,
            length: name.len(),
        })
    }

    /// For entries: punycode labels must also be valid.
    pub fn parse_checked(text: &[u8]) -> Result<Self, NameError> {
        let name = Self::parse(text)?;
        check_punycode(name.as_bytes())?;
        Ok(name)
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("invariant: only ASCII is folded")
    }
}

/// As `canonical`, for entries: punycode labels must also be valid.
#[inline]
pub(crate) fn canonical_entry<'a>(
    text: &'a [u8],
    buffer: &'a mut NameBuffer,
) -> Result<&'a [u8], NameError> {
    let name = canonical(text, buffer)?;
    check_punycode(name)?;
    Ok(name)
}

/// Whether a list could hold this name as it is spelt. Copies nothing.
#[inline]
pub(crate) fn is_canonical_entry(text: &[u8]) -> bool {
    check(text) == Ok(true) && check_punycode(text).is_ok()
}

#[inline]
fn check_punycode(name: &[u8]) -> Result<(), NameError> {
    if name.windows(4).any(|part| part == b"xn--") {
        check_punycode_labels(name)
    } else {
        Ok(())
    }
}

#[cold]
fn check_punycode_labels(name: &[u8]) -> Result<(), NameError> {
    let mut labels = name.split(|byte| *byte == b'.');
    if labels.any(|label| label.starts_with(b"xn--")) {
        idna::domain_to_ascii_cow(name, AsciiDenyList::EMPTY).map_err(|_| NameError::Unicode)?;
    }
    Ok(())
}

#[inline]
fn check_label(length: usize) -> Result<(), NameError> {
    match length {
        0 => Err(NameError::EmptyLabel),
        1..=MAX_LABEL_BYTES => Ok(()),
        _ => Err(NameError::LabelTooLong),
    }
}

/// What is not ASCII is named first: the rest may be fine under UTS-46.
#[cold]
fn first_invalid(text: &[u8]) -> NameError {
    let unicode = text.iter().find(|byte| !byte.is_ascii());
    let invalid = text.iter().find(|byte| FOLDED[usize::from(**byte)] == 0);
    NameError::Byte(unicode.or(invalid).copied().unwrap_or(0))
}

/// Too long, unless UTS-46 may still shorten it.
#[cold]
fn too_long(text: &[u8]) -> NameError {
    let unicode = text.iter().find(|byte| !byte.is_ascii());
    unicode.map_or(NameError::NameTooLong, |byte| NameError::Byte(*byte))
}

fn is_hex_number(label: &[u8]) -> bool {
    matches!(label, [b'0', b'x' | b'X', digits @ ..] if digits.iter().all(u8::is_ascii_hexdigit))
}

/// Lower case of every byte a name may hold, 0 for the others.
static FOLDED: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> Result<String, NameError> {
        Name::parse_checked(text.as_bytes()).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn spellings_of_one_name_become_one() {
        for (text, expected) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("M\u{fc}nchen.de", "xn--mnchen-3ya.de"),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
            ("\u{ff45}xample\u{3002}com", "example.com"),
            ("stra\u{df}e.de", "xn--strae-oqa.de"),
            ("_dmarc.a--b-.-c.co", "_dmarc.a--b-.-c.co"),
            ("com", "com"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", NameError::Empty),
            (".", NameError::Root),
            ("a..b", NameError::EmptyLabel),
            ("a.b..", NameError::EmptyLabel),
            (".a.b", NameError::EmptyLabel),
            ("..", NameError::EmptyLabel),
            ("a b.c", NameError::Byte(b' ')),
            ("*.b.c", NameError::Byte(b'*')),
            ("a.b:80", NameError::Byte(b':')),
            ("1.2.3.4", NameError::NumericLastLabel),
            ("a.2130706433", NameError::NumericLastLabel),
            ("a.0x7F", NameError::NumericLastLabel),
            ("a.0X", NameError::NumericLastLabel),
            ("xn--a.de", NameError::Unicode),
            ("\u{ad}.de", NameError::EmptyLabel),
        ] {
            assert_eq!(canonical(text), Err(reason), "{text}");
        }
        assert_eq!(Name::parse(b"\xff.de").err(), Some(NameError::Unicode));
        assert!(Name::parse(b"xn--a.de").is_ok(), "opaque when looked up");
    }

    #[test]
    fn lengths_are_held_to_the_byte() {
        let label = "a".repeat(63);
        assert!(canonical(&label).is_ok());
        assert_eq!(
            canonical(&format!("{label}a")),
            Err(NameError::LabelTooLong)
        );
        let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        assert_eq!(canonical(&longest).as_deref(), Ok(longest.as_str()));
        assert!(canonical(&format!("{longest}.")).is_ok());
        assert_eq!(
            canonical(&format!("{longest}b")),
            Err(NameError::NameTooLong)
        );
        assert_eq!(
            canonical(&"\u{fc}.".repeat(2000)),
            Err(NameError::NameTooLong)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic_and_canonical_is_a_fixed_point(text: Vec<u8>) {
            if let Ok(name) = Name::parse_checked(&text) {
                let again = Name::parse_checked(name.as_bytes()).expect("canonical");
                prop_assert_eq!(name.as_bytes(), again.as_bytes());
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(text in "\\PC{0,80}") {
            let _ = Name::parse_checked(text.as_bytes());
        }
    }
}
