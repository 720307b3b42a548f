//! What the operator wrote -> tables that requests are decided by. Every check is here, once, with the key's name.

use std::fmt;
use std::sync::Arc;

use http1::request::{self, FieldStorage, Parse, RequestHead};
use http1::{Limits, Refusal};

use crate::limits::LimitSettings;
use crate::network::TrustedNetworks;
use crate::route::{Route, RouteSettings};
use crate::route_rules::Miss;
use crate::router::{MOST_ROUTES, Router};

/// Plain values, as they come from the settings.
#[derive(Clone, Debug)]
pub struct Settings {
    pub trusted_proxies: Vec<String>,
    pub block_score: f64,
    pub drop_score: Option<f64>,
    pub observe: bool,
    pub domains: Vec<String>,
    pub on_missing: String,
    pub scheme: String,
    pub via: String,
    pub head_bytes: usize,
    pub target_bytes: usize,
    pub header_count: usize,
    pub body_bytes: u64,
    pub response_head_bytes: usize,
    pub upstream_host: Option<String>,
    /// Scores, modes, domains, limits and hosts above are what a route does not say itself.
    pub routes: Vec<RouteSettings>,
    /// Of all routes.
    pub rate_limits: Vec<LimitSettings>,
    /// `limited` or `always`: which answers say what is left.
    pub limit_fields: String,
    /// `limit` or `pass`: what becomes of requests that the table has no place to count.
    pub limit_when_full: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            block_score: 7.0,
            drop_score: None,
            observe: false,
            domains: vec!["host".to_owned()],
            on_missing: "closed".to_owned(),
            scheme: "http".to_owned(),
            via: "sentra".to_owned(),
            head_bytes: 16_384,
            target_bytes: 8_192,
            header_count: 100,
            body_bytes: 0,
            response_head_bytes: 65_536,
            upstream_host: None,
            routes: vec![RouteSettings::named("default")],
            rate_limits: Vec::new(),
            limit_fields: "limited".to_owned(),
            limit_when_full: "limit".to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Place of the route whose key it is.
    pub route: Option<usize>,
    pub key: &'static str,
    pub reason: String,
}

impl ConfigError {
    pub(crate) fn of_route(self, index: usize) -> Self {
        Self {
            route: Some(index),
            ..self
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.route {
            write!(formatter, "routes.{index}.")?;
        }
        write!(formatter, "{}: {}", self.key, self.reason)
    }
}

impl std::error::Error for ConfigError {}

/// Which subjects besides the client address are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    pub host: bool,
    pub origin: bool,
    pub referer: bool,
}

/// Immutable; shared by all connections of a worker.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(crate) trusted: TrustedNetworks,
    /// Tenths.
    pub(crate) drop_score: Option<u8>,
    pub(crate) fails_open: bool,
    pub(crate) is_https: bool,
    pub(crate) via: Vec<u8>,
    pub(crate) request_limits: Limits,
    pub(crate) response_limits: Limits,
    router: Router,
    routes: Box<[Arc<Route>]>,
    /// What a request is judged by that no route fits, before it is answered 404.
    fallback: Arc<Route>,
    pub(crate) limiting: Limiting,
}

/// How rates are limited, whichever limits there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limiting {
    /// Some route has a limit.
    pub is_on: bool,
    /// All answers say what is left, not only those that refuse.
    pub always_tells: bool,
    /// What finds no place in the table passes.
    pub passes_unknown: bool,
}

