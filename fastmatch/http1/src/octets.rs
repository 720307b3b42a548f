//! Which octets may stand where (RFC 9110 section 5.6.2, RFC 9112 section 3).

const fn table(extra: &[u8], letters_and_digits: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "bounded by 256")]
        let byte = octet as u8;
        table[octet] = letters_and_digits && byte.is_ascii_alphanumeric();
        octet += 1;
    }
    let mut index = 0;
    while index < extra.len() {
        table[extra[index] as usize] = true;
        index += 1;
    }
    table
}

static TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~", true);

/// What names on a list are made of. Sub-delimiters, `~` and percent-encoding are legal and unused, and every one of
/// them is read differently somewhere.
static HOST_LABEL: [bool; 256] = table(b"-_", true);

/// RFC 3986 without the fragment mark, plus what browsers send raw in queries. A backslash is a slash to some.
static TARGET: [bool; 256] = table(b"!\"$%&'()*+,-./:;<=>?@[]^_`{|}~", true);

#[inline]
pub fn is_token_octet(octet: u8) -> bool {
    TOKEN[usize::from(octet)]
}

#[inline]
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&octet| TOKEN[usize::from(octet)])
}

#[inline]
pub fn is_host_label(text: &[u8]) -> bool {
    matches!(text.len(), 1..=63) && text.iter().all(|&octet| HOST_LABEL[usize::from(octet)])
}

#[inline]
pub fn is_target(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&octet| TARGET[usize::from(octet)])
}

/// No control character but the tab; bytes above 0x7f are opaque (RFC 9110 section 5.5).
#[inline]
pub fn is_field_value(text: &[u8]) -> bool {
    text.iter()
        .all(|&octet| (octet >= 0x20 && octet != 0x7f) || octet == b'\t')
}

/// Without spaces and tabs around it.
#[inline]
pub fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// `1*DIGIT`, at most 2^63-1. Signs, blanks, underscores and hexadecimal are refused (request smuggling by `+1`, `0x10`).
pub fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let mut value: u64 = 0;
    for &octet in text {
        if !octet.is_ascii_digit() {
            return None;
        }
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(octet - b'0'))?;
    }
    i64::try_from(value).is_ok().then_some(value)
}
