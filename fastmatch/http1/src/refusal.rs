//! Why bytes are not taken for a message, and the status that says so.

/// One name per rule, so that tests and counters can tell them apart. The client sees the status alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not `method SP target SP HTTP/d.d`.
    StartLine,
    /// A bare LF or a bare CR (RFC 9112 section 2.2).
    LineEnd,
    /// Not `token ":" value`, obs-fold, or blanks where none may be.
    Field,
    Version,
    HeadTooLarge,
    TooManyFields,
    TargetTooLong,
    /// A form that the method does not have, another scheme, user information.
    Target,
    /// Missing, repeated, not a host, or other than the target's.
    Host,
    ContentLength,
    TransferEncoding,
    UnknownCoding,
    /// Content-Length beside Transfer-Encoding (RFC 9112 section 6.1).
    LengthAndCoding,
    /// Too many connection options.
    Connection,
    /// CONNECT and TRACE.
    Method,
    Expectation,
    BodyTooLarge,
    Chunk,
    Trailer,
    /// A trusted peer's X-Forwarded-For that is no list of addresses.
    Forwarding,
    /// Our own name in Via.
    Loop,
    /// An answer's status outside of 100-999, or 101 to a request that asked for no upgrade.
    Status,
    /// No list is installed and the configuration says to fail closed.
    NoList,
}

impl Refusal {
    pub fn status(self) -> u16 {
        match self {
            Self::StartLine
            | Self::LineEnd
            | Self::Field
            | Self::Target
            | Self::Host
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::LengthAndCoding
            | Self::Connection
            | Self::Chunk
            | Self::Trailer
            | Self::Forwarding => 400,
            Self::Method => 405,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::UnknownCoding => 501,
            Self::Status => 502,
            Self::NoList => 503,
            Self::Version => 505,
            Self::Loop => 508,
        }
    }
}