impl Tables {
    pub fn compile(settings: &Settings) -> Result<Self, ConfigError> {
        let fails_open = one_of("on_missing", &settings.on_missing, ["closed", "open"])?;
        let is_https = one_of("scheme", &settings.scheme, ["http", "https"])?;
        let trusted = TrustedNetworks::parse(settings.trusted_proxies.iter().map(String::as_str))
            .map_err(|reason| error("trusted_proxies", reason))?;
        if !http1::is_token(settings.via.as_bytes()) {
            return Err(error("via", format!("{:?} is not a token", settings.via)));
        }
        let head_bytes = in_range("head_bytes", settings.head_bytes, 256, 1 << 20)?;
        let field_count = in_range(
            "header_count",
            settings.header_count,
            1,
            http1::FIELD_CAPACITY,
        )?;
        let drop_score = settings
            .drop_score
            .map(|score| tenths("drop_score", score))
            .transpose()?;
        let fallback = Route::fallback(settings)?;
        // First: it knows the faults of hosts and paths, on which others follow.
        let router = Router::compile(&settings.routes)?;
        let compiled = compile_routes(settings, &fallback)?;
        Ok(Self {
            trusted,
            drop_score,
            fails_open,
            is_https,
            via: settings.via.clone().into_bytes(),
            request_limits: Limits {
                head_bytes,
                target_bytes: in_range("target_bytes", settings.target_bytes, 16, head_bytes)?,
                field_count,
            },
            response_limits: Limits {
                head_bytes: in_range(
                    "response_head_bytes",
                    settings.response_head_bytes,
                    256,
                    1 << 20,
                )?,
                target_bytes: 0,
                field_count: http1::FIELD_CAPACITY,
            },
            router,
            limiting: Limiting {
                is_on: !fallback.limits.is_empty()
                    || compiled.iter().any(|route| !route.limits.is_empty()),
                always_tells: one_of(
                    "limit_fields",
                    &settings.limit_fields,
                    ["limited", "always"],
                )?,
                passes_unknown: one_of(
                    "limit_when_full",
                    &settings.limit_when_full,
                    ["limit", "pass"],
                )?,
            },
            routes: compiled,
            fallback: Arc::new(fallback),
        })
    }

    /// The route that a request takes; the fallback, whose index is `NO_ROUTE`, when none fits.
    #[inline]
    pub(crate) fn route_of(&self, head: &RequestHead<'_, '_>) -> Result<&Arc<Route>, Refusal> {
        let found = self.router.find(head)?;
        Ok(found
            .and_then(|index| self.routes.get(index))
            .unwrap_or(&self.fallback))
    }

    /// Every route with what keeps a whole head from it, most specific first: see `Router::explain`.
    pub fn explain(&self, data: &[u8]) -> Result<Vec<(usize, Option<Miss>)>, Refusal> {
        let mut storage = FieldStorage::new();
        match request::parse(data, &self.request_limits, &mut storage)? {
            Parse::Complete(head) => self.router.explain(&head),
            Parse::Incomplete(_) => Err(Refusal::StartLine),
        }
    }

    /// In their order.
    pub(crate) fn route_names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| &*route.name)
    }

    /// The route of the same name in this configuration, which may be newer than the one that `route` is from.
    pub(crate) fn successor<'t>(&'t self, route: &'t Arc<Route>) -> &'t Arc<Route> {
        let at_same_place = usize::try_from(route.index)
            .ok()
            .and_then(|index| self.routes.get(index));
        at_same_place
            .filter(|other| other.name == route.name)
            .or_else(|| self.routes.iter().find(|other| other.name == route.name))
            .unwrap_or(route)
    }
}

fn compile_routes(
    settings: &Settings,
    inherited: &Route,
) -> Result<Box<[Arc<Route>]>, ConfigError> {
    let routes = &settings.routes;
    if routes.is_empty() || routes.len() > MOST_ROUTES {
        let reason = format!(
            "there are {}; 1-{MOST_ROUTES} can be told apart",
            routes.len()
        );
        return Err(error("routes", reason));
    }
    let mut compiled: Vec<Arc<Route>> = Vec::with_capacity(routes.len());
    for (index, route) in (0..).zip(routes) {
        if route.name.is_empty() || compiled.iter().any(|other| *other.name == *route.name) {
            let reason = format!("{:?} is empty or another route's too", route.name);
            return Err(error("name", reason).of_route(compiled.len()));
        }
        let route = Route::compile(route, index, inherited, &settings.rate_limits)
            .map_err(|fault| fault.of_route(compiled.len()))?;
        compiled.push(Arc::new(route));
    }
    Ok(compiled.into_boxed_slice())
}

