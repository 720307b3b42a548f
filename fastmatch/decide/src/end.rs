//! Why an exchange ended: one word of the access log for each row of "Ends" in `proxy/edge/DESIGN.md`.

use http1::Refusal;

macro_rules! words {
    ($($(#[$note:meta])* $variant:ident = $word:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum End { $($(#[$note])* $variant,)+ }

        pub const ENDS: &[&str] = &[$($word,)+];

        impl End {
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// None when it is no such word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// The whole answer of the upstream was handed to the client's transport.
    Complete = "complete",
    /// 101: from here on it is a tunnel, whose bytes and end are not in the line.
    Tunnel = "tunnel",
    /// An answer of ours that is no error.
    Answered = "answered",
    /// By a verdict, when its head came.
    Denied = "denied",
    /// By a newer list, while it was open.
    Blocked = "blocked",
    /// A rule of HTTP or a limit of ours is broken; the status says which.
    Refused = "refused",
    Unrouted = "unrouted",
    /// A path of the gateway that nobody outside may reach.
    Hidden = "hidden",
    Limited = "limited",
    NoList = "no_list",
    Loop = "loop",
    /// More than may wait for an upstream.
    Overloaded = "overloaded",
    HeadTimeout = "head_timeout",
    BodyTimeout = "body_timeout",
    SendTimeout = "send_timeout",
    /// All buffers of the worker together were too much, and this client had not read for the longest time.
    BufferBudget = "buffer_budget",
    ClientClosed = "client_closed",
    /// No connection: refused, unreachable, no address.
    UpstreamRefused = "upstream_refused",
    UpstreamConnectTimeout = "upstream_connect_timeout",
    /// It took no more of the request.
    UpstreamWriteTimeout = "upstream_write_timeout",
    /// No first byte of the answer.
    UpstreamHeadTimeout = "upstream_head_timeout",
    /// Silence within the answer.
    UpstreamReadTimeout = "upstream_read_timeout",
    UpstreamClosed = "upstream_closed",
    UpstreamReset = "upstream_reset",
    UpstreamMalformed = "upstream_malformed",
    /// Not finished when the time to drain was over.
    DrainDeadline = "drain_deadline",
}

impl End {
    pub fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoList => Self::NoList,
            Refusal::Loop => Self::Loop,
            _ => Self::Refused,
        }
    }

    /// For a caller that says no more than the status.
    pub fn of_status(status: u16) -> Self {
        match status {
            499 => Self::ClientClosed,
            403 => Self::Blocked,
            429 => Self::Limited,
            ..500 => Self::Refused,
            503 => Self::Overloaded,
            504 => Self::UpstreamHeadTimeout,
            _ => Self::UpstreamClosed,
        }
    }

    /// Such exchanges are many and alike: a share of them is enough. The others are always written.
    pub fn is_ordinary(self) -> bool {
        matches!(self, Self::Complete | Self::Tunnel | Self::Answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_is_one_of_the_list() {
        for word in ENDS {
            assert_eq!(End::parse(word).map(End::word), Some(*word));
        }
        assert_eq!(End::parse("because"), None);
    }
}
