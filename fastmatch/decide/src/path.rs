//! A request's path -> the copies that routes are matched on. What goes upstream is never one of these unless a route
//! rewrites the path.
//!
//! Normal form: octets that need no escape are written without one, escapes are in capitals, empty and dot segments are
//! gone (RFC 3986 section 6.2.2). `%2F` and `%5C` are data to some servers and slashes to others, so a path that holds
//! one has two readings.

use std::borrow::Cow;

use http1::Refusal;
use http1::render::hex_digit;

/// How two kinds of servers read one path. Without an escaped slash both are the same and there is only the first.
#[derive(Debug, PartialEq, Eq)]
pub struct Readings<'p> {
    /// `%2F` and `%5C` are data.
    pub as_data: Cow<'p, [u8]>,
    /// They are slashes.
    pub as_slash: Option<Vec<u8>>,
}

impl<'p> Readings<'p> {
    /// One pass over a path that is in normal form already, which most are. An escaped NUL is refused: what is written
    /// in C stops there.
    pub fn of(path: &'p [u8]) -> Result<Self, Refusal> {
        if is_normal(path) {
            return Ok(Self {
                as_data: Cow::Borrowed(path),
                as_slash: None,
            });
        }
        let mut has_slash = false;
        for index in 0..path.len() {
            match escape_at(path, index) {
                Some(0) => return Err(Refusal::Target),
                Some(b'/' | b'\\') => has_slash = true,
                _ => {}
            }
        }
        Ok(Self {
            as_data: Cow::Owned(normal(path, false)),
            as_slash: has_slash.then(|| normal(path, true)),
        })
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

/// The normal form. `slashes`: escaped slashes and backslashes part segments too.
pub fn normal(path: &[u8], slashes: bool) -> Vec<u8> {
    let plain = unescape(path, slashes);
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

fn unescape(path: &[u8], slashes: bool) -> Vec<u8> {
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
            b'/' | b'\\' if slashes => out.push(b'/'),
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

    fn slash(path: &str) -> Option<String> {
        let readings = Readings::of(path.as_bytes()).expect("no NUL");
        readings
            .as_slash
            .map(|path| String::from_utf8(path).expect("ASCII"))
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
    fn escaped_slashes_have_a_second_reading() {
        assert_eq!(slash("/a/b"), None);
        assert_eq!(slash("/a%20b"), None);
        assert_eq!(slash("/a%2fb").as_deref(), Some("/a/b"));
        assert_eq!(slash("/a/..%5Cb").as_deref(), Some("/b"));
        assert_eq!(data("/a/..%2fb"), "/a/..%2Fb");
    }

    #[test]
    fn an_escaped_nul_is_refused() {
        assert_eq!(Readings::of(b"/a%00b"), Err(Refusal::Target));
    }

    #[test]
    fn the_normal_form_is_its_own() {
        for path in ["/a//..%2f./%2e/b%7E", "/%2e./", "/a/b%", "/..%5c..%2fx//"] {
            for slashes in [false, true] {
                let once = normal(path.as_bytes(), slashes);
                assert_eq!(normal(&once, slashes), once, "{path}");
            }
        }
    }
}
