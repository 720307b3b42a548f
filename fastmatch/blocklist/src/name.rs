//! Host names to their canonical form: lower case, punycode, no trailing dot.

use std::fmt;

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
