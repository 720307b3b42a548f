//! A request head -> method, target, fields with their kinds, body framing, or the reason why not.
//!
//! The common head arrives whole: `httparse` takes it in one pass, then one pass over the fields applies the stricter
//! rules. Any doubt (incomplete, refused, over a limit) goes through `lines`, which defines the order of faults.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use crate::field::{self, FieldKind};
use crate::lines::{HeadKind, LineScanner};
use crate::octets::{is_target, is_token, parse_decimal, trim};
use crate::target::{Host, Target};
use crate::{FIELD_CAPACITY, Framing, Limits, METHOD_BYTES, Refusal, Version, list};

/// Most connection options in one head: each is compared with each field name.
const CONNECTION_OPTIONS: usize = 32;
/// All their octets are walked for each field: 15 KB of commas made a head cost 1 ms instead of 2 us.
pub(crate) const CONNECTION_BYTES: usize = 1024;

/// Where the fields of one head are kept while it is looked at; lives on the stack, is never cleared.
pub struct FieldStorage<'b> {
    pub(crate) headers: [MaybeUninit<Header<'b>>; FIELD_CAPACITY],
    pub(crate) kinds: [FieldKind; FIELD_CAPACITY],
}

impl FieldStorage<'_> {
    #[inline]
    pub fn new() -> Self {
        Self {
            headers: [MaybeUninit::uninit(); FIELD_CAPACITY],
            kinds: [FieldKind::Other; FIELD_CAPACITY],
        }
    }
}

impl Default for FieldStorage<'_> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Options,
    /// PUT and DELETE.
    Idempotent,
    Other,
}

/// A strict request head; everything borrows from the input.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one head"
)]
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    pub method: Method,
    pub method_text: &'b str,
    pub target: Target<'b>,
    pub version: Version,
    /// The head's bytes, which every slice here is part of.
    pub source: &'b [u8],
    pub fields: &'h [Header<'b>],
    /// One for each field.
    pub kinds: &'h [FieldKind],
    /// The authority of an absolute target, else the Host field; None in HTTP/1.0 alone.
    pub host: Option<Host<'b>>,
    pub framing: Framing,
    pub keep_alive: bool,
    /// Some `Connection` option names a field other than the usual ones: see `is_named_by_connection`.
    pub names_fields: bool,
    /// GET, HTTP/1.1, no body, `Connection: upgrade`, `Upgrade: websocket` and nothing else.
    pub is_websocket: bool,
    pub expects_continue: bool,
    /// Bytes of the head, a forgiven empty line before it included.
    pub length: usize,
}

pub enum Parse<'h, 'b> {
    Complete(RequestHead<'h, 'b>),
    /// Keep the bytes and go on with this scanner.
    Incomplete(LineScanner),
}

/// Parses a head from the first bytes of a request.
pub fn parse<'h, 'b>(
    data: &'b [u8],
    limits: &Limits,
    storage: &'h mut FieldStorage<'b>,
) -> Result<Parse<'h, 'b>, Refusal> {
    let blank = if data.starts_with(b"\r\n") { 2 } else { 0 };
    let FieldStorage { headers, kinds } = storage;
    let bytes = &data[blank..];
    let mut request = httparse::Request::new(&mut []);
    let status = ParserConfig::default().parse_request_with_uninit_headers(
        &mut request,
        bytes,
        &mut headers[..],
    );
    if let Ok(Status::Complete(length)) = status {
        if is_strict(bytes, length, &request, limits) {
            let httparse::Request {
                method: Some(method),
                path: Some(target),
                version: Some(version),
                headers: fields,
            } = request
            else {
                return Err(Refusal::StartLine);
            };
            let version = if version == 0 {
                Version::Http10
            } else {
                Version::Http11
            };
            let mut head = judge(method, target, version, fields, kinds)?;
            head.length = blank + length;
            head.source = bytes;
            return Ok(Parse::Complete(head));
        }
    }
    let mut scanner = LineScanner::default();
    match scanner.advance(data, HeadKind::Request, limits)? {
        None => Ok(Parse::Incomplete(scanner)),
        // The lines take it and httparse does not: never seen, and not ours to forgive.
        Some(_) => Err(Refusal::Field),
    }
}

