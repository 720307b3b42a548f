//! Where a head ends, found in pieces: each byte is looked at once, however the input was cut.
//!
//! Every complete line is checked as soon as its end is seen, so that a fault is answered when it arrives and not when
//! the head is over (it may never be). The order of faults is the order of bytes; a head that comes whole is taken
//! through the same lines when the fast path refuses it, which is why any split gives the same status.

use crate::octets::{is_field_value, is_target, is_token, is_token_octet, trim};
use crate::{Limits, METHOD_BYTES, Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    Request,
    Response,
}

/// Position inside one head. Start a new one for every head.
#[derive(Clone, Debug, Default)]
pub struct LineScanner {
    line_start: usize,
    scanned: usize,
    line_count: usize,
    /// RFC 9112 section 2.2: one empty line before a request is forgiven.
    blank_bytes: usize,
}

impl LineScanner {
    /// `buffer` is everything received of this head so far. Some(n): the head is its first n bytes.
    pub fn advance(
        &mut self,
        buffer: &[u8],
        kind: HeadKind,
        limits: &Limits,
    ) -> Result<Option<usize>, Refusal> {
        while let Some(offset) = find_line_end(buffer.get(self.scanned..).unwrap_or_default()) {
            let end = self.scanned + offset;
            let raw = &buffer[self.line_start..end];
            if self.line_count == 0 {
                check_start_so_far(&buffer[self.line_start..=end], kind, limits)?;
            }
            if end + 1 > limits.head_bytes + self.blank_bytes {
                return Err(Refusal::HeadTooLarge);
            }
            let Some(line) = raw.strip_suffix(b"\r") else {
                return Err(Refusal::LineEnd);
            };
            self.scanned = end + 1;
            self.line_start = end + 1;
            match (line.is_empty(), self.line_count) {
                (true, 0) if self.blank_bytes == 0 && kind == HeadKind::Request => {
                    self.blank_bytes = 2;
                    continue;
                }
                (true, 0) => return Err(Refusal::StartLine),
                (true, _) => return Ok(Some(end + 1)),
                (false, 0) if kind == HeadKind::Request => check_request_line(line)?,
                (false, 0) => check_status_line(line)?,
                (false, count) if count > limits.field_count => return Err(Refusal::TooManyFields),
                (false, _) => check_field_line(line, kind)?,
            }
            self.line_count += 1;
        }
        self.scanned = buffer.len();
        if self.line_count == 0 {
            check_start_so_far(&buffer[self.line_start..], kind, limits)?;
        }
        if buffer.len() > limits.head_bytes + self.blank_bytes {
            return Err(Refusal::HeadTooLarge);
        }
        Ok(None)
    }
}

fn find_line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&octet| octet == b'\n')
}

/// What can be said before the line is complete: another protocol (TLS on a plain port), endless methods and targets.
fn check_start_so_far(line: &[u8], kind: HeadKind, limits: &Limits) -> Result<(), Refusal> {
    let expected = b"HTTP/";
    if kind == HeadKind::Response {
        let shown = line.len().min(expected.len());
        return if line[..shown] == expected[..shown] {
            Ok(())
        } else {
            Err(Refusal::StartLine)
        };
    }
    match line {
        [] | [b'\r'] | [b'\r', b'\n'] => return Ok(()),
        [first, ..] if !is_token_octet(*first) => return Err(Refusal::StartLine),
        _ => {}
    }
    let shown = &line[..line.len().min(METHOD_BYTES + 1)];
    let Some(method_length) = shown.iter().position(|&octet| octet == b' ') else {
        let is_too_long = line.len() > METHOD_BYTES;
        return if is_too_long {
            Err(Refusal::StartLine)
        } else {
            Ok(())
        };
    };
    let bound = limits.head_bytes.min(line.len());
    let target = line[..bound].get(method_length + 1..).unwrap_or_default();
    let target_length = target
        .iter()
        .position(|&octet| matches!(octet, b' ' | b'\r' | b'\n'))
        .unwrap_or(target.len());
    if target_length > limits.target_bytes {
        return Err(Refusal::TargetTooLong);
    }
    Ok(())
}

/// `method SP target SP HTTP/d.d`, single spaces.
fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    let mut parts = line.split(|&octet| octet == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::StartLine);
    };
    if !is_token(method) || !is_target(target) {
        return Err(Refusal::StartLine);
    }
    check_version(version)
}

fn check_version(version: &[u8]) -> Result<(), Refusal> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::Version)
        }
        _ => Err(Refusal::StartLine),
    }
}

/// `HTTP/d.d SP 3DIGIT [SP reason]`; the last space is often missing in the wild.
fn check_status_line(line: &[u8]) -> Result<(), Refusal> {
    let (version, rest) = line.split_at_checked(8).ok_or(Refusal::StartLine)?;
    check_version(version)?;
    match rest {
        [b' ', a, b, c, reason @ ..]
            if a.is_ascii_digit()
                && b.is_ascii_digit()
                && c.is_ascii_digit()
                && (reason.is_empty() || reason[0] == b' ')
                && is_field_value(reason) =>
        {
            Ok(())
        }
        _ => Err(Refusal::StartLine),
    }
}

/// `token ":" value`. Blanks before the colon are refused in requests and forgiven in responses (RFC 9112 section 5.1).
pub(crate) fn check_field_line(line: &[u8], kind: HeadKind) -> Result<(), Refusal> {
    let colon = line.iter().position(|&octet| octet == b':');
    let (name, value) = line.split_at(colon.ok_or(Refusal::Field)?);
    let starts_blank = matches!(name.first(), Some(b' ' | b'\t'));
    let name = match kind {
        HeadKind::Response if !starts_blank => trim(name),
        _ => name,
    };
    if is_token(name) && is_field_value(&value[1..]) {
        Ok(())
    } else {
        Err(Refusal::Field)
    }
}
