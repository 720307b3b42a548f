//! Answers of our own: problem+json (RFC 9457) that says the status and the request id, and nothing of the input.

use http1::render::{decimal, decimal_field, field};

use crate::date;
use crate::request_id::RequestId;

pub struct Answer<'a> {
    pub status: u16,
    pub request_id: &'a RequestId,
    pub now: u64,
    pub closes: bool,
    /// HTTP/1.0 keeps a connection only when told so.
    pub says_keep_alive: bool,
    /// False for HEAD.
    pub has_body: bool,
}

/// Reason phrase and title.
pub fn reason(status: u16) -> &'static str {
    match status {
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Error",
    }
}

const ALLOWED_METHODS: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

pub fn write(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let mut body = Vec::with_capacity(160);
    write_body(&mut body, answer);
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(answer.status));
    out.push(b' ');
    out.extend_from_slice(reason(answer.status).as_bytes());
    out.extend_from_slice(b"\r\ndate: ");
    date::write(out, answer.now);
    out.extend_from_slice(b"\r\n");
    if answer.status != 204 {
        field(out, b"content-type", b"application/problem+json");
        decimal_field(out, b"content-length", body.len() as u64);
        field(out, b"cache-control", b"no-store");
    }
    field(out, b"x-request-id", answer.request_id.as_bytes());
    match answer.status {
        204 | 405 => field(out, b"allow", ALLOWED_METHODS),
        503 => field(out, b"retry-after", b"1"),
        _ => {}
    }
    if answer.closes {
        field(out, b"connection", b"close");
    } else if answer.says_keep_alive {
        field(out, b"connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
    if answer.has_body && answer.status != 204 {
        out.extend_from_slice(&body);
    }
}

fn write_body(body: &mut Vec<u8>, answer: &Answer<'_>) {
    body.extend_from_slice(b"{\"type\":\"about:blank\",\"title\":\"");
    body.extend_from_slice(reason(answer.status).as_bytes());
    body.extend_from_slice(b"\",\"status\":");
    decimal(body, u64::from(answer.status));
    body.extend_from_slice(b",\"request_id\":\"");
    body.extend_from_slice(answer.request_id.as_bytes());
    body.extend_from_slice(b"\"}\n");
}
