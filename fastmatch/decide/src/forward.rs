//! A strict request head -> the head that goes upstream. Re-made, so that nothing of the client's framing travels.
//!
//! Order matters: fields that `Connection` names are removed first, the route's and ours are added last, so no client can
//! remove or add one of them (CVE-2021-32813, CVE-2024-45410).

use std::io::Write;
use std::net::IpAddr;

use http1::field::FieldKind;
use http1::render::{decimal, decimal_field, field};
use http1::request::{Method, RequestHead, is_named_by_connection};
use http1::target::{Host, Target};
use http1::{Framing, Refusal, Version, fields, list};

use crate::config::Tables;
use crate::events;
use crate::judge::Judgement;
use crate::request_id::RequestId;
use crate::route::Route;

/// HTTP/1.0 clients may leave Host out; the upstream speaks 1.1 and may not.
pub const NO_HOST: &[u8] = b"localhost";

pub struct Forward<'f> {
    pub tables: &'f Tables,
    pub route: &'f Route,
    pub peer: IpAddr,
    pub peer_text: &'f [u8],
    pub is_https: bool,
    pub client: IpAddr,
    /// Addresses believed, nearest first: see `identity::identify`.
    pub chain: &'f [IpAddr],
    pub peer_is_trusted: bool,
    pub request_id: &'f RequestId,
    pub judgement: Option<Judgement<'f, 'f>>,
}

/// Our own name in Via: the request has been here before (RFC 9110 section 7.6.3).
pub fn is_loop(head: &RequestHead<'_, '_>, via: &[u8]) -> bool {
    fields_of(head, FieldKind::Via)
        .flat_map(list::elements)
        .any(|element| {
            let mut words = element.split(|octet| matches!(octet, b' ' | b'\t'));
            words
                .nth(1)
                .is_some_and(|name| name.eq_ignore_ascii_case(via))
        })
}

pub fn fields_of<'b>(
    head: &RequestHead<'_, 'b>,
    wanted: FieldKind,
) -> impl DoubleEndedIterator<Item = &'b [u8]> {
    head.fields
        .iter()
        .zip(head.kinds)
        .filter(move |(_, kind)| **kind == wanted)
        .map(|(header, _)| header.value)
}

/// A trusted peer's request id is kept when it is one.
pub fn adopted_request_id(head: &RequestHead<'_, '_>) -> Option<RequestId> {
    let mut values = fields_of(head, FieldKind::RequestId);
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    RequestId::parse(value)
}

/// What is left of Max-Forwards; only OPTIONS counts it down here, TRACE is refused (RFC 9110 section 7.6.2).
pub fn max_forwards(head: &RequestHead<'_, '_>) -> Result<Option<u64>, Refusal> {
    if head.method != Method::Options {
        return Ok(None);
    }
    let mut values = fields_of(head, FieldKind::MaxForwards);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => http1::parse_decimal(value).map(Some).ok_or(Refusal::Field),
        (Some(_), Some(_)) => Err(Refusal::Field),
    }
}