/// What httparse forgives and we do not: bare line feeds, leading line ends, limits, octets of the target.
#[inline]
fn is_strict(
    bytes: &[u8],
    length: usize,
    request: &httparse::Request<'_, '_>,
    limits: &Limits,
) -> bool {
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return false;
    };
    let base = bytes.as_ptr().addr();
    let start_line_end = method.len() + target.len() + 12;
    let mut line_end = start_line_end;
    for header in &*request.headers {
        let name_start = header.name.as_ptr().addr() - base;
        // Each name begins right after a CRLF; the first one right after the start line's.
        if bytes.get(name_start.wrapping_sub(2)..name_start) != Some(b"\r\n") {
            return false;
        }
        line_end = name_start;
    }
    let first_line = request
        .headers
        .first()
        .map_or(length.wrapping_sub(2), |header| {
            header.name.as_ptr().addr() - base
        });
    line_end <= length
        && first_line == start_line_end
        && bytes
            .get(..length)
            .is_some_and(|head| head.ends_with(b"\r\n\r\n"))
        && length <= limits.head_bytes
        && method.len() <= METHOD_BYTES
        && target.len() <= limits.target_bytes
        && request.headers.len() <= limits.field_count
        && is_token(method.as_bytes())
        && is_target(target.as_bytes())
}

/// What the fields add up to, before the rules about combinations.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one head"
)]
#[derive(Default)]
struct Findings<'b> {
    host: Option<&'b [u8]>,
    length: Option<u64>,
    coding: Option<Result<(), Refusal>>,
    upgrade: Option<&'b [u8]>,
    upgrade_count: usize,
    expect: Option<&'b [u8]>,
    connection_count: usize,
    connection_bytes: usize,
    closes: bool,
    keeps_alive: bool,
    upgrades: bool,
    names_fields: bool,
}

fn judge<'h, 'b>(
    method_text: &'b str,
    target_text: &'b str,
    version: Version,
    fields: &'h [Header<'b>],
    kinds: &'h mut [FieldKind; FIELD_CAPACITY],
) -> Result<RequestHead<'h, 'b>, Refusal> {
    let mut found = Findings::default();
    for (header, kind) in fields.iter().zip(kinds.iter_mut()) {
        *kind = field::classify(header.name.as_bytes());
        if *kind != FieldKind::Other {
            found.take(*kind, header.value)?;
        }
    }
    let method = method_of(method_text)?;
    let is_options = method == Method::Options;
    let target = Target::parse(target_text.as_bytes(), is_options)?;
    let host = effective_host(found.host, &target, version)?;
    let framing = framing_of(&found, version)?;
    let is_http11 = version == Version::Http11;
    let is_websocket = method == Method::Get
        && is_http11
        && framing == Framing::None
        && found.upgrades
        && found.upgrade_count == 1
        && found
            .upgrade
            .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let expects_continue = match found.expect {
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => {
            // RFC 9110 section 10.1.1: ignored in HTTP/1.0, and pointless without a body.
            is_http11 && !matches!(framing, Framing::None | Framing::Length(0))
        }
        Some(_) => return Err(Refusal::Expectation),
        None => false,
    };
    Ok(RequestHead {
        method,
        method_text,
        target,
        version,
        source: b"",
        fields,
        kinds: &kinds[..fields.len()],
        host,
        framing,
        keep_alive: !found.closes && (is_http11 || found.keeps_alive),
        names_fields: found.names_fields,
        is_websocket,
        expects_continue,
        length: 0,
    })
}

