//! Answers that a route gives by itself: a redirection or a fixed response.

use http1::request::RequestHead;
use http1::target::Target;

use crate::answer::Content;
use crate::config::{ConfigError, error};
use crate::forward::{NO_HOST, path_of};
use crate::rewrite::Rewrite;
use crate::route_rules::is_clean_value;

const MOST_BODY_BYTES: usize = 65_536;
const MOST_LOCATION_BYTES: usize = 2048;

#[derive(Clone, Debug)]
pub(crate) enum Fixed {
    Redirect {
        status: u16,
        location: Box<[Piece]>,
    },
    Response {
        status: u16,
        content_type: Box<[u8]>,
        body: Box<[u8]>,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Text(Box<[u8]>),
    /// Of the request, without its port.
    Host,
    /// As it would go upstream, without the query.
    Path,
    /// With its question mark; nothing when there is none.
    Query,
}

impl Fixed {
    pub fn redirect(status: u16, location: &str) -> Result<Self, ConfigError> {
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let reason = format!("{status} is not 301, 302, 303, 307 or 308");
            return Err(error("redirect", reason));
        }
        Ok(Self::Redirect {
            status,
            location: pieces(location)?,
        })
    }

    pub fn response(status: u16, content_type: &str, body: &str) -> Result<Self, ConfigError> {
        let fault = |reason: String| Err(error("respond", reason));
        if !(200..=599).contains(&status) {
            return fault(format!("{status} is no final status"));
        }
        if matches!(status, 204 | 205 | 304) && !body.is_empty() {
            return fault(format!("{status} has no body"));
        }
        if body.len() > MOST_BODY_BYTES {
            return fault(format!("the body has more than {MOST_BODY_BYTES} bytes"));
        }
        if content_type.is_empty() || !content_type.is_ascii() || !is_clean_value(content_type) {
            return fault(format!("{content_type:?} is not a content type"));
        }
        Ok(Self::Response {
            status,
            content_type: content_type.as_bytes().into(),
            body: body.as_bytes().into(),
        })
    }

    pub fn status(&self) -> u16 {
        match self {
            Self::Redirect { status, .. } | Self::Response { status, .. } => *status,
        }
    }

    /// What is answered to one request; `location` is where its Location is written.
    pub fn content<'c>(
        &'c self,
        head: &RequestHead<'_, '_>,
        rewrite: Option<&Rewrite>,
        location: &'c mut Vec<u8>,
    ) -> Content<'c> {
        match self {
            Self::Response {
                content_type, body, ..
            } => Content::Fixed { content_type, body },
            Self::Redirect {
                location: pieces, ..
            } => {
                for piece in pieces {
                    piece.write(location, head, rewrite);
                }
                Content::Location(location)
            }
        }
    }
}

impl Piece {
    fn write(&self, out: &mut Vec<u8>, head: &RequestHead<'_, '_>, rewrite: Option<&Rewrite>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text),
            Self::Host => out.extend_from_slice(head.host.map_or(NO_HOST, |host| host.name)),
            Self::Path => match path_of(&head.target) {
                b"" => out.push(b'/'),
                path => match rewrite {
                    Some(rewrite) => rewrite.write(out, &Target::Origin(path)),
                    None => out.extend_from_slice(path),
                },
            },
            Self::Query => match head.target {
                Target::Origin(rest) | Target::Absolute { rest, .. } => {
                    out.extend_from_slice(&rest[path_of(&head.target).len()..]);
                }
                Target::Asterisk => {}
            },
        }
    }
}

/// `https://{host}/new{path}{query}` -> its pieces. The place that a client is sent to is the operator's: neither a
/// relative reference nor one whose host the client's path could make up.
fn pieces(location: &str) -> Result<Box<[Piece]>, ConfigError> {
    let fault = |rule: &str| error("redirect", format!("location {location:?} {rule}"));
    let begins_well = match (
        location.strip_prefix("http://"),
        location.strip_prefix("https://"),
    ) {
        (Some(rest), _) | (_, Some(rest)) => {
            rest.starts_with("{host}")
                || rest.starts_with(|first: char| first.is_alphanumeric() || first == '[')
        }
        _ => location
            .strip_prefix('/')
            .is_some_and(|rest| !rest.starts_with(['/', '\\', '{'])),
    };
    if !begins_well {
        return Err(fault(
            "does not begin with http:// or https:// and a host, or with a path of its own",
        ));
    }
    if location.len() > MOST_LOCATION_BYTES {
        return Err(fault("is too long"));
    }
    let mut pieces = Vec::new();
    let mut rest = location;
    while !rest.is_empty() {
        let (text, behind) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
        if !text.is_empty() {
            if !http1::is_target(text.as_bytes()) || text.contains('}') {
                return Err(fault("holds octets that a URL does not have, or braces"));
            }
            pieces.push(Piece::Text(text.as_bytes().into()));
        }
        let known = [
            ("{host}", Piece::Host),
            ("{path}", Piece::Path),
            ("{query}", Piece::Query),
        ];
        rest = match known.into_iter().find(|(name, _)| behind.starts_with(name)) {
            Some((name, piece)) => {
                pieces.push(piece);
                &behind[name.len()..]
            }
            None if behind.is_empty() => behind,
            None => {
                return Err(fault(
                    "has braces around something else than host, path or query",
                ));
            }
        };
    }
    Ok(pieces.into_boxed_slice())
}
