//! Verdicts and explanations.

use blocklist::{Covering, VerdictRef};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::entry::PyEntry;

#[pyclass(frozen, module = "fastmatch", name = "Verdict")]
pub(crate) struct PyVerdict {
    disposition: &'static str,
    score: f64,
    categories: Py<PyTuple>,
    sources: Py<PyTuple>,
}

impl PyVerdict {
    pub fn new(py: Python<'_>, verdict: VerdictRef<'_>) -> PyResult<Self> {
        Ok(Self {
            disposition: verdict.disposition().name(),
            score: f64::from(verdict.score_tenths()) / 10.0,
            categories: PyTuple::new(py, verdict.categories())?.unbind(),
            sources: PyTuple::new(py, verdict.sources())?.unbind(),
        })
    }
}

#[pymethods]
impl PyVerdict {
    #[getter]
    fn disposition(&self) -> &'static str {
        self.disposition
    }

    #[getter]
    fn score(&self) -> f64 {
        self.score
    }

    #[getter]
    fn categories(&self, py: Python<'_>) -> Py<PyTuple> {
        self.categories.clone_ref(py)
    }

    #[getter]
    fn sources(&self, py: Python<'_>) -> Py<PyTuple> {
        self.sources.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (categories, sources) = (
            self.categories.bind(py).repr()?,
            self.sources.bind(py).repr()?,
        );
        Ok(format!(
            "Verdict({}, score={}, categories={categories}, sources={sources})",
            self.disposition, self.score
        ))
    }
}

#[pyclass(frozen, module = "fastmatch", name = "Covering")]
pub(crate) struct PyCovering {
    entry: Py<PyEntry>,
    is_live: bool,
    is_vetoed: bool,
    decided: bool,
}

impl PyCovering {
    pub fn new(py: Python<'_>, covering: Covering) -> PyResult<Self> {
        let Covering {
            entry,
            is_live,
            is_vetoed,
            decided,
        } = covering;
        Ok(Self {
            entry: Py::new(py, PyEntry(entry))?,
            is_live,
            is_vetoed,
            decided,
        })
    }
}

#[pymethods]
impl PyCovering {
    #[getter]
    fn entry(&self, py: Python<'_>) -> Py<PyEntry> {
        self.entry.clone_ref(py)
    }

    #[getter]
    fn is_live(&self) -> bool {
        self.is_live
    }

    #[getter]
    fn is_vetoed(&self) -> bool {
        self.is_vetoed
    }

    #[getter]
    fn decided(&self) -> bool {
        self.decided
    }
}

#[pyclass(frozen, module = "fastmatch", name = "Explanation")]
pub(crate) struct PyExplanation {
    pub subject: String,
    pub verdict: Option<Py<PyVerdict>>,
    pub covering: Py<PyTuple>,
    pub version: (u64, u64),
}

#[pymethods]
impl PyExplanation {
    #[getter]
    fn subject(&self) -> &str {
        &self.subject
    }

    #[getter]
    fn verdict(&self, py: Python<'_>) -> Option<Py<PyVerdict>> {
        self.verdict.as_ref().map(|verdict| verdict.clone_ref(py))
    }

    #[getter]
    fn covering(&self, py: Python<'_>) -> Py<PyTuple> {
        self.covering.clone_ref(py)
    }

    #[getter]
    fn version(&self) -> (u64, u64) {
        self.version
    }
}
