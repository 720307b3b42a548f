//! One route of a configuration, as plain values.

use decide::RouteSettings;
use pyo3::prelude::*;

use crate::blocklist_classes::Within;

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
    ), text_signature = "(name, *, hosts=(), path=None, path_prefix=None, methods=(), headers=(), block_score=None, \
        observe=None, domains=None, body_bytes=None, host_header=None)")]
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
        };
        Self { settings }
    }
}
