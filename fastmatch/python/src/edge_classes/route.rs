//! One route of a configuration, as plain values.

use decide::{ChangeSettings, RouteSettings};
use pyo3::prelude::*;

use super::rate_limit::{PyRateLimit, settings_of};
use crate::blocklist_classes::Within;

/// Set, add, remove.
type Changes = (Vec<(String, String)>, Vec<(String, String)>, Vec<String>);

fn change_settings(changes: Option<Changes>) -> ChangeSettings {
    let (set, add, remove) = changes.unwrap_or_default();
    ChangeSettings { set, add, remove }
}

#[pyclass(name = "Route", module = "fastmatch", frozen)]
pub(crate) struct PyRoute {
    pub(crate) settings: RouteSettings,
}

#[pymethods]
impl PyRoute {
    #[new]
    #[pyo3(signature = (
        name,
        *,
        hosts = Vec::new(),
        path = None,
        path_prefix = None,
        methods = Vec::new(),
        headers = Vec::new(),
        block_score = None,
        observe = None,
        domains = None,
        body_bytes = None,
        host_header = None,
        rate_limits = Vec::new(),
        strip_prefix = None,
        add_prefix = None,
        request_headers = None,
        response_headers = None,
        redirect = None,
        respond = None,
        hidden_paths = Vec::new(),
    ), text_signature = "(name, *, hosts=(), path=None, path_prefix=None, methods=(), headers=(), block_score=None, \
        observe=None, domains=None, body_bytes=None, host_header=None, rate_limits=(), strip_prefix=None, \
        add_prefix=None,         request_headers=None, response_headers=None, redirect=None, respond=None, hidden_paths=())")]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword-only settings, one for each key"
    )]
    fn new(
        name: String,
        hosts: Vec<String>,
        path: Option<String>,
        path_prefix: Option<String>,
        methods: Vec<String>,
        headers: Vec<(String, Option<String>)>,
        block_score: Option<Within<f64>>,
        observe: Option<bool>,
        domains: Option<Vec<String>>,
        body_bytes: Option<Within<u64>>,
        host_header: Option<String>,
        rate_limits: Vec<PyRef<'_, PyRateLimit>>,
        strip_prefix: Option<String>,
        add_prefix: Option<String>,
        request_headers: Option<Changes>,
        response_headers: Option<Changes>,
        redirect: Option<(Within<u16>, String)>,
        respond: Option<(Within<u16>, String, String)>,
        hidden_paths: Vec<String>,
    ) -> Self {
        let settings = RouteSettings {
            name,
            hosts,
            path,
            path_prefix,
            methods,
            headers,
            block_score: block_score.map(|score| score.0),
            observe,
            domains,
            body_bytes: body_bytes.map(|bytes| bytes.0),
            host_header,
            rate_limits: settings_of(rate_limits),
            strip_prefix,
            add_prefix,
            request_headers: change_settings(request_headers),
            response_headers: change_settings(response_headers),
            redirect: redirect.map(|(status, location)| (status.0, location)),
            respond: respond.map(|(status, content_type, body)| (status.0, content_type, body)),
            hidden_paths,
        };
        Self { settings }
    }
}
