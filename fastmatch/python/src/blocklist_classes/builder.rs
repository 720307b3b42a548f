//! `Builder`: entries and list files in, a compiled list out.

use std::path::Path;

use blocklist::{Blocklist, Builder, Stamp};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::entry::PyEntry;
use super::inputs::{os_error, unsigned};
use super::list::PyBlocklist;

#[pyclass(module = "fastmatch", name = "Builder")]
pub(crate) struct PyBuilder(Builder);

/// The keyword arguments that every compilation takes.
pub(crate) fn stamp(
    epoch: Option<&Bound<'_, PyAny>>,
    sequence: Option<&Bound<'_, PyAny>>,
    now: Option<&Bound<'_, PyAny>>,
) -> PyResult<Stamp> {
    let number =
        |name, value: Option<&Bound<'_, PyAny>>| value.map_or(Ok(0), |value| unsigned(name, value));
    Ok(Stamp {
        epoch: number("epoch", epoch)?,
        sequence: number("sequence", sequence)?,
        now: number("now", now)?,
    })
}

pub(crate) fn build(py: Python<'_>, builder: &Builder, stamp: Stamp) -> Blocklist {
    py.detach(|| builder.build(stamp))
}

#[pymethods]
impl PyBuilder {
    #[new]
    fn new() -> Self {
        Self(Builder::new())
    }

    fn add(&mut self, entry: &PyEntry) -> PyResult<()> {
        self.0
            .add(&entry.0)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[pyo3(signature = (*, epoch=None, sequence=None, now=None))]
    fn build(
        &self,
        py: Python<'_>,
        epoch: Option<&Bound<'_, PyAny>>,
        sequence: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyBlocklist> {
        Ok(PyBlocklist::new(build(
            py,
            &self.0,
            stamp(epoch, sequence, now)?,
        )))
    }

    #[pyo3(signature = (decision_path, evidence_path, *, epoch=None, sequence=None, now=None))]
    fn write(
        &self,
        py: Python<'_>,
        decision_path: &str,
        evidence_path: &str,
        epoch: Option<&Bound<'_, PyAny>>,
        sequence: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let stamp = stamp(epoch, sequence, now)?;
        let (decision, evidence) = (Path::new(decision_path), Path::new(evidence_path));
        py.detach(|| self.0.write(decision, evidence, stamp))
            .map_err(|error| os_error(&error, decision_path))
    }
}
