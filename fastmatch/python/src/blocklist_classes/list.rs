//! `Blocklist`: the lookups, each returning an object that is built once.

use std::path::Path;
use std::sync::Arc;

use blocklist::address::Address;
use blocklist::{Blocklist, Builder, Disposition, HostLookup, ImageError, Subject, VerdictRef};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use super::batch;
use super::builder::{build, stamp};
use super::contents::{PyEntries, ipv4_ranges, no_evidence, sections};
use super::entry::entries_of;
use super::inputs::{Query, Within, os_error, query, unsigned, value_error};
use super::lookup::quick_address;
use super::verdict::{PyCovering, PyExplanation, PyVerdict};
use crate::raw::ascii;

type VerdictCells = Arc<[PyOnceLock<Py<PyVerdict>>]>;

fn cells(count: usize) -> VerdictCells {
    std::iter::repeat_with(PyOnceLock::new)
        .take(count)
        .collect()
}

#[pyclass(frozen, mapping, module = "fastmatch", name = "Blocklist")]
pub(crate) struct PyBlocklist {
    list: Arc<Blocklist>,
    /// Shared by the lists with another overlay, so that a verdict of the base stays one object.
    base_verdicts: VerdictCells,
    overlay_verdicts: VerdictCells,
}

impl PyBlocklist {
    pub fn new(list: Blocklist) -> Self {
        let (base, _) = list.verdict_counts();
        Self {
            list: Arc::new(list),
            base_verdicts: cells(base),
            overlay_verdicts: cells(0),
        }
    }

    /// What the gate of a worker holds.
    pub fn shared(&self) -> &Arc<Blocklist> {
        &self.list
    }

    #[inline]
    pub fn judge(&self, address: Address) -> Option<VerdictRef<'_>> {
        match address {
            Address::V4(bits) => self.list.lookup4(bits),
            Address::V6(bits) => self.list.lookup6(bits),
        }
    }

    #[inline]
    fn judge_target(&self, target: &Bound<'_, PyAny>) -> PyResult<Option<VerdictRef<'_>>> {
        if let Some(address) = quick_address(target) {
            return Ok(self.judge(address));
        }
        if let Some(Ok(judged)) = ascii(target).map(|name| self.list.lookup_domain_bytes(name)) {
            return Ok(judged);
        }
        self.judge_object(target)
    }

    #[inline(never)]
    fn judge_object(&self, target: &Bound<'_, PyAny>) -> PyResult<Option<VerdictRef<'_>>> {
        match query(target)? {
            Query::Address(address) => Ok(self.judge(address)),
            Query::Text(text) => named(text, self.list.lookup_domain_bytes(text.as_bytes())),
        }
    }

    #[inline]
    fn cell(&self, verdict: VerdictRef<'_>) -> Option<&PyOnceLock<Py<PyVerdict>>> {
        let id = verdict.id() as usize;
        match self.base_verdicts.get(id) {
            Some(cell) => Some(cell),
            None => self.overlay_verdicts.get(id - self.base_verdicts.len()),
        }
    }

    /// The verdict's object when it has been asked for before.
    #[inline]
    pub fn made(&self, py: Python<'_>, verdict: VerdictRef<'_>) -> Option<&Py<PyVerdict>> {
        self.cell(verdict)?.get(py)
    }

    #[inline]
    fn object(&self, py: Python<'_>, verdict: VerdictRef<'_>) -> PyResult<Py<PyVerdict>> {
        match self.made(py, verdict) {
            Some(object) => Ok(object.clone_ref(py)),
            None => self.make(py, verdict),
        }
    }

    #[cold]
    fn make(&self, py: Python<'_>, verdict: VerdictRef<'_>) -> PyResult<Py<PyVerdict>> {
        let make = || Py::new(py, PyVerdict::new(py, verdict)?);
        match self.cell(verdict) {
            Some(cell) => cell
                .get_or_try_init(py, make)
                .map(|made| made.clone_ref(py)),
            // Only a damaged file names a verdict that the list does not have.
            None => make(),
        }
    }

    pub fn objects(
        &self,
        py: Python<'_>,
        verdict: Option<VerdictRef<'_>>,
    ) -> PyResult<Option<Py<PyVerdict>>> {
        verdict.map(|verdict| self.object(py, verdict)).transpose()
    }
}

pub(crate) fn named<'a>(name: &str, judged: HostLookup<'a>) -> PyResult<Option<VerdictRef<'a>>> {
    judged.map_err(|error| value_error(name, error))
}

fn image_error(error: ImageError, path: &str) -> PyErr {
    match error {
        ImageError::Io(error) => os_error(&error, path),
        error => PyValueError::new_err(format!("{path}: {error}")),
    }
}

