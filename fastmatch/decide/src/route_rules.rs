//! What one route asks for, checked once: hosts and paths in the form they are compared in, methods, fields.

use std::net::{Ipv4Addr, Ipv6Addr};

use http1::field::{self, FieldKind};
use http1::request::{RequestHead, is_named_by_connection};
use http1::target::Host;

use crate::config::{ConfigError, error};
use crate::path::{Parting, Readings, normal};
use crate::route::RouteSettings;

pub type Text = Box<[u8]>;

/// What a route asks besides host and path.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Empty: any.
    pub methods: Box<[Text]>,
    pub fields: Box<[(Text, Option<Text>)]>,
}

/// Names have 253 octets and a dot at most, address literals 47.
pub const HOST_BYTES: usize = 256;

/// Lower case, without the root's dot and the port; an IPv6 address in its one canonical form. Empty without a host.
pub fn folded_host<'s>(host: Option<&Host<'_>>, buffer: &'s mut [u8; HOST_BYTES]) -> &'s [u8] {
    let Some(host) = host else {
        return b"";
    };
    let literal = canonical_literal(host.name);
    let name = literal.as_deref().unwrap_or(host.name);
    let name = name.strip_suffix(b".").unwrap_or(name);
    let Some(folded) = buffer.get_mut(..name.len()) else {
        return b"";
    };
    folded.copy_from_slice(name);
    folded.make_ascii_lowercase();
    folded
}

fn canonical_literal(name: &[u8]) -> Option<Vec<u8>> {
    let inner = name.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let address: Ipv6Addr = std::str::from_utf8(inner).ok()?.parse().ok()?;
    Some(format!("[{address}]").into_bytes())
}

pub fn host_key(host: &str, name: &str, is_wildcard: bool) -> Result<Text, ConfigError> {
    let fault = |rule: &str| error("hosts", format!("{host:?} {rule}"));
    let parsed = Host::parse(name.as_bytes())
        .map_err(|_| fault("is not a host name, an address, or *. and a host name"))?;
    if parsed.text != parsed.name {
        return Err(fault("has a port: routes are for all ports"));
    }
    let mut buffer = [0; HOST_BYTES];
    let folded = folded_host(Some(&parsed), &mut buffer);
    let is_address = folded.first() == Some(&b'[') || name.parse::<Ipv4Addr>().is_ok();
    if is_wildcard && is_address {
        return Err(fault("is a wildcard below an address"));
    }
    Ok(folded.into())
}

pub enum PathRule {
    Any,
    Exact(Text),
    Prefix(Text),
}

impl PathRule {
    pub fn compile(route: &RouteSettings) -> Result<Self, ConfigError> {
        match (&route.path, &route.path_prefix) {
            (None, None) => Ok(Self::Any),
            (Some(path), None) => Ok(Self::Exact(checked_path("path", path)?.into())),
            (None, Some(prefix)) => Ok(Self::Prefix(checked_prefix("path_prefix", prefix)?)),
            (Some(_), Some(_)) => Err(error(
                "path_prefix",
                "stands beside path: a route has one of them".to_owned(),
            )),
        }
    }
}

/// A path without the slash at its end, so that `/v1` and `/v1/` mean the same segments.
pub fn checked_prefix(key: &'static str, prefix: &str) -> Result<Text, ConfigError> {
    let path = checked_path(key, prefix)?;
    Ok(path.strip_suffix(b"/").unwrap_or(path).into())
}

/// Paths are compared in normal form: one that is not could never fit, which nobody means.
pub fn checked_path<'p>(key: &'static str, path: &'p str) -> Result<&'p [u8], ConfigError> {
    let bytes = path.as_bytes();
    let fault = |rule: &str| Err(error(key, format!("{path:?} {rule}")));
    if bytes.first() != Some(&b'/') {
        return fault("does not begin with /");
    }
    if bytes.len() > MOST_PATH_BYTES {
        return fault("is too long");
    }
    if bytes.contains(&b'?') || !http1::is_target(bytes) {
        return fault("is not a path: write other octets than those of a URL's path as %XX");
    }
    match Readings::of(bytes) {
        Ok(Readings { others, .. }) if others.is_empty() => {}
        _ => {
            return fault("holds an escaped slash, backslash or NUL, which no route can stand for");
        }
    }
    let normal = normal(bytes, Parting::NOTHING);
    if normal != bytes {
        let normal = normal.escape_ascii();
        return fault(&format!("is not in normal form, which is \"{normal}\""));
    }
    Ok(bytes)
}

const MOST_PATH_BYTES: usize = 1024;

impl Conditions {
    pub fn compile(route: &RouteSettings) -> Result<Self, ConfigError> {
        for method in &route.methods {
            if !http1::is_token(method.as_bytes()) {
                return Err(error("methods", format!("{method:?} is not a method")));
            }
            if matches!(method.as_str(), "CONNECT" | "TRACE") {
                return Err(error("methods", format!("{method:?} is always refused")));
            }
        }
        let fields = route.headers.iter().map(|(name, value)| {
            let kind = field::classify(name.as_bytes());
            if !http1::is_token(name.as_bytes()) || !may_be_matched(kind) {
                let rule = "is not a field that travels from the client to the upstream";
                return Err(error("headers", format!("{name:?} {rule}")));
            }
            if let Some(value) = value.as_deref().filter(|value| !is_clean_value(value)) {
                return Err(error("headers", format!("{value:?} is not a field value")));
            }
            let value = value.as_ref().map(|value| value.as_bytes().into());
            Ok((name.as_bytes().into(), value))
        });
        Ok(Self {
            methods: route
                .methods
                .iter()
                .map(|text| text.as_bytes().into())
                .collect(),
            fields: fields.collect::<Result<_, _>>()?,
        })
    }

    pub fn miss(&self, head: &RequestHead<'_, '_>) -> Option<Miss> {
        let method = head.method_text.as_bytes();
        if !self.methods.is_empty() && !self.methods.iter().any(|known| &**known == method) {
            return Some(Miss::Method);
        }
        let fits = |(name, value): &(Text, Option<Text>)| has_field(head, name, value.as_deref());
        (!self.fields.iter().all(fits)).then_some(Miss::Field)
    }
}

/// What keeps a request from a route, the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    Host,
    Path,
    Method,
    Field,
}

impl Miss {
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::Method => "method",
            Self::Field => "header",
        }
    }
}

/// Fields that are framing, ours or a proxy's decide nothing here: the upstream would not see what we saw.
fn may_be_matched(kind: FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Other | FieldKind::Protected | FieldKind::Origin | FieldKind::Referer
    )
}

/// Text that is one field value exactly.
pub fn is_clean_value(value: &str) -> bool {
    http1::is_field_value(value.as_bytes()) && value.trim_matches([' ', '\t']) == value
}

/// Is the field there, and is every line of it the value? A repeated field with two values would be one route's here and
/// another's there. What a `Connection` option removes is not there.
fn has_field(head: &RequestHead<'_, '_>, name: &[u8], value: Option<&[u8]>) -> bool {
    let mut is_there = false;
    for (header, kind) in head.fields.iter().zip(head.kinds) {
        if !header.name.as_bytes().eq_ignore_ascii_case(name) {
            continue;
        }
        if head.names_fields && is_named_by_connection(name, *kind, head.fields, head.kinds) {
            return false;
        }
        if value.is_some_and(|value| value != header.value) {
            return false;
        }
        is_there = true;
    }
    is_there
}
