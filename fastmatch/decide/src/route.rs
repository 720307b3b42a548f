//! What the operator wrote about one route -> what a request that takes it is decided by.

use http1::target::Host;

use crate::changes::{ChangeSettings, Changes};
use crate::config::{ConfigError, Domains, Settings, error, parse_domains, tenths};
use crate::fixed::Fixed;
use crate::hidden::HiddenPaths;
use crate::limits::{self, Limit, LimitSettings};
use crate::rewrite::Rewrite;

/// The route of a request that none fits.
pub const NO_ROUTE: u32 = u32::MAX;

/// Plain values. What is `None` is inherited from the defaults of all routes.
#[derive(Clone, Debug, Default)]
pub struct RouteSettings {
    pub name: String,
    /// Exact names, or `*.` and what is below; empty: any.
    pub hosts: Vec<String>,
    pub path: Option<String>,
    pub path_prefix: Option<String>,
    pub methods: Vec<String>,
    /// Without a value: present at all.
    pub headers: Vec<(String, Option<String>)>,
    pub block_score: Option<f64>,
    pub observe: Option<bool>,
    pub domains: Option<Vec<String>>,
    pub body_bytes: Option<u64>,
    pub host_header: Option<String>,
    /// Beside those of the edge.
    pub rate_limits: Vec<LimitSettings>,
    pub strip_prefix: Option<String>,
    pub add_prefix: Option<String>,
    pub request_headers: ChangeSettings,
    pub response_headers: ChangeSettings,
    /// Status and location: the route answers by itself.
    pub redirect: Option<(u16, String)>,
    /// Status, content type and body.
    pub respond: Option<(u16, String, String)>,
    /// Of the upstream, with everything below: answered 404.
    pub hidden_paths: Vec<String>,
}

impl RouteSettings {
    /// Everything, as the defaults say.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

/// What differs between routes, with everything inherited filled in.
#[derive(Clone, Debug)]
pub struct Route {
    pub(crate) name: Box<str>,
    /// Its place in the configuration, or `NO_ROUTE`.
    pub(crate) index: u32,
    /// Tenths.
    pub(crate) block_score: u8,
    pub(crate) observe: bool,
    pub(crate) domains: Domains,
    /// `u64::MAX` when there is no limit.
    pub(crate) body_bytes: u64,
    /// Sent instead of the client's Host.
    pub(crate) host: Option<Vec<u8>>,
    /// Those of the edge, then its own.
    pub(crate) limits: Box<[Limit]>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) request_changes: Changes,
    pub(crate) response_changes: Changes,
    /// Nothing goes upstream: this is the answer.
    pub(crate) fixed: Option<Fixed>,
    pub(crate) hidden: HiddenPaths,
}

impl Route {
    /// `inherited` is the route that stands for the defaults; the edge's rate limits are each route's.
    pub(crate) fn compile(
        settings: &RouteSettings,
        index: u32,
        inherited: &Self,
        rate_limits: &[LimitSettings],
    ) -> Result<Self, ConfigError> {
        let rewrite = Rewrite::compile(settings)?;
        let mut request_changes = Changes::compile("request_headers", &settings.request_headers)?;
        if let Some(rewrite) = rewrite.as_ref().filter(|it| !it.strip.is_empty()) {
            // The service behind makes its links with it.
            request_changes = request_changes.with_own("X-Forwarded-Prefix", &rewrite.strip);
        }
        Ok(Self {
            name: settings.name.clone().into_boxed_str(),
            index,
            block_score: settings
                .block_score
                .map_or(Ok(inherited.block_score), |score| {
                    tenths("block_score", score)
                })?,
            observe: settings.observe.unwrap_or(inherited.observe),
            domains: settings
                .domains
                .as_deref()
                .map_or(Ok(inherited.domains), parse_domains)?,
            body_bytes: settings.body_bytes.map_or(inherited.body_bytes, body_limit),
            host: match &settings.host_header {
                Some(host) => Some(host_field("host_header", host)?),
                None => inherited.host.clone(),
            },
            limits: limits::compile(rate_limits, &settings.rate_limits, &settings.name)?,
            rewrite,
            request_changes,
            response_changes: Changes::compile("response_headers", &settings.response_headers)?,
            fixed: match (&settings.redirect, &settings.respond) {
                (None, None) => None,
                (Some((status, location)), None) => Some(Fixed::redirect(*status, location)?),
                (None, Some((status, content_type, body))) => {
                    Some(Fixed::response(*status, content_type, body)?)
                }
                (Some(_), Some(_)) => {
                    let reason = "stands beside redirect: a route has one of them";
                    return Err(error("respond", reason.to_owned()));
                }
            },
            hidden: HiddenPaths::compile(&settings.hidden_paths)?,
        })
    }

    /// The defaults that others inherit, for what no route fits.
    pub(crate) fn fallback(settings: &Settings) -> Result<Self, ConfigError> {
        let host = settings.upstream_host.as_deref();
        Ok(Self {
            name: Box::default(),
            index: NO_ROUTE,
            block_score: tenths("block_score", settings.block_score)?,
            observe: settings.observe,
            domains: parse_domains(&settings.domains)?,
            body_bytes: body_limit(settings.body_bytes),
            host: host
                .map(|host| host_field("upstream_host", host))
                .transpose()?,
            limits: limits::compile(&settings.rate_limits, &[], "")?,
            rewrite: None,
            request_changes: Changes::default(),
            response_changes: Changes::default(),
            fixed: None,
            hidden: HiddenPaths::default(),
        })
    }
}

/// 0 is no limit.
fn body_limit(bytes: u64) -> u64 {
    if bytes == 0 { u64::MAX } else { bytes }
}

fn host_field(key: &'static str, host: &str) -> Result<Vec<u8>, ConfigError> {
    match Host::parse(host.as_bytes()) {
        Ok(_) => Ok(host.as_bytes().to_vec()),
        Err(_) => Err(error(key, format!("{host:?} is not a host"))),
    }
}