impl<'b> Findings<'b> {
    fn take(&mut self, kind: FieldKind, value: &'b [u8]) -> Result<(), Refusal> {
        match kind {
            FieldKind::Host if self.host.replace(value).is_some() => Err(Refusal::Host),
            FieldKind::ContentLength => {
                let length = parse_decimal(value).ok_or(Refusal::ContentLength)?;
                match self.length.replace(length) {
                    // Even an equal one: RFC 9110 section 8.6 lets us, and nobody honest sends two.
                    Some(_) => Err(Refusal::ContentLength),
                    None => Ok(()),
                }
            }
            FieldKind::TransferEncoding => match self.coding.replace(check_coding(value)) {
                Some(_) => Err(Refusal::TransferEncoding),
                None => Ok(()),
            },
            FieldKind::Upgrade => {
                self.upgrade = Some(value);
                self.upgrade_count += 1;
                Ok(())
            }
            FieldKind::Expect => match self.expect.replace(value) {
                Some(_) => Err(Refusal::Expectation),
                None => Ok(()),
            },
            FieldKind::Connection => self.take_connection(value),
            _ => Ok(()),
        }
    }

    fn take_connection(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.connection_bytes += value.len();
        if self.connection_bytes > CONNECTION_BYTES {
            return Err(Refusal::Connection);
        }
        for option in list::elements(value) {
            self.connection_count += 1;
            if option.eq_ignore_ascii_case(b"close") {
                self.closes = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keeps_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrades = true;
            } else {
                self.names_fields = true;
            }
        }
        if self.connection_count > CONNECTION_OPTIONS {
            return Err(Refusal::Connection);
        }
        Ok(())
    }
}

fn method_of(text: &str) -> Result<Method, Refusal> {
    match text {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        "OPTIONS" => Ok(Method::Options),
        "PUT" | "DELETE" => Ok(Method::Idempotent),
        "CONNECT" | "TRACE" => Err(Refusal::Method),
        _ => Ok(Method::Other),
    }
}

/// RFC 9112 section 3.2: Host is required in 1.1, never repeated, and says what an absolute target says.
fn effective_host<'b>(
    field: Option<&'b [u8]>,
    target: &Target<'b>,
    version: Version,
) -> Result<Option<Host<'b>>, Refusal> {
    let received = field.map(Host::parse).transpose()?;
    match (received, target) {
        (None, _) if version == Version::Http11 => Err(Refusal::Host),
        (
            Some(received),
            Target::Absolute {
                host, default_port, ..
            },
        ) => {
            if received.is_same(host, *default_port) {
                Ok(Some(*host))
            } else {
                Err(Refusal::Host)
            }
        }
        (None, Target::Absolute { host, .. }) => Ok(Some(*host)),
        (received, _) => Ok(received),
    }
}

fn framing_of(found: &Findings<'_>, version: Version) -> Result<Framing, Refusal> {
    match (found.length, found.coding) {
        (Some(_), Some(_)) => Err(Refusal::LengthAndCoding),
        (_, Some(_)) if version == Version::Http10 => Err(Refusal::TransferEncoding),
        (_, Some(coding)) => coding.map(|()| Framing::Chunked),
        (Some(length), None) => Ok(Framing::Length(length)),
        (None, None) => Ok(Framing::None),
    }
}

/// Exactly `chunked`, once. Codings that we do not have are 501; everything that looks like a trick is 400.
pub(crate) fn check_coding(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut chunked_count = 0;
    for element in value.split(|&octet| octet == b',').map(trim) {
        let is_chunked = element.eq_ignore_ascii_case(b"chunked");
        chunked_count += usize::from(is_chunked);
        if !is_token(element) || element.eq_ignore_ascii_case(b"identity") || chunked_count > 1 {
            return Err(Refusal::TransferEncoding);
        }
    }
    Err(Refusal::UnknownCoding)
}

/// Is this field one that a `Connection` option names? Only fields that nobody needs for framing or identity count.
pub fn is_named_by_connection(
    name: &[u8],
    kind: FieldKind,
    fields: &[Header<'_>],
    kinds: &[FieldKind],
) -> bool {
    field::is_removable(kind)
        && fields
            .iter()
            .zip(kinds)
            .filter(|(_, kind)| **kind == FieldKind::Connection)
            .any(|(header, _)| list::contains(header.value, name))
}
