//! Answers of our own: problem+json (RFC 9457) that says the status and the request id, and nothing of the input.

use http1::render::{decimal_field, field};

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

fn digit(value: u16) -> u8 {
    b'0' + u8::try_from(value).unwrap_or(0)
}

pub fn write(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let reason = reason(answer.status).as_bytes();
    let hundreds = answer.status / 100 % 10;
    let status = [hundreds, answer.status / 10 % 10, answer.status % 10].map(digit);
    let body = [
        &b"{\"type\":\"about:blank\",\"title\":\""[..],
        reason,
        b"\",\"status\":",
        &status,
        b",\"request_id\":\"",
        answer.request_id.as_bytes(),
        b"\"}\n",
    ];
    let has_content = answer.status != 204;
    for part in [&b"HTTP/1.1 "[..], &status, b" ", reason, b"\r\ndate: "] {
        out.extend_from_slice(part);
    }
    date::write(out, answer.now);
    out.extend_from_slice(b"\r\n");
    if has_content {
        let length: usize = body.iter().map(|part| part.len()).sum();
        field(out, b"content-type", b"application/problem+json");
        decimal_field(out, b"content-length", length as u64);
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
    if has_content && answer.has_body {
        for part in body {
            out.extend_from_slice(part);
        }
    }
}
