//! Comma-separated field values (RFC 9110 section 5.6.1).

use crate::octets::trim;

/// The elements of a list, trimmed; empty ones are left out, as a recipient must.
pub fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value
        .split(|&octet| octet == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

pub fn contains(value: &[u8], wanted: &[u8]) -> bool {
    elements(value).any(|element| element.eq_ignore_ascii_case(wanted))
}