pub fn write(out: &mut Vec<u8>, head: &RequestHead<'_, '_>, forward: &Forward<'_>) {
    let is_options = head.method == Method::Options;
    out.extend_from_slice(head.method_text.as_bytes());
    out.push(b' ');
    match &forward.route.rewrite {
        None => {
            let (prefix, path) = head.target.path(is_options);
            out.extend_from_slice(prefix);
            out.extend_from_slice(path);
        }
        Some(rewrite) => rewrite.write(out, &head.target),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let received_host = head.host.map_or(NO_HOST, |host| host.text);
    let host = forward.route.host.as_deref();
    field(out, b"Host", host.unwrap_or(received_host));
    let changes = &forward.route.request_changes;
    if changes.removes_any() {
        fields::copy(out, head.source, head.fields, head.kinds, |kind, name| {
            keeps(head, forward, kind, name) && !changes.removes(name)
        });
    } else {
        fields::copy(out, head.source, head.fields, head.kinds, |kind, name| {
            keeps(head, forward, kind, name)
        });
    }
    out.extend_from_slice(&changes.added);
    write_framing(out, head);
    write_identity(out, head, forward, received_host);
    write_verdict(out, forward);
    out.extend_from_slice(b"\r\n");
}

fn keeps(head: &RequestHead<'_, '_>, forward: &Forward<'_>, kind: FieldKind, name: &[u8]) -> bool {
    match kind {
        FieldKind::Other => {
            !(head.names_fields && is_named_by_connection(name, kind, head.fields, head.kinds))
        }
        FieldKind::Protected
        | FieldKind::Via
        | FieldKind::Date
        | FieldKind::Origin
        | FieldKind::Referer => true,
        FieldKind::Expect => head.expects_continue,
        FieldKind::Forwarded => forward.peer_is_trusted,
        FieldKind::MaxForwards => head.method != Method::Options,
        FieldKind::Host
        | FieldKind::ContentLength
        | FieldKind::TransferEncoding
        | FieldKind::Connection
        | FieldKind::Upgrade
        | FieldKind::HopByHop
        | FieldKind::ForwardedFor
        | FieldKind::ForwardedProto
        | FieldKind::ForwardedHost
        | FieldKind::RequestId
        | FieldKind::Reserved
        | FieldKind::Disguised => false,
    }
}

fn write_framing(out: &mut Vec<u8>, head: &RequestHead<'_, '_>) {
    match head.framing {
        Framing::Length(length) => decimal_field(out, b"Content-Length", length),
        Framing::Chunked => field(out, b"Transfer-Encoding", b"chunked"),
        Framing::None | Framing::ToClose => {}
    }
    if head.is_websocket {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    if let Ok(Some(hops @ 1..)) = max_forwards(head) {
        decimal_field(out, b"Max-Forwards", hops - 1);
    }
}

fn write_identity(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    forward: &Forward<'_>,
    received_host: &[u8],
) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    for address in forward.chain.iter().rev() {
        write_address(out, *address);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(forward.peer_text);
    out.extend_from_slice(b"\r\nX-Real-IP: ");
    if forward.client == forward.peer {
        out.extend_from_slice(forward.peer_text);
    } else {
        write_address(out, forward.client);
    }
    let ours: &[u8] = if forward.is_https { b"https" } else { b"http" };
    let proto = told_by_proxy(head, forward, FieldKind::ForwardedProto, |value| {
        value.eq_ignore_ascii_case(b"http") || value.eq_ignore_ascii_case(b"https")
    });
    let host = told_by_proxy(head, forward, FieldKind::ForwardedHost, |value| {
        Host::parse(value).is_ok()
    });
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    out.extend_from_slice(proto.unwrap_or(ours));
    out.extend_from_slice(b"\r\nX-Forwarded-Host: ");
    out.extend_from_slice(host.unwrap_or(received_host));
    out.extend_from_slice(b"\r\nX-Request-Id: ");
    out.extend_from_slice(forward.request_id.as_bytes());
    out.extend_from_slice(match head.version {
        Version::Http11 => b"\r\nVia: 1.1 ",
        Version::Http10 => b"\r\nVia: 1.0 ",
    });
    out.extend_from_slice(&forward.tables.via);
    out.extend_from_slice(b"\r\n");
}

/// The one valid value that a trusted peer sent.
fn told_by_proxy<'b>(
    head: &RequestHead<'_, 'b>,
    forward: &Forward<'_>,
    kind: FieldKind,
    is_valid: impl Fn(&[u8]) -> bool,
) -> Option<&'b [u8]> {
    if !forward.peer_is_trusted {
        return None;
    }
    let mut values = fields_of(head, kind);
    match (values.next(), values.next()) {
        (Some(value), None) if is_valid(value) => Some(value),
        _ => None,
    }
}

fn write_verdict(out: &mut Vec<u8>, forward: &Forward<'_>) {
    let Some(judgement) = &forward.judgement else {
        return;
    };
    out.extend_from_slice(b"X-Sentra-Score: ");
    events::score(out, judgement.score);
    out.extend_from_slice(b"\r\n");
    let mut categories = judgement.verdict.categories().peekable();
    if categories.peek().is_none() {
        return;
    }
    out.extend_from_slice(b"X-Sentra-Categories: ");
    for (index, category) in categories.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Names come from lists; only what cannot end a field or an element goes out.
        out.extend(category.bytes().map(|octet| match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':' | b'/' => octet,
            _ => b'_',
        }));
    }
    out.extend_from_slice(b"\r\n");
}

pub fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                decimal(out, u64::from(octet));
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(address) => write!(out, "{address}").unwrap_or_default(),
    }
}

/// Path and query, as they were asked for.
pub fn target_of<'b>(target: &Target<'b>) -> &'b [u8] {
    match *target {
        Target::Origin(path) | Target::Absolute { rest: path, .. } => path,
        Target::Asterisk => b"*",
    }
}

/// Path for an event: without the query, which is where secrets live.
pub fn path_of<'b>(target: &Target<'b>) -> &'b [u8] {
    let path = target_of(target);
    let end = path.iter().position(|&octet| octet == b'?');
    &path[..end.unwrap_or(path.len())]
}
