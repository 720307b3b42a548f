//! Configuration and what all connections of a worker share.

use std::sync::{Arc, Mutex, PoisonError};

use decide::{Entry, Gate, Miss, Settings, Tables, tenths};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::rate_limit::{PyRateLimit, settings_of};
use super::route::PyRoute;
use super::segment::PySegment;
use crate::blocklist_classes::{PyBlocklist, Within};

#[pyclass(name = "GateConfig", module = "fastmatch", frozen)]
pub(crate) struct PyGateConfig {
    tables: Arc<Tables>,
}

#[pymethods]
impl PyGateConfig {
    #[new]
    #[pyo3(signature = (
        *,
        trusted_proxies = Vec::new(),
        block_score = Within(7.0),
        drop_score = None,
        observe = false,
        domains = None,
        on_missing = "closed",
        scheme = "http",
        via = "sentra",
        head_bytes = Within(16384),
        target_bytes = Within(8192),
        header_count = Within(100),
        body_bytes = Within(0),
        response_head_bytes = Within(65536),
        upstream_host = None,
        routes = None,
        rate_limits = Vec::new(),
        limit_fields = "limited",
        limit_when_full = "limit",
    ), text_signature = "(*, trusted_proxies=(), block_score=7.0, drop_score=None, observe=False, domains=['host'], \
        on_missing='closed', scheme='http', via='sentra', head_bytes=16384, target_bytes=8192, header_count=100, \
        body_bytes=0, response_head_bytes=65536, upstream_host=None, routes=None, rate_limits=(), limit_fields='limited', \
        limit_when_full='limit')")]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword-only settings, one for each key"
    )]
    fn new(
        trusted_proxies: Vec<String>,
        block_score: Within<f64>,
        drop_score: Option<Within<f64>>,
        observe: bool,
        domains: Option<Vec<String>>,
        on_missing: &str,
        scheme: &str,
        via: &str,
        head_bytes: Within<usize>,
        target_bytes: Within<usize>,
        header_count: Within<usize>,
        body_bytes: Within<u64>,
        response_head_bytes: Within<usize>,
        upstream_host: Option<String>,
        routes: Option<Vec<PyRef<'_, PyRoute>>>,
        rate_limits: Vec<PyRef<'_, PyRateLimit>>,
        limit_fields: &str,
        limit_when_full: &str,
    ) -> PyResult<Self> {
        let settings = Settings {
            trusted_proxies,
            block_score: block_score.0,
            drop_score: drop_score.map(|score| score.0),
            observe,
            domains: domains.unwrap_or_else(|| vec!["host".to_owned()]),
            on_missing: on_missing.to_owned(),
            scheme: scheme.to_owned(),
            via: via.to_owned(),
            head_bytes: head_bytes.0,
            target_bytes: target_bytes.0,
            header_count: header_count.0,
            body_bytes: body_bytes.0,
            response_head_bytes: response_head_bytes.0,
            upstream_host,
            routes: match routes {
                Some(routes) => routes.iter().map(|route| route.settings.clone()).collect(),
                None => Settings::default().routes,
            },
            rate_limits: settings_of(rate_limits),
            limit_fields: limit_fields.to_owned(),
            limit_when_full: limit_when_full.to_owned(),
        };
        let tables =
            Tables::compile(&settings).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self {
            tables: Arc::new(tables),
        })
    }

    #[pyo3(signature = (head, /))]
    fn explain(&self, head: &[u8]) -> PyResult<Vec<(usize, Option<&'static str>)>> {
        let considered = self.tables.explain(head).map_err(|refusal| {
            PyValueError::new_err(format!("refused with {}", refusal.status()))
        })?;
        let named = considered.into_iter();
        Ok(named
            .map(|(route, miss)| (route, miss.map(Miss::name)))
            .collect())
    }
}

#[pyclass(name = "Gate", module = "fastmatch", frozen)]
pub(crate) struct PyGate {
    pub(crate) gate: Arc<Gate>,
    /// The object that `install` gives back; the gate itself holds the list within.
    installed: Mutex<Option<Py<PyBlocklist>>>,
    /// What the access log's lines were in before, for the next ones.
    spare: Mutex<Vec<u8>>,
}

