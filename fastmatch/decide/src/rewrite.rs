//! A route's prefixes taken off and put on: the path that came -> the path that goes upstream.

use http1::target::Target;

use crate::config::{ConfigError, error};
use crate::forward::path_of;
use crate::path::{Parting, Readings, normal};
use crate::route::RouteSettings;
use crate::route_rules::checked_prefix;

#[derive(Clone, Debug)]
pub(crate) struct Rewrite {
    /// Neither ends with a slash.
    pub strip: Box<[u8]>,
    add: Box<[u8]>,
}

impl Rewrite {
    /// None when the path stays as it came. What is stripped has to be there in every path that takes the route.
    pub fn compile(settings: &RouteSettings) -> Result<Option<Self>, ConfigError> {
        let prefix = |key, prefix: &Option<String>| match prefix {
            Some(prefix) => checked_prefix(key, prefix),
            None => Ok(Box::default()),
        };
        let strip = prefix("strip_prefix", &settings.strip_prefix)?;
        let add = prefix("add_prefix", &settings.add_prefix)?;
        let path = settings.path.as_ref().or(settings.path_prefix.as_ref());
        let path = path.map_or("", String::as_str).as_bytes();
        let is_covered =
            path.starts_with(&strip) && matches!(path.get(strip.len()), None | Some(b'/'));
        if !strip.is_empty() && !is_covered {
            let reason = "is not the beginning of path or path_prefix, in whole segments";
            return Err(error("strip_prefix", reason.to_owned()));
        }
        Ok((!strip.is_empty() || !add.is_empty()).then_some(Self { strip, add }))
    }

    /// Appends path and query. The bytes behind the prefix are those that came, unless the prefix was written in another
    /// way or dot segments reach into it: then they are those of the normal form, on which the route was chosen.
    pub fn write(&self, out: &mut Vec<u8>, target: &Target<'_>) {
        let (raw, query) = match *target {
            Target::Asterisk => return out.push(b'*'),
            Target::Origin(rest) | Target::Absolute { rest, .. } => {
                rest.split_at(path_of(target).len())
            }
        };
        out.extend_from_slice(&self.add);
        let start = out.len();
        self.write_rest(out, if raw.is_empty() { b"/" } else { raw });
        if out.len() == start && self.add.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(query);
    }

    fn write_rest(&self, out: &mut Vec<u8>, raw: &[u8]) {
        // The router has refused what has no readings.
        let Ok(Readings { as_data: path, .. }) = Readings::of(raw) else {
            return;
        };
        let rest = path.get(self.strip.len()..).unwrap_or_default();
        match raw.strip_prefix(&*self.strip) {
            Some(kept) if is_as_normal(kept, rest) => out.extend_from_slice(kept),
            _ => out.extend_from_slice(rest),
        }
    }
}

/// Two slashes at the front would begin a host to whoever reads the path as a reference.
fn is_as_normal(kept: &[u8], rest: &[u8]) -> bool {
    kept == rest
        || (!kept.starts_with(b"//")
            && kept.starts_with(b"/")
            && normal(kept, Parting::NOTHING) == rest)
}
