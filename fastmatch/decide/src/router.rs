//! Host, path, method and fields of a request -> the most specific route that fits.
//!
//! An exact host comes before a wildcard, a longer wildcard before a shorter one, those before routes for any host; within
//! a host an exact path before a longer prefix before a shorter one before any path; then routes that name methods, then
//! those that name more fields, then the order of the file. A route that does not fit gives way to the next one, so the
//! answer is that of a scan over all of them.
//!
//! Cost: a hash lookup for each host pattern that can fit, and within it for each prefix length that is configured and
//! ends where a segment does; nothing at all for one route that takes everything.

use std::borrow::Cow;
use std::collections::HashMap;

use http1::Refusal;
use http1::request::RequestHead;

use crate::config::ConfigError;
use crate::forward::path_of;
use crate::path::Readings;
use crate::route::RouteSettings;
use crate::route_rules::{Conditions, HOST_BYTES, Miss, PathRule, Text, folded_host, host_key};

/// Routes in one configuration: each has counters in shared memory.
pub const MOST_ROUTES: usize = 256;

/// Routes of one host, by path. Each list is in order of preference.
#[derive(Clone, Debug, Default)]
struct Paths {
    exact: HashMap<Text, Vec<u16>>,
    /// Without a slash at the end: `/` is empty.
    prefixes: HashMap<Text, Vec<u16>>,
    /// Lengths of the prefixes, longest first.
    lengths: Vec<usize>,
    any: Vec<u16>,
}

#[derive(Clone, Debug)]
pub struct Router {
    /// One route without conditions: nothing has to be looked at.
    takes_everything: bool,
    looks_at_paths: bool,
    exact: HashMap<Text, Paths>,
    /// `*.a.example` stands under `a.example`.
    below: HashMap<Text, Paths>,
    /// Lengths of the keys of `below`, longest first.
    lengths: Vec<usize>,
    any: Paths,
    conditions: Vec<Conditions>,
}

impl Router {
    pub fn compile(routes: &[RouteSettings]) -> Result<Self, ConfigError> {
        let mut made = Self {
            takes_everything: false,
            looks_at_paths: false,
            exact: HashMap::new(),
            below: HashMap::new(),
            lengths: Vec::new(),
            any: Paths::default(),
            conditions: Vec::with_capacity(routes.len()),
        };
        for (index, route) in routes.iter().enumerate() {
            made.add(index, route)
                .map_err(|fault| fault.of_route(index))?;
        }
        made.sort();
        made.takes_everything = match routes {
            [only] => {
                only.hosts.is_empty()
                    && only.methods.is_empty()
                    && only.headers.is_empty()
                    && only.path.is_none()
                    && only.path_prefix.is_none()
            }
            _ => false,
        };
        Ok(made)
    }

    fn add(&mut self, index: usize, route: &RouteSettings) -> Result<(), ConfigError> {
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        self.conditions.push(Conditions::compile(route)?);
        let path = PathRule::compile(route)?;
        self.looks_at_paths |= !matches!(path, PathRule::Any);
        if route.hosts.is_empty() {
            self.any.add(&path, number);
        }
        for host in &route.hosts {
            let (name, is_wildcard) = match host.strip_prefix("*.") {
                Some(name) => (name, true),
                None => (host.as_str(), false),
            };
            let key = host_key(host, name, is_wildcard)?;
            let of_kind = if is_wildcard {
                &mut self.below
            } else {
                &mut self.exact
            };
            of_kind.entry(key).or_default().add(&path, number);
        }
        Ok(())
    }

    /// Most specific first, everywhere.
    fn sort(&mut self) {
        self.lengths = lengths(self.below.keys());
        let (exact, below) = (self.exact.values_mut(), self.below.values_mut());
        for paths in exact.chain(below).chain([&mut self.any]) {
            paths.sort(&self.conditions);
        }
    }

    /// The route, by its place in the configuration. A path that would take two routes, depending on who reads it, is
    /// refused: the one we chose would not be the one that the upstream serves.
    pub fn find(&self, head: &RequestHead<'_, '_>) -> Result<Option<usize>, Refusal> {
        if self.takes_everything {
            return Ok(Some(0));
        }
        let readings = self.readings(head)?;
        let found = self.first(head, &readings.as_data);
        let agrees = |path: &Vec<u8>| self.first(head, path) == found;
        if readings.others.iter().all(agrees) {
            Ok(found)
        } else {
            Err(Refusal::Target)
        }
    }

