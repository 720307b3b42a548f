//! A request's path -> the copies that routes are matched on. What goes upstream is never one of these unless a route
//! rewrites the path.
//!
//! Normal form: octets that need no escape are written without one, escapes are in capitals, empty and dot segments are
//! gone (RFC 3986 section 6.2.2). `%2F` and `%5C` are data to some servers and slashes to others, each by itself (Go
//! takes the first for a slash and the second for data), so a path that holds one has two readings, one with both four.

use std::borrow::Cow;

use http1::Refusal;
use http1::render::hex_digit;

/// Which escapes part segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// `%2F`
    pub slash: bool,
    /// `%5C`
    pub backslash: bool,
}

impl Parting {
    pub const NOTHING: Self = Self {
        slash: false,
        backslash: false,
    };

    /// Every other way in which a path that holds these escapes may be read.
    fn others(holds: Self) -> impl Iterator<Item = Self> {
        let ways = [(true, false), (false, true), (true, true)];
        ways.into_iter()
            .filter(move |(slash, backslash)| {
                (!slash || holds.slash) && (!backslash || holds.backslash)
            })
            .map(|(slash, backslash)| Self { slash, backslash })
    }
}

/// How servers of different kinds read one path.
#[derive(Debug, PartialEq, Eq)]
pub struct Readings<'p> {
    /// `%2F` and `%5C` are data.
    pub as_data: Cow<'p, [u8]>,
    /// One of them is a slash, or both; empty without such escapes.
    pub others: Vec<Vec<u8>>,
}

impl<'p> Readings<'p> {
    /// One pass over a path that is in normal form already, which most are. An escaped NUL is refused: what is written
    /// in C stops there.
    pub fn of(path: &'p [u8]) -> Result<Self, Refusal> {
        if is_normal(path) {
            return Ok(Self {
                as_data: Cow::Borrowed(path),
                others: Vec::new(),
            });
        }
        let mut holds = Parting::NOTHING;
        for index in 0..path.len() {
            match escape_at(path, index) {
                Some(0) => return Err(Refusal::Target),
                Some(b'/') => holds.slash = true,
                Some(b'\\') => holds.backslash = true,
                _ => {}
            }
        }
        Ok(Self {
            as_data: Cow::Owned(normal(path, Parting::NOTHING)),
            others: Parting::others(holds)
                .map(|parting| normal(path, parting))
                .collect(),
        })
    }

    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        let others = self.others.iter().map(Vec::as_slice);
        std::iter::once(&*self.as_data).chain(others)
    }
}

/// Surely in normal form; `/.well-known` is too and takes the longer way.
fn is_normal(path: &[u8]) -> bool {
    let mut follows_slash = false;
    for &octet in path {
        if octet == b'%' || (follows_slash && matches!(octet, b'/' | b'.')) {
            return false;
        }
        follows_slash = octet == b'/';
    }
    true
}

/// The octet that a complete escape at `index` stands for.
fn escape_at(path: &[u8], index: usize) -> Option<u8> {
    let [b'%', high, low] = *path.get(index..index + 3)? else {
        return None;
    };
    Some(hex_value(high)? << 4 | hex_value(low)?)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

/// The normal form of one reading.
pub fn normal(path: &[u8], parting: Parting) -> Vec<u8> {
    let plain = unescape(path, parting);
    let mut out = Vec::with_capacity(plain.len() + 1);
    let mut ends_with_slash = false;
    for segment in plain.split(|&octet| octet == b'/') {
        ends_with_slash = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            // Above the root there is nothing: it stays (RFC 3986 section 5.2.4).
            b".." => out.truncate(out.iter().rposition(|&octet| octet == b'/').unwrap_or(0)),
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    if ends_with_slash {
        out.push(b'/');
    }
    out
}

fn unescape(path: &[u8], parting: Parting) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut index = 0;
    while let Some(&octet) = path.get(index) {
        let Some(escaped) = escape_at(path, index) else {
            // A `%` that begins no escape is data, to us as to whoever does not refuse it.
            out.push(octet);
            index += 1;
            continue;
        };
        index += 3;
        match escaped {
            b'/' if parting.slash => out.push(b'/'),
            b'\\' if parting.backslash => out.push(b'/'),
            _ if is_unreserved(escaped) => out.push(escaped),
            _ => {
                let digits = [escaped >> 4, escaped & 15].map(|nibble| hex_digit(nibble.into()));
                out.push(b'%');
                out.extend(digits.map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(path: &str) -> String {
        let readings = Readings::of(path.as_bytes()).expect("no NUL");
        String::from_utf8(readings.as_data.into_owned()).expect("ASCII")
    }

    fn others(path: &str) -> Vec<String> {
        let readings = Readings::of(path.as_bytes()).expect("no NUL");
        let texts = readings.others.into_iter();
        texts
            .map(|path| String::from_utf8(path).expect("ASCII"))
            .collect()
    }

    #[test]
    fn what_is_the_same_to_every_server_becomes_the_same() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/%61/%7eb", "/a/~b"),
            ("/a%3ab%3f", "/a%3Ab%3F"),
            ("//a///b", "/a/b"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/../../a", "/a"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/..", "/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/.../b", "/a/.../b"),
            ("/a%2/%zz%", "/a%2/%zz%"),
            ("/%2561", "/%2561"),
        ] {
            assert_eq!(data(path), expected, "{path}");
        }
    }

    #[test]
    fn escaped_slashes_have_other_readings() {
        assert_eq!(others("/a/b"), [""; 0]);
        assert_eq!(others("/a%20b"), [""; 0]);
        assert_eq!(others("/a%2fb"), ["/a/b"]);
        assert_eq!(others("/a/..%5Cb"), ["/b"]);
        assert_eq!(others("/q%5Cr/../a%2fb"), ["/a/b", "/q/a%2Fb", "/q/a/b"]);
        assert_eq!(data("/a/..%2fb"), "/a/..%2Fb");
    }

    #[test]
    fn an_escaped_nul_is_refused() {
        assert_eq!(Readings::of(b"/a%00b"), Err(Refusal::Target));
    }

    #[test]
    fn the_normal_form_is_its_own() {
        for path in ["/a//..%2f./%2e/b%7E", "/%2e./", "/a/b%", "/..%5c..%2fx//"] {
            let readings = Readings::of(path.as_bytes()).expect("no NUL");
            for once in readings.all() {
                assert_eq!(normal(once, Parting::NOTHING), once, "{path}");
            }
        }
    }
}
