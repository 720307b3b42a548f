//! Fields that a route sets, adds and removes -> names to leave out and lines to put in.

use http1::field::{self, FieldKind};
use http1::render::field as write_field;

use crate::config::{ConfigError, error};
use crate::route_rules::is_clean_value;

/// Lines that one route may add to a head, in octets: a head has to stay one that upstreams take.
const MOST_ADDED_BYTES: usize = 8192;
const MOST_REMOVED: usize = 64;

/// Plain values. `set` replaces what came, `add` stands beside it.
#[derive(Clone, Debug, Default)]
pub struct ChangeSettings {
    pub set: Vec<(String, String)>,
    pub add: Vec<(String, String)>,
    pub remove: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// In small letters, with dashes: any spelling of a name is the name.
    removed: Box<[Box<[u8]>]>,
    /// Whole lines.
    pub added: Box<[u8]>,
}

impl Changes {
    pub fn compile(key: &'static str, settings: &ChangeSettings) -> Result<Self, ConfigError> {
        let mut changes = ChangesBuilder::default();
        for (name, value) in &settings.set {
            changes.remove(checked(key, name)?);
            changes.add(key, name, value)?;
        }
        for (name, value) in &settings.add {
            checked(key, name)?;
            changes.add(key, name, value)?;
        }
        for name in &settings.remove {
            changes.remove(checked(key, name)?);
        }
        if changes.added.len() > MOST_ADDED_BYTES || changes.removed.len() > MOST_REMOVED {
            let reason = format!("more than {MOST_ADDED_BYTES} bytes or {MOST_REMOVED} names");
            return Err(error(key, reason));
        }
        Ok(changes.build())
    }

    /// These and one more field of our own, in place of any that comes.
    pub fn with_own(self, name: &str, value: &[u8]) -> Self {
        let mut changes = ChangesBuilder {
            removed: self.removed.into_vec(),
            added: self.added.into_vec(),
        };
        changes.remove(folded(name));
        write_field(&mut changes.added, name.as_bytes(), value);
        changes.build()
    }

    /// Most routes change nothing: asking this once spares asking for each field.
    #[inline]
    pub fn removes_any(&self) -> bool {
        !self.removed.is_empty()
    }

    #[inline]
    pub fn removes(&self, name: &[u8]) -> bool {
        self.removed.iter().any(|removed| is_same(removed, name))
    }
}

#[derive(Default)]
struct ChangesBuilder {
    removed: Vec<Box<[u8]>>,
    added: Vec<u8>,
}

impl ChangesBuilder {
    fn remove(&mut self, name: Box<[u8]>) {
        if !self.removed.contains(&name) {
            self.removed.push(name);
        }
    }

    fn add(&mut self, key: &'static str, name: &str, value: &str) -> Result<(), ConfigError> {
        if !value.is_ascii() || !is_clean_value(value) {
            return Err(error(
                key,
                format!("{name}: {value:?} is not a field value"),
            ));
        }
        write_field(&mut self.added, name.as_bytes(), value.as_bytes());
        Ok(())
    }

    fn build(self) -> Changes {
        Changes {
            removed: self.removed.into_boxed_slice(),
            added: self.added.into_boxed_slice(),
        }
    }
}

/// Framing, hop-by-hop fields and what we say about the client are made by us and by nothing else.
fn checked(key: &'static str, name: &str) -> Result<Box<[u8]>, ConfigError> {
    let is_free = matches!(
        field::classify(name.as_bytes()),
        FieldKind::Other | FieldKind::Protected | FieldKind::Origin | FieldKind::Referer
    );
    if !http1::is_token(name.as_bytes()) {
        return Err(error(key, format!("{name:?} is not a field name")));
    }
    if !is_free {
        return Err(error(key, format!("{name:?} is made by the proxy itself")));
    }
    Ok(folded(name))
}

fn folded(name: &str) -> Box<[u8]> {
    name.bytes().map(fold).collect()
}

/// CGI and WSGI read an underscore where a dash stands.
fn fold(octet: u8) -> u8 {
    match octet {
        b'_' => b'-',
        _ => octet.to_ascii_lowercase(),
    }
}

fn is_same(folded: &[u8], name: &[u8]) -> bool {
    folded.len() == name.len()
        && folded
            .iter()
            .zip(name)
            .all(|(known, octet)| *known == fold(*octet))
}
