//! Answers of our own: problem+json (RFC 9457) that says the status and the request id, and nothing of the input.

use http1::render::{decimal_field, field};

use crate::date;
use crate::exchange::LimitNote;
use crate::request_id::RequestId;

/// What an answer holds besides its status.
#[derive(Clone, Copy, Debug)]
pub enum Content<'c> {
    /// Of a failure: the problem.
    Problem,
    /// A route's own.
    Fixed {
        content_type: &'c [u8],
        body: &'c [u8],
    },
    Location(&'c [u8]),
}

pub struct Answer<'a> {
    pub status: u16,
    pub content: Content<'a>,
    /// Lines that the route adds.
    pub added: &'a [u8],
    pub request_id: &'a RequestId,
    pub now: u64,
    pub closes: bool,
    /// HTTP/1.0 keeps a connection only when told so.
    pub says_keep_alive: bool,
    /// False for HEAD.
    pub has_body: bool,
    /// Told to whom a rate limit refuses.
    pub limit: &'a LimitNote,
}

/// Reason phrase and title.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ if status < 400 => "Other",
        _ => "Error",
    }
}

const ALLOWED_METHODS: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Problem type and member of draft-ietf-httpapi-ratelimit-headers-10.
const QUOTA_EXCEEDED: &[u8] = b"https://iana.org/assignments/http-problem-types#quota-exceeded";
const VIOLATED: &[u8] = b"\",\"violated-policies\":[";

fn digit(value: u16) -> u8 {
    b'0' + u8::try_from(value).unwrap_or(0)
}

pub fn write(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let reason = reason(answer.status).as_bytes();
    let hundreds = answer.status / 100 % 10;
    let status = [hundreds, answer.status / 10 % 10, answer.status % 10].map(digit);
    for part in [&b"HTTP/1.1 "[..], &status, b" ", reason, b"\r\ndate: "] {
        out.extend_from_slice(part);
    }
    date::write(out, answer.now);
    out.extend_from_slice(b"\r\n");
    let (kind, violated, end) = if answer.limit.names.is_empty() {
        (&b"about:blank"[..], &b"\""[..], &b"}\n"[..])
    } else {
        (QUOTA_EXCEEDED, VIOLATED, &b"]}\n"[..])
    };
    let problem = [
        &b"{\"type\":\""[..],
        kind,
        b"\",\"title\":\"",
        reason,
        b"\",\"status\":",
        &status,
        b",\"request_id\":\"",
        answer.request_id.as_bytes(),
        violated,
        &answer.limit.names,
        end,
    ];
    // RFC 9110 sections 15.3.5, 15.4.5: these have no content, nor a length of it.
    let has_content = !matches!(answer.status, 204 | 304);
    let fixed;
    let body: &[&[u8]] = match answer.content {
        Content::Problem if has_content => {
            field(out, b"content-type", b"application/problem+json");
            &problem
        }
        Content::Fixed { content_type, body } if has_content => {
            field(out, b"content-type", content_type);
            fixed = [body];
            &fixed
        }
        Content::Location(location) => {
            field(out, b"location", location);
            &[]
        }
        Content::Problem | Content::Fixed { .. } => &[],
    };
    if has_content {
        let length: usize = body.iter().map(|part| part.len()).sum();
        decimal_field(out, b"content-length", length as u64);
        if matches!(answer.content, Content::Problem) {
            field(out, b"cache-control", b"no-store");
        }
    }
    out.extend_from_slice(answer.added);
    write_end(out, answer);
    if answer.has_body {
        for part in body {
            out.extend_from_slice(part);
        }
    }
}

fn write_end(out: &mut Vec<u8>, answer: &Answer<'_>) {
    field(out, b"x-request-id", answer.request_id.as_bytes());
    match (answer.content, answer.status) {
        (Content::Problem, 204 | 405) => field(out, b"allow", ALLOWED_METHODS),
        (Content::Problem, 503) => field(out, b"retry-after", b"1"),
        (Content::Problem, 429) => out.extend_from_slice(&answer.limit.fields),
        _ => {}
    }
    if answer.closes {
        field(out, b"connection", b"close");
    } else if answer.says_keep_alive {
        field(out, b"connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
}
