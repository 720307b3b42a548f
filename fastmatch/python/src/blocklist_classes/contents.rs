//! What a list is made of: entries one by one, the addresses they cover, the bytes they take.

use std::sync::{Arc, Mutex, PoisonError};

use blocklist::{Blocklist, Entry};
use pyo3::exceptions::PyLookupError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::entry::PyEntry;
use super::inputs::tenths;
use crate::raw::Owning;

/// Holds the list, and one entry at a time.
#[pyclass(frozen, module = "fastmatch", name = "Entries")]
pub(crate) struct PyEntries(Mutex<Owning<Blocklist, Entry>>);

impl PyEntries {
    pub fn of(py: Python<'_>, list: &Arc<Blocklist>) -> PyResult<Self> {
        let list = Arc::clone(list);
        py.detach(|| Owning::new(list, |list| Ok(Box::new(list.entries()?))))
            .map(|entries| Self(Mutex::new(entries)))
            .map_err(no_evidence)
    }
}

#[pymethods]
impl PyEntries {
    fn __iter__(entries: Py<Self>) -> Py<Self> {
        entries
    }

    fn __next__(&self) -> Option<PyEntry> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.next().map(PyEntry)
    }
}

pub(crate) fn no_evidence(error: blocklist::NoEvidence) -> PyErr {
    PyLookupError::new_err(error.to_string())
}

/// (first, last) pairs of native words.
pub(crate) fn ipv4_ranges<'py>(
    py: Python<'py>,
    list: &Blocklist,
    source: Option<&str>,
    minimum_score: f64,
) -> PyResult<Bound<'py, PyBytes>> {
    let minimum = tenths(minimum_score)?;
    let words = py.detach(|| {
        let ranges = list.ipv4_ranges(source, minimum)?;
        let mut words = Vec::with_capacity(ranges.len() * 8);
        for (first, last) in ranges {
            words.extend(first.to_ne_bytes());
            words.extend(last.to_ne_bytes());
        }
        Ok(words)
    });
    Ok(PyBytes::new(py, &words.map_err(no_evidence)?))
}

/// (file, section, bytes)
pub(crate) fn sections<'py>(py: Python<'py>, list: &Blocklist) -> PyResult<Bound<'py, PyList>> {
    let sections = list.sections().into_iter();
    PyList::new(
        py,
        sections.map(|section| (section.file, section.name, section.bytes)),
    )
}
