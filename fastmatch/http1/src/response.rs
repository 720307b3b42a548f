//! A response head -> status, fields with their kinds, body framing, or the reason why not.

use httparse::{Header, ParserConfig, Status};

use crate::field::{self, FieldKind};
use crate::lines::{HeadKind, LineScanner};
use crate::octets::parse_decimal;
use crate::request::{CONNECTION_BYTES, FieldStorage, check_coding};
use crate::{FIELD_CAPACITY, Framing, Limits, Refusal, Version, list};

/// A strict response head; everything borrows from the input.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one head"
)]
#[derive(Debug)]
pub struct ResponseHead<'h, 'b> {
    pub status: u16,
    pub reason: &'b [u8],
    pub version: Version,
    /// The head's bytes, which every slice here is part of.
    pub source: &'b [u8],
    pub fields: &'h [Header<'b>],
    pub kinds: &'h [FieldKind],
    /// Of the body that follows: `None` for 1xx, 204, 304 and answers to HEAD, whatever the fields say.
    pub framing: Framing,
    /// What Content-Length says, also where no body follows.
    pub content_length: Option<u64>,
    pub keep_alive: bool,
    pub names_fields: bool,
    /// `Connection: upgrade` and `Upgrade: websocket`.
    pub is_websocket: bool,
    pub has_date: bool,
    pub length: usize,
}

pub enum Parse<'h, 'b> {
    Complete(ResponseHead<'h, 'b>),
    Incomplete(LineScanner),
}

/// Parses a head from the first bytes of a response to a request; `to_head`: the request was HEAD.
pub fn parse<'h, 'b>(
    data: &'b [u8],
    limits: &Limits,
    to_head: bool,
    storage: &'h mut FieldStorage<'b>,
) -> Result<Parse<'h, 'b>, Refusal> {
    let FieldStorage { headers, kinds } = storage;
    let mut response = httparse::Response::new(&mut []);
    let status = ParserConfig::default()
        .allow_spaces_after_header_name_in_responses(true)
        .parse_response_with_uninit_headers(&mut response, data, &mut headers[..]);
    if let Ok(Status::Complete(length)) = status {
        if is_strict(data, length, &response, limits) {
            let (Some(code), Some(version)) = (response.code, response.version) else {
                return Err(Refusal::StartLine);
            };
            let version = if version == 0 {
                Version::Http10
            } else {
                Version::Http11
            };
            let mut head = judge(code, version, to_head, response.headers, kinds)?;
            head.reason = reason_of(data);
            head.length = length;
            head.source = data;
            return Ok(Parse::Complete(head));
        }
    }
    let mut scanner = LineScanner::default();
    match scanner.advance(data, HeadKind::Response, limits)? {
        None => Ok(Parse::Incomplete(scanner)),
        Some(_) => Err(Refusal::Field),
    }
}

/// httparse gives back an empty reason when it holds opaque bytes; ours travels as it is.
fn reason_of(data: &[u8]) -> &[u8] {
    let line_end = data.iter().position(|&octet| octet == b'\r').unwrap_or(0);
    data.get(13..line_end).unwrap_or_default()
}

#[inline]
fn is_strict(
    data: &[u8],
    length: usize,
    response: &httparse::Response<'_, '_>,
    limits: &Limits,
) -> bool {
    let base = data.as_ptr().addr();
    let lines_are_strict = response.headers.iter().all(|header| {
        let name_start = header.name.as_ptr().addr() - base;
        data.get(name_start.wrapping_sub(2)..name_start) == Some(b"\r\n")
    });
    let first_line_end = data.iter().position(|&octet| octet == b'\n');
    let fields_start = response
        .headers
        .first()
        .map_or(length.wrapping_sub(2), |header| {
            header.name.as_ptr().addr() - base
        });
    lines_are_strict
        && data.starts_with(b"HTTP/1.")
        && first_line_end.is_some_and(|end| end + 1 == fields_start)
        && data
            .get(..length)
            .is_some_and(|head| head.ends_with(b"\r\n\r\n"))
        && length <= limits.head_bytes
        && response.headers.len() <= limits.field_count
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one head"
)]
#[derive(Default)]
struct Findings {
    length: Option<u64>,
    is_chunked: bool,
    connection_bytes: usize,
    closes: bool,
    keeps_alive: bool,
    upgrades: bool,
    upgrades_to_websocket: bool,
    names_fields: bool,
    has_date: bool,
}

fn judge<'h, 'b>(
    status: u16,
    version: Version,
    to_head: bool,
    fields: &'h [Header<'b>],
    kinds: &'h mut [FieldKind; FIELD_CAPACITY],
) -> Result<ResponseHead<'h, 'b>, Refusal> {
    if status < 100 {
        return Err(Refusal::Status);
    }
    let mut found = Findings::default();
    for (header, kind) in fields.iter().zip(kinds.iter_mut()) {
        *kind = field::classify(header.name.as_bytes());
        if *kind != FieldKind::Other {
            found.take(*kind, header.value)?;
        }
    }
    if found.is_chunked && (found.length.is_some() || version == Version::Http10) {
        return Err(Refusal::LengthAndCoding);
    }
    let is_bodyless = to_head || status < 200 || status == 204 || status == 304;
    let framing = match found.length {
        _ if is_bodyless => Framing::None,
        _ if found.is_chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::ToClose,
    };
    let is_http11 = version == Version::Http11;
    Ok(ResponseHead {
        status,
        reason: b"",
        version,
        source: b"",
        fields,
        kinds: &kinds[..fields.len()],
        framing,
        content_length: found.length,
        keep_alive: !found.closes && (is_http11 || found.keeps_alive),
        names_fields: found.names_fields,
        is_websocket: found.upgrades && found.upgrades_to_websocket,
        has_date: found.has_date,
        length: 0,
    })
}

impl Findings {
    /// A doubtful length in an answer is 502 whatever follows (RFC 9112 section 6.3, item 5).
    fn take(&mut self, kind: FieldKind, value: &[u8]) -> Result<(), Refusal> {
        match kind {
            FieldKind::ContentLength => {
                let length = parse_decimal(value).ok_or(Refusal::ContentLength)?;
                if self.length.replace(length).is_some() {
                    return Err(Refusal::ContentLength);
                }
            }
            FieldKind::TransferEncoding => {
                check_coding(value)?;
                if std::mem::replace(&mut self.is_chunked, true) {
                    return Err(Refusal::TransferEncoding);
                }
            }
            FieldKind::Connection => {
                self.connection_bytes += value.len();
                if self.connection_bytes > CONNECTION_BYTES {
                    return Err(Refusal::Connection);
                }
                for option in list::elements(value) {
                    match option {
                        _ if option.eq_ignore_ascii_case(b"close") => self.closes = true,
                        _ if option.eq_ignore_ascii_case(b"keep-alive") => self.keeps_alive = true,
                        _ if option.eq_ignore_ascii_case(b"upgrade") => self.upgrades = true,
                        _ => self.names_fields = true,
                    }
                }
            }
            FieldKind::Upgrade => {
                self.upgrades_to_websocket = value.eq_ignore_ascii_case(b"websocket");
            }
            FieldKind::Date => self.has_date = true,
            _ => {}
        }
        Ok(())
    }
}
