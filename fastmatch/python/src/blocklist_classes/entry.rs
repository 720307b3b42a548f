//! `Entry` and its travelling form.

use std::sync::Arc;

use blocklist::{Disposition, Entry, Limits, Origin, Rule, Statement, Target};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::inputs::{Within, labels, seconds, tenths, value_error};

#[pyclass(
    frozen,
    eq,
    hash,
    skip_from_py_object,
    module = "fastmatch",
    name = "Entry"
)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PyEntry(pub Entry);

pub(crate) fn disposition_named(name: &str) -> PyResult<Disposition> {
    match name {
        "block" => Ok(Disposition::Block),
        "allow" => Ok(Disposition::Allow),
        "known_good" => Ok(Disposition::KnownGood),
        "tombstone" => Ok(Disposition::Tombstone),
        other => Err(value_error(
            other,
            "disposition is block, allow, known_good or tombstone",
        )),
    }
}

fn origin_named(name: &str) -> PyResult<Origin> {
    match name {
        "feed" => Ok(Origin::Feed),
        "operator" => Ok(Origin::Operator),
        "incident" => Ok(Origin::Incident),
        other => Err(value_error(other, "origin is feed, operator or incident")),
    }
}

pub(crate) fn rule_named(name: &str) -> PyResult<Rule> {
    match name {
        "suffix" => Ok(Rule::Suffix),
        "below" => Ok(Rule::Below),
        "exact" => Ok(Rule::Exact),
        other => Err(value_error(other, "kind is exact, suffix or below")),
    }
}

fn parse_target(text: &str, kind: Option<&str>) -> PyResult<Target> {
    let rule = kind
        .filter(|kind| *kind != "network")
        .map(rule_named)
        .transpose()?;
    let target = Target::parse(text.as_bytes(), rule.unwrap_or(Rule::Suffix))
        .map_err(|error| value_error(text, error))?;
    match (&target, kind) {
        (Target::Domain { .. }, Some("network")) => {
            Err(value_error(text, "kind is network, the target is a domain"))
        }
        (Target::Network(_), Some(kind)) if kind != "network" => Err(value_error(
            text,
            format!("kind is {kind}, the target is a network"),
        )),
        _ => Ok(target),
    }
}

fn as_tuple<'py>(py: Python<'py>, labels: &[Box<str>]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, labels.iter().map(|label| &**label))
}