    fn readings<'b>(&self, head: &RequestHead<'_, 'b>) -> Result<Readings<'b>, Refusal> {
        let path = match path_of(&head.target) {
            b"" => b"/",
            path => path,
        };
        if self.looks_at_paths {
            return Readings::of(path);
        }
        Ok(Readings {
            as_data: Cow::Borrowed(path),
            others: Vec::new(),
        })
    }

    fn first(&self, head: &RequestHead<'_, '_>, path: &[u8]) -> Option<usize> {
        let mut buffer = [0; HOST_BYTES];
        let host = folded_host(head.host.as_ref(), &mut buffer);
        self.candidates(host, path)
            .find(|&index| self.conditions[index].miss(head).is_none())
    }

    /// Routes whose host and path fit, most specific first; one may come more than once.
    fn candidates(&self, host: &[u8], path: &[u8]) -> impl Iterator<Item = usize> {
        self.hosts(host)
            .flat_map(move |paths| paths.candidates(path))
            .flatten()
            .map(|&number| usize::from(number))
    }

    /// Every route once, with what keeps the request from it: those whose host and path fit in order of preference, then
    /// the others. `find` takes the first that nothing keeps it from.
    pub fn explain(
        &self,
        head: &RequestHead<'_, '_>,
    ) -> Result<Vec<(usize, Option<Miss>)>, Refusal> {
        let mut buffer = [0; HOST_BYTES];
        let host = folded_host(head.host.as_ref(), &mut buffer);
        let readings = self.readings(head)?;
        let mut seen: Vec<(usize, Option<Miss>)> = Vec::with_capacity(self.conditions.len());
        let mut note = |index: usize, miss: Option<Miss>| {
            if !seen.iter().any(|(known, _)| *known == index) {
                seen.push((index, miss));
            }
        };
        for index in self.candidates(host, &readings.as_data) {
            note(index, self.conditions[index].miss(head));
        }
        for index in self.hosts(host).flat_map(Paths::all) {
            note(index, Some(Miss::Path));
        }
        for index in 0..self.conditions.len() {
            note(index, Some(Miss::Host));
        }
        Ok(seen)
    }

    /// Most specific first.
    fn hosts<'r>(&'r self, host: &[u8]) -> impl Iterator<Item = &'r Paths> {
        let exact = self.exact.get(host);
        let below = self.lengths.iter().filter_map(move |&length| {
            let start = host.len().checked_sub(length)?;
            let dot = start.checked_sub(1)?;
            // Something has to stand before the dot.
            (dot > 0 && host[dot] == b'.')
                .then(|| self.below.get(&host[start..]))
                .flatten()
        });
        exact.into_iter().chain(below).chain([&self.any])
    }
}

impl Paths {
    fn add(&mut self, path: &PathRule, number: u16) {
        let list = match path {
            PathRule::Exact(path) => self.exact.entry(path.clone()).or_default(),
            PathRule::Prefix(path) => self.prefixes.entry(path.clone()).or_default(),
            PathRule::Any => &mut self.any,
        };
        // One route may name a host twice.
        if !list.contains(&number) {
            list.push(number);
        }
    }

    fn sort(&mut self, conditions: &[Conditions]) {
        self.lengths = lengths(self.prefixes.keys());
        let (exact, prefixes) = (self.exact.values_mut(), self.prefixes.values_mut());
        for list in exact.chain(prefixes).chain([&mut self.any]) {
            list.sort_by_key(|&number| {
                let conditions = &conditions[usize::from(number)];
                (
                    conditions.methods.is_empty(),
                    usize::MAX - conditions.fields.len(),
                    number,
                )
            });
        }
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        let lists = self.exact.values().chain(self.prefixes.values());
        let numbers = lists.chain([&self.any]).flatten();
        numbers.map(|&number| usize::from(number))
    }

    /// Lists of routes for a path, most specific first.
    fn candidates<'r>(&'r self, path: &[u8]) -> impl Iterator<Item = &'r Vec<u16>> {
        let exact = self.exact.get(path);
        let prefixes = self.lengths.iter().filter_map(move |&length| {
            let prefix = path.get(..length)?;
            // Whole segments: `/v1` is not the beginning of `/v10`.
            matches!(path.get(length), None | Some(b'/'))
                .then(|| self.prefixes.get(prefix))
                .flatten()
        });
        exact.into_iter().chain(prefixes).chain([&self.any])
    }
}

fn lengths<'k>(keys: impl Iterator<Item = &'k Text>) -> Vec<usize> {
    let mut lengths: Vec<usize> = keys.map(|key| key.len()).collect();
    lengths.sort_unstable_by(|left, right| right.cmp(left));
    lengths.dedup();
    lengths
}