fn invalid_peer(error: &decide::InvalidPeer) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pymethods]
impl PyGate {
    #[new]
    fn new(config: &PyGateConfig, segment: &PySegment, slot: Within<usize>) -> PyResult<Self> {
        let slot = slot.0;
        let gate = Gate::new(
            Arc::clone(&config.tables),
            Arc::clone(&segment.segment),
            slot,
        )
        .ok_or_else(|| {
            let slots = segment.segment.slots();
            PyIndexError::new_err(format!("slot {slot} of {slots}"))
        })?;
        Ok(Self {
            gate: Arc::new(gate),
            installed: Mutex::new(None),
            spare: Mutex::default(),
        })
    }

    fn configure(&self, config: &PyGateConfig) {
        self.gate.configure(&config.tables);
    }

    #[expect(clippy::needless_pass_by_value, reason = "the object is kept")]
    fn install(
        &self,
        python: Python<'_>,
        blocklist: Option<Py<PyBlocklist>>,
    ) -> Option<Py<PyBlocklist>> {
        // The lock spans both stores, so that the object given back is the list that went out of force.
        let mut installed = self
            .installed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let list = blocklist.as_ref().map(|object| object.get().shared());
        self.gate.install(list);
        let new = blocklist.as_ref().map(|object| object.clone_ref(python));
        std::mem::replace(&mut *installed, new)
    }

    #[pyo3(signature = (peer, drop_score = None, /))]
    fn accept(&self, peer: &str, drop_score: Option<Within<f64>>) -> PyResult<bool> {
        let drop_score = drop_score
            .map(|score| tenths("drop_score", score.0))
            .transpose()
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        self.gate
            .accept(peer, drop_score)
            .map_err(|error| invalid_peer(&error))
    }

    #[pyo3(signature = (scope, address, most, /))]
    fn enter(&self, scope: &str, address: &str, most: Within<u64>) -> PyResult<Option<bool>> {
        let entry = self
            .gate
            .enter(scope, address, most.0)
            .map_err(|error| invalid_peer(&error))?;
        Ok(match entry {
            Entry::Counted => Some(true),
            Entry::Refused => Some(false),
            Entry::Uncounted => None,
        })
    }

    #[pyo3(signature = (scope, address, /))]
    fn leave(&self, scope: &str, address: &str) -> PyResult<()> {
        self.gate
            .leave(scope, address)
            .map_err(|error| invalid_peer(&error))
    }

    #[pyo3(signature = (now, /))]
    fn tick(&self, now: Within<u64>) {
        self.gate.tick(now.0);
    }

    fn drain(&self) {
        self.gate.drain();
    }

    fn drain_events<'py>(&self, python: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(python, &self.gate.drain_events())
    }

    #[pyo3(
        signature = (share, /, *, query = false, buffer_bytes = Within(4_194_304)),
        text_signature = "($self, share, /, *, query=False, buffer_bytes=4194304)"
    )]
    fn log_access(
        &self,
        share: Option<f64>,
        query: bool,
        buffer_bytes: Within<usize>,
    ) -> PyResult<()> {
        if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(PyValueError::new_err("access_log.share: is not within 0-1"));
        }
        self.gate.log_access(share, query, buffer_bytes.0);
        Ok(())
    }

    fn drain_access_log<'py>(&self, python: Python<'py>) -> Bound<'py, PyBytes> {
        let spare = std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner));
        let lines = self.gate.drain_access_log(spare);
        let drained = PyBytes::new(python, &lines);
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = lines;
        drained
    }

    fn drain_hitters<'py>(&self, python: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(python, &self.gate.drain_hitters())
    }

    fn client_sample<'py>(&self, python: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(python, &self.gate.client_sample())
    }

    #[getter]
    fn version(&self) -> Option<(u64, u64)> {
        self.gate.version()
    }
}
