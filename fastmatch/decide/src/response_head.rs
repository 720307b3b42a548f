//! A strict response head -> the head for the client. Re-made, as requests are.

use http1::field::FieldKind;
use http1::fields;
use http1::render::{decimal, decimal_field, field};
use http1::request::is_named_by_connection;
use http1::response::ResponseHead;

use crate::changes::Changes;
use crate::date;

/// How the client's connection goes on, as the fields that say so.
pub const CLOSES: &[u8] = b"Connection: close\r\n";
pub const KEEPS: &[u8] = b"Connection: keep-alive\r\n";
pub const UPGRADES: &[u8] = b"Connection: Upgrade\r\nUpgrade: websocket\r\n";
pub const SAYS_NOTHING: &[u8] = b"";

/// Always HTTP/1.1: that says what we speak, and not how this message is framed. `is_chunked`: the client gets chunks.
/// An interim answer loses fields that the route removes and gets none that it adds. `ours`: whole fields of a final one.
pub fn write(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_, '_>,
    is_chunked: bool,
    now: u64,
    ours: &[u8],
    connection: &[u8],
    changes: &Changes,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(head.status));
    out.push(b' ');
    out.extend_from_slice(head.reason);
    out.extend_from_slice(b"\r\n");
    if changes.removes_any() {
        fields::copy(out, head.source, head.fields, head.kinds, |kind, name| {
            keeps(head, kind, name) && !changes.removes(name)
        });
    } else {
        fields::copy(out, head.source, head.fields, head.kinds, |kind, name| {
            keeps(head, kind, name)
        });
    }
    if head.status >= 200 {
        out.extend_from_slice(&changes.added);
        if is_chunked {
            field(out, b"Transfer-Encoding", b"chunked");
        } else if let Some(length) = head.content_length.filter(|_| head.status != 204) {
            decimal_field(out, b"Content-Length", length);
        }
        // RFC 9110 section 6.6.1: a recipient with a clock adds what the origin left out.
        if !head.has_date {
            out.extend_from_slice(b"Date: ");
            date::write(out, now);
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(ours);
    out.extend_from_slice(connection);
    out.extend_from_slice(b"\r\n");
}

fn keeps(head: &ResponseHead<'_, '_>, kind: FieldKind, name: &[u8]) -> bool {
    match kind {
        FieldKind::ContentLength
        | FieldKind::TransferEncoding
        | FieldKind::Connection
        | FieldKind::Upgrade
        | FieldKind::HopByHop => false,
        _ => !(head.names_fields && is_named_by_connection(name, kind, head.fields, head.kinds)),
    }
}