pub(crate) fn parse_domains(names: &[String]) -> Result<Domains, ConfigError> {
    let mut domains = Domains::default();
    for name in names {
        match name.as_str() {
            "host" => domains.host = true,
            "origin" => domains.origin = true,
            "referer" => domains.referer = true,
            _ => {
                let reason = format!("{name:?} is not host, origin or referer");
                return Err(error("domains", reason));
            }
        }
    }
    Ok(domains)
}

pub(crate) fn error(key: &'static str, reason: String) -> ConfigError {
    ConfigError {
        route: None,
        key,
        reason,
    }
}

/// Is it the second of the two?
fn one_of(key: &'static str, value: &str, choices: [&str; 2]) -> Result<bool, ConfigError> {
    match choices.iter().position(|choice| *choice == value) {
        Some(index) => Ok(index == 1),
        None => Err(error(
            key,
            format!("{value:?} is not {} or {}", choices[0], choices[1]),
        )),
    }
}

fn in_range(
    key: &'static str,
    value: usize,
    low: usize,
    high: usize,
) -> Result<usize, ConfigError> {
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(error(key, format!("{value} is not within {low}-{high}")))
    }
}

/// 0 is refused: every entry of every list would block, known good ones' neighbours included.
pub fn tenths(key: &'static str, score: f64) -> Result<u8, ConfigError> {
    let scaled = (score * 10.0).round();
    if !(1.0..=100.0).contains(&scaled) {
        return Err(error(key, format!("{score} is not within 0.1-10")));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 1-100"
    )]
    Ok(scaled as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(change: impl FnOnce(&mut Settings)) -> &'static str {
        let mut settings = Settings::default();
        change(&mut settings);
        Tables::compile(&settings).expect_err("refused").key
    }

    #[test]
    fn every_wrong_value_names_its_key() {
        assert_eq!(
            key_of(|s| s.trusted_proxies = vec!["10.0.0.1/8".into()]),
            "trusted_proxies"
        );
        assert_eq!(key_of(|s| s.block_score = 11.0), "block_score");
        assert_eq!(key_of(|s| s.block_score = f64::NAN), "block_score");
        assert_eq!(key_of(|s| s.drop_score = Some(0.0)), "drop_score");
        assert_eq!(key_of(|s| s.domains = vec!["cookie".into()]), "domains");
        assert_eq!(key_of(|s| s.on_missing = "maybe".into()), "on_missing");
        assert_eq!(key_of(|s| s.scheme = "ftp".into()), "scheme");
        assert_eq!(key_of(|s| s.via = "a b".into()), "via");
        assert_eq!(key_of(|s| s.head_bytes = 1), "head_bytes");
        assert_eq!(key_of(|s| s.target_bytes = 1 << 20), "target_bytes");
        assert_eq!(key_of(|s| s.header_count = 1000), "header_count");
        assert_eq!(key_of(|s| s.response_head_bytes = 0), "response_head_bytes");
        assert_eq!(key_of(|s| s.limit_fields = "never".into()), "limit_fields");
        assert_eq!(
            key_of(|s| s.limit_when_full = "deny".into()),
            "limit_when_full"
        );
        assert_eq!(
            key_of(|s| s.upstream_host = Some("a/b".into())),
            "upstream_host"
        );
    }

    #[test]
    fn scores_become_tenths() {
        let tables = Tables::compile(&Settings::default()).expect("defaults are valid");
        assert_eq!((tables.fallback.block_score, tables.drop_score), (70, None));
        assert_eq!(tables.routes[0].block_score, 70);
    }
}