#[pymethods]
impl PyEntry {
    #[new]
    #[pyo3(
        signature = (
            target, *, score=Within(10.0), kind=None, disposition="block", origin="feed", categories=None, sources=None,
            reason="", first_seen=None, last_seen=None, expires=None
        ),
        text_signature = "(target, *, score=10.0, kind=None, disposition='block', origin='feed', categories=(), \
            sources=(), reason='', first_seen=None, last_seen=None, expires=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a record")]
    fn new(
        target: &str,
        score: Within<f64>,
        kind: Option<&str>,
        disposition: &str,
        origin: &str,
        categories: Option<&Bound<'_, PyAny>>,
        sources: Option<&Bound<'_, PyAny>>,
        reason: &str,
        first_seen: Option<&Bound<'_, PyAny>>,
        last_seen: Option<&Bound<'_, PyAny>>,
        expires: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let statement = Statement {
            disposition: disposition_named(disposition)?,
            origin: origin_named(origin)?,
            score_tenths: tenths(score.0)?,
            sources: labels("sources", sources)?,
            categories: labels("categories", categories)?,
            reason: reason.into(),
            first_seen: seconds("first_seen", first_seen)?,
            last_seen: seconds("last_seen", last_seen)?,
            expires: seconds("expires", expires)?,
        };
        let target = parse_target(target, kind)?;
        let statement = statement
            .checked()
            .map_err(|error| value_error(&target.to_string(), error))?;
        Ok(Self(Entry {
            target,
            statement: Arc::new(statement),
        }))
    }

    #[getter]
    fn target(&self) -> String {
        self.0.target.to_string()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.0.target.kind()
    }

    #[getter]
    fn disposition(&self) -> &'static str {
        self.0.statement.disposition.name()
    }

    #[getter]
    fn origin(&self) -> &'static str {
        self.0.statement.origin.name()
    }

    #[getter]
    fn score(&self) -> f64 {
        f64::from(self.0.statement.score_tenths) / 10.0
    }

    #[getter]
    fn categories<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        as_tuple(py, &self.0.statement.categories)
    }

    #[getter]
    fn sources<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        as_tuple(py, &self.0.statement.sources)
    }

    #[getter]
    fn reason(&self) -> &str {
        &self.0.statement.reason
    }

    #[getter]
    fn first_seen(&self) -> Option<u32> {
        self.0.statement.first_seen.map(Into::into)
    }

    #[getter]
    fn last_seen(&self) -> Option<u32> {
        self.0.statement.last_seen.map(Into::into)
    }

    #[getter]
    fn expires(&self) -> Option<u32> {
        self.0.statement.expires.map(Into::into)
    }

    /// What makes copies and pickles.
    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<((String,), Bound<'py, PyDict>)> {
        let arguments = PyDict::new(py);
        arguments.set_item("score", self.score())?;
        arguments.set_item("kind", self.kind())?;
        arguments.set_item("disposition", self.disposition())?;
        arguments.set_item("origin", self.origin())?;
        arguments.set_item("categories", self.categories(py)?)?;
        arguments.set_item("sources", self.sources(py)?)?;
        arguments.set_item("reason", self.reason())?;
        arguments.set_item("first_seen", self.first_seen())?;
        arguments.set_item("last_seen", self.last_seen())?;
        arguments.set_item("expires", self.expires())?;
        Ok(((self.target(),), arguments))
    }

    fn __repr__(&self) -> String {
        let statement = &self.0.statement;
        format!(
            "Entry({:?}, score={}, kind={:?}, disposition={:?}, origin={:?}, sources={:?})",
            self.target(),
            self.score(),
            self.kind(),
            statement.disposition.name(),
            statement.origin.name(),
            statement.sources,
        )
    }
}

/// The entries of any iterable of `Entry`.
pub(crate) fn entries_of(values: &Bound<'_, PyAny>) -> PyResult<Vec<Entry>> {
    let mut entries = Vec::new();
    for value in values.try_iter()? {
        entries.push(value?.cast::<PyEntry>()?.get().0.clone());
    }
    Ok(entries)
}

#[pyfunction]
#[pyo3(signature = (entries, /))]
pub(crate) fn pack_entries<'py>(
    py: Python<'py>,
    entries: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let entries = entries_of(entries)?;
    let packed = py
        .detach(|| blocklist::pack(&entries))
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &packed))
}

#[pyfunction]
#[pyo3(signature = (packed, /, *, limit=Within(1_000_000)), text_signature = "(packed, /, *, limit=1000000)")]
pub(crate) fn unpack_entries(
    py: Python<'_>,
    packed: &Bound<'_, PyBytes>,
    limit: Within<usize>,
) -> PyResult<Vec<PyEntry>> {
    let packed = packed.as_bytes();
    let mut entries = Vec::new();
    let keep = |entry| entries.push(PyEntry(entry));
    py.detach(|| blocklist::unpack(packed, Limits::of_entries(limit.0), keep))
        .map_err(|error| PyValueError::new_err(format!("packed entries, {error}")))?;
    Ok(entries)
}

#[pyfunction]
#[pyo3(signature = (target, /))]
pub(crate) fn canonical_target(target: &str) -> PyResult<(String, &'static str)> {
    let parsed = parse_target(target, None)?;
    let kind = if matches!(parsed, Target::Network(_)) {
        "network"
    } else {
        "domain"
    };
    Ok((parsed.to_string(), kind))
}
