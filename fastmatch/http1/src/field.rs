//! A field name -> what it means to an intermediary.

/// Roles, not names: several names share one when they are treated alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FieldKind {
    /// End to end: forwarded as it is.
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    /// Keep-Alive, Proxy-Connection, TE, Trailer, HTTP2-Settings, Proxy-Authenticate, Proxy-Authorization, Alt-Svc:
    /// removed (RFC 9110 section 7.6.1; the last one would lead clients around us).
    HopByHop,
    Expect,
    MaxForwards,
    Via,
    Date,
    Origin,
    Referer,
    ForwardedFor,
    ForwardedProto,
    ForwardedHost,
    /// Every other X-Forwarded-*, Forwarded, X-Original-URL, X-Rewrite-URL: only a trusted peer may send them.
    Forwarded,
    RequestId,
    /// X-Real-IP and X-Sentra-*: ours alone, whoever sends them.
    Reserved,
    /// A name with underscores that some servers read as one of the above (CGI and WSGI turn `-` into `_`).
    Disguised,
    /// End to end, and no connection option may remove it: Authorization, Cookie, Content-Type...
    Protected,
}

/// Length and first letter decide before any comparison, so that a name which is none of them costs 2 ns.
#[inline]
pub fn classify(name: &[u8]) -> FieldKind {
    let Some(&first) = name.first() else {
        return FieldKind::Other;
    };
    let candidate: (&[u8], FieldKind) = match (name.len(), first | 0x20) {
        (2, b't') => (b"te", FieldKind::HopByHop),
        (3, b'v') => (b"via", FieldKind::Via),
        (4, b'h') => (b"host", FieldKind::Host),
        (4, b'd') => (b"date", FieldKind::Date),
        // Not a field at all, but CGI makes HTTP_PROXY of it (CVE-2016-5385).
        (5, b'p') => (b"proxy", FieldKind::HopByHop),
        (5, b'r') => (b"range", FieldKind::Protected),
        (6, b'e') => (b"expect", FieldKind::Expect),
        (6, b'o') => (b"origin", FieldKind::Origin),
        (6, b'c') => (b"cookie", FieldKind::Protected),
        (7, b't') => (b"trailer", FieldKind::HopByHop),
        (7, b'u') => (b"upgrade", FieldKind::Upgrade),
        (7, b'r') => (b"referer", FieldKind::Referer),
        (7, b'a') => (b"alt-svc", FieldKind::HopByHop),
        (9, b'f') => (b"forwarded", FieldKind::Forwarded),
        (10, b'c') => (b"connection", FieldKind::Connection),
        (10, b'k') => (b"keep-alive", FieldKind::HopByHop),
        (10, b's') => (b"set-cookie", FieldKind::Protected),
        (12, b'm') => (b"max-forwards", FieldKind::MaxForwards),
        (12, b'c') => (b"content-type", FieldKind::Protected),
        (13, b'a') => (b"authorization", FieldKind::Protected),
        (13, b'c') => (b"cache-control", FieldKind::Protected),
        (14, b'c') => (b"content-length", FieldKind::ContentLength),
        (14, b'h') => (b"http2-settings", FieldKind::HopByHop),
        (16, b'p') => (b"proxy-connection", FieldKind::HopByHop),
        (16, b'c') => (b"content-encoding", FieldKind::Protected),
        (17, b't') => (b"transfer-encoding", FieldKind::TransferEncoding),
        (18, b'p') => (b"proxy-authenticate", FieldKind::HopByHop),
        (19, b'p') => (b"proxy-authorization", FieldKind::HopByHop),
        (length, b'x') if length >= 9 => return classify_extension(name),
        _ => return FieldKind::Other,
    };
    let (known, kind) = candidate;
    if name.eq_ignore_ascii_case(known) {
        kind
    } else if name.eq_ignore_ascii_case(b"content-range") {
        FieldKind::Protected
    } else if is_same_dashed(name, known) {
        FieldKind::Disguised
    } else {
        FieldKind::Other
    }
}

/// Equal when an underscore counts as a dash.
fn is_same_dashed(name: &[u8], known: &[u8]) -> bool {
    let same = |(octet, known): (&u8, &u8)| match octet {
        b'_' => *known == b'-',
        _ => octet.eq_ignore_ascii_case(known),
    };
    name.len() == known.len() && name.iter().zip(known).all(same)
}

fn classify_extension(name: &[u8]) -> FieldKind {
    let starts_with = |prefix: &[u8]| {
        name.get(..prefix.len())
            .is_some_and(|start| is_same_dashed(start, prefix))
    };
    let kind = match name {
        _ if starts_with(b"x-forwarded-") => match name {
            _ if name.eq_ignore_ascii_case(b"x-forwarded-for") => FieldKind::ForwardedFor,
            _ if name.eq_ignore_ascii_case(b"x-forwarded-proto") => FieldKind::ForwardedProto,
            _ if name.eq_ignore_ascii_case(b"x-forwarded-host") => FieldKind::ForwardedHost,
            _ => FieldKind::Forwarded,
        },
        _ if starts_with(b"x-sentra-") || is_same_dashed(name, b"x-real-ip") => FieldKind::Reserved,
        _ if is_same_dashed(name, b"x-request-id") => FieldKind::RequestId,
        _ if is_same_dashed(name, b"x-original-url") || is_same_dashed(name, b"x-rewrite-url") => {
            FieldKind::Forwarded
        }
        _ => return FieldKind::Other,
    };
    if name.contains(&b'_') {
        FieldKind::Disguised
    } else {
        kind
    }
}

/// May a `Connection` option of this name remove the field? Framing, identity and security fields never
/// (CVE-2021-32813, CVE-2024-45410: a client removed a proxy's own X-Forwarded fields this way).
#[inline]
pub fn is_removable(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(classify(b"hOsT"), FieldKind::Host);
        assert_eq!(classify(b"TRANSFER-encoding"), FieldKind::TransferEncoding);
        assert_eq!(classify(b"X-FORWARDED-For"), FieldKind::ForwardedFor);
        assert_eq!(classify(b"x-forwarded-port"), FieldKind::Forwarded);
        assert_eq!(classify(b"content-range"), FieldKind::Protected);
        assert_eq!(classify(b"x-sentra-anything"), FieldKind::Reserved);
        assert_eq!(classify(b"accept"), FieldKind::Other);
        assert_eq!(classify(b"x-custom-header"), FieldKind::Other);
    }

    #[test]
    fn underscores_disguise_only_what_collides() {
        for name in [
            &b"x_sentra_score"[..],
            b"X_Sentra-Score",
            b"x-sentra-a_b",
            b"x-forwarded_for",
            b"X_FORWARDED_PORT",
            b"content_length",
            b"Transfer_Encoding",
            b"x_real_ip",
            b"X_REQUEST_ID",
            b"x_original-url",
            b"content_type",
            b"http2_settings",
            b"x_forwarded_a_very_long_name_that_goes_on_and_on",
        ] {
            assert_eq!(
                classify(name),
                FieldKind::Disguised,
                "{}",
                name.escape_ascii()
            );
        }
        assert_eq!(classify(b"my_field"), FieldKind::Other);
        assert_eq!(classify(b"x_custom"), FieldKind::Other);
    }
}
