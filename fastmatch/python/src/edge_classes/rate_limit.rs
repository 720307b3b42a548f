//! One rate limit of a configuration, as plain values.

use decide::limits::LimitSettings;
use pyo3::prelude::*;

use crate::blocklist_classes::Within;

#[pyclass(name = "RateLimit", module = "fastmatch", frozen)]
pub(crate) struct PyRateLimit {
    settings: LimitSettings,
}

#[pymethods]
impl PyRateLimit {
    #[new]
    #[pyo3(signature = (name, *, key, requests, per_seconds, burst = None))]
    fn new(
        name: String,
        key: String,
        requests: Within<u64>,
        per_seconds: Within<u64>,
        burst: Option<Within<u64>>,
    ) -> Self {
        let settings = LimitSettings {
            name,
            key,
            requests: requests.0,
            per_seconds: per_seconds.0,
            burst: burst.map(|burst| burst.0),
        };
        Self { settings }
    }
}

pub(crate) fn settings_of(limits: Vec<PyRef<'_, PyRateLimit>>) -> Vec<LimitSettings> {
    let settings = limits.into_iter().map(|limit| limit.settings.clone());
    settings.collect()
}