#[pymethods]
impl PyBlocklist {
    #[staticmethod]
    #[pyo3(
        signature = (entries, *, epoch=None, sequence=None, now=None),
        text_signature = "(entries, *, epoch=0, sequence=0, now=0)"
    )]
    fn from_entries(
        py: Python<'_>,
        entries: &Bound<'_, PyAny>,
        epoch: Option<&Bound<'_, PyAny>>,
        sequence: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mut builder = Builder::new();
        for entry in entries_of(entries)? {
            builder
                .add(&entry)
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        let stamp = stamp(epoch, sequence, now)?;
        build(py, &mut builder, stamp).map(Self::new)
    }

    #[staticmethod]
    #[pyo3(signature = (decision_path, evidence_path=None, *, prefault=true, verify=false))]
    fn open(
        py: Python<'_>,
        decision_path: &str,
        evidence_path: Option<&str>,
        prefault: bool,
        verify: bool,
    ) -> PyResult<Self> {
        let (decision, evidence) = (Path::new(decision_path), evidence_path.map(Path::new));
        py.detach(|| {
            Blocklist::open(decision, evidence, prefault, verify).map_err(|error| {
                // An error names no file: it is the evidence's when the other opens without it.
                let without = || Blocklist::open(decision, None, false, verify);
                let at_fault = evidence_path.filter(|_| without().is_ok());
                (error, at_fault.unwrap_or(decision_path))
            })
        })
        .map(Self::new)
        .map_err(|(error, path)| image_error(error, path))
    }

    fn __contains__(&self, target: &Bound<'_, PyAny>) -> PyResult<bool> {
        let is_block = |verdict: VerdictRef<'_>| {
            verdict.disposition() == Disposition::Block && verdict.score_tenths() > 0
        };
        Ok(self.judge_target(target)?.is_some_and(is_block))
    }

    fn __getitem__(&self, target: &Bound<'_, PyAny>) -> PyResult<Py<PyVerdict>> {
        match self.judge_target(target)? {
            Some(verdict) => self.object(target.py(), verdict),
            None => Err(PyKeyError::new_err(target.clone().unbind())),
        }
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.list.len()).unwrap_or(usize::MAX >> 1)
    }

    #[pyo3(signature = (addresses, out, /))]
    fn lookup_ipv4_batch(
        &self,
        py: Python<'_>,
        addresses: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        batch::lookup_ipv4_batch(self, py, addresses, out)
    }

    #[pyo3(signature = (addresses, out, /))]
    fn lookup_ipv6_batch(
        &self,
        py: Python<'_>,
        addresses: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        batch::lookup_ipv6_batch(self, py, addresses, out)
    }

    #[pyo3(signature = (names, out, /))]
    fn lookup_domain_batch(
        &self,
        py: Python<'_>,
        names: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        batch::lookup_domain_batch(self, py, names, out)
    }

    #[pyo3(signature = (text, offsets, out, /))]
    fn lookup_domain_blob(
        &self,
        py: Python<'_>,
        text: &Bound<'_, PyAny>,
        offsets: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        batch::lookup_domain_blob(self, py, text, offsets, out)
    }

    #[pyo3(signature = (target, /))]
    fn explain(&self, py: Python<'_>, target: &str) -> PyResult<PyExplanation> {
        let subject =
            Subject::parse(target.as_bytes()).map_err(|error| value_error(target, error))?;
        let explanation = py
            .detach(|| self.list.explain(&subject))
            .map_err(no_evidence)?;
        let covering = explanation
            .covering
            .into_iter()
            .map(|covering| PyCovering::new(py, covering));
        let covering = covering.collect::<PyResult<Vec<_>>>()?;
        let verdict = explanation.verdict.and_then(|id| self.list.verdict(id));
        Ok(PyExplanation {
            subject: explanation.subject,
            verdict: self.objects(py, verdict)?,
            covering: PyTuple::new(py, covering)?.unbind(),
            version: explanation.version,
        })
    }

    #[pyo3(signature = (now, /))]
    fn advance(&self, now: &Bound<'_, PyAny>) -> PyResult<()> {
        self.list.clock().advance(unsigned("now", now)?);
        Ok(())
    }

    #[pyo3(signature = (packed, /, *, sequence))]
    fn with_overlay(
        &self,
        py: Python<'_>,
        packed: &[u8],
        sequence: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let sequence = unsigned("sequence", sequence)?;
        let list = py
            .detach(|| self.list.with_overlay(packed, sequence))
            .map_err(|error| PyValueError::new_err(format!("packed entries, {error}")))?;
        let (_, overlay) = list.verdict_counts();
        Ok(Self {
            list: Arc::new(list),
            base_verdicts: Arc::clone(&self.base_verdicts),
            overlay_verdicts: cells(overlay),
        })
    }

    fn entries(&self, py: Python<'_>) -> PyResult<PyEntries> {
        PyEntries::of(py, &self.list)
    }

    #[pyo3(
        signature = (*, source=None, minimum_score=Within(0.0)),
        text_signature = "($self, *, source=None, minimum_score=0.0)"
    )]
    fn ipv4_ranges<'py>(
        &self,
        py: Python<'py>,
        source: Option<&str>,
        minimum_score: Within<f64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        ipv4_ranges(py, &self.list, source, minimum_score.0)
    }

    #[getter]
    fn sections<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        sections(py, &self.list)
    }

    #[getter]
    fn version(&self) -> (u64, u64) {
        self.list.version()
    }

    #[getter]
    fn verdicts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let (base, overlay) = self.list.verdict_counts();
        let ids = 0..u32::try_from(base + overlay).unwrap_or(u32::MAX);
        let verdicts = ids.filter_map(|id| self.list.verdict(id));
        let objects = verdicts
            .map(|verdict| self.object(py, verdict))
            .collect::<PyResult<Vec<_>>>()?;
        PyTuple::new(py, objects)
    }

    #[getter]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.list.stats();
        let counts = PyDict::new(py);
        counts.set_item("ipv4", stats.ipv4)?;
        counts.set_item("ipv6", stats.ipv6)?;
        counts.set_item("domains", stats.domains)?;
        counts.set_item("overlay", stats.overlay)?;
        counts.set_item("verdicts", stats.verdicts)?;
        counts.set_item("bytes", stats.bytes)?;
        Ok(counts)
    }

    #[getter]
    fn created(&self) -> u64 {
        self.list.created()
    }

    fn __repr__(&self) -> String {
        let (epoch, sequence) = self.list.version();
        format!(
            "Blocklist({} entries, version=({epoch}, {sequence}))",
            self.list.len()
        )
    }
}
