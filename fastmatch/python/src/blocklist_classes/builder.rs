//! `Builder`: entries and list files in, a compiled list out.

use std::path::Path;

use blocklist::{
    Blocklist, Builder, Disposition, FoldError, Format, Limits, ListOptions, LoadReport, Origin,
    Stamp, Statement,
};
use pyo3::exceptions::{PyLookupError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::entry::{PyEntry, disposition_named, rule_named};
use super::inputs::{Within, labels, os_error, seconds, tenths, unsigned, value_error};
use super::list::PyBlocklist;

#[pyclass(module = "fastmatch", name = "Builder")]
pub(crate) struct PyBuilder(Builder);

fn format_named(name: &str) -> PyResult<Format> {
    match name {
        "plain" => Ok(Format::Plain),
        "hosts" => Ok(Format::Hosts),
        "netset" => Ok(Format::Netset),
        "csv" => Ok(Format::Csv),
        other => Err(value_error(other, "format is plain, hosts, netset or csv")),
    }
}

fn delimiter_byte(delimiter: &str) -> PyResult<u8> {
    match delimiter.as_bytes() {
        [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() => Ok(*byte),
        _ => Err(value_error(delimiter, "the delimiter is one ASCII sign")),
    }
}

/// Ascending (column value, tenths).
fn score_points(points: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<(f64, u8)>> {
    let Some(points) = points else {
        return Ok(Vec::new());
    };
    let mut read = Vec::new();
    for point in points.try_iter()? {
        let (Within(value), Within(score)): (Within<f64>, Within<f64>) = point?.extract()?;
        if !value.is_finite() {
            return Err(PyValueError::new_err(format!(
                "score_map {value}: not a finite number"
            )));
        }
        read.push((value, tenths(score)?));
    }
    read.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    Ok(read)
}

#[pyclass(frozen, module = "fastmatch", name = "LoadReport")]
pub(crate) struct PyLoadReport(LoadReport);

#[pymethods]
impl PyLoadReport {
    #[getter]
    fn accepted_count(&self) -> u64 {
        self.0.accepted_count
    }

    #[getter]
    fn ignored_count(&self) -> u64 {
        self.0.ignored_count
    }

    #[getter]
    fn rejected_count(&self) -> u64 {
        self.0.rejected_count
    }

    #[getter]
    fn rejected<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let rejected = &self.0.rejected;
        PyTuple::new(
            py,
            rejected
                .iter()
                .map(|line| (line.line, &line.text, &line.reason)),
        )
    }

    fn __repr__(&self) -> String {
        let LoadReport {
            accepted_count,
            ignored_count,
            rejected_count,
            ..
        } = self.0;
        format!(
            "LoadReport(accepted={accepted_count}, ignored={ignored_count}, rejected={rejected_count})"
        )
    }
}

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
        ..Stamp::default()
    })
}

fn listed_disposition(name: &str) -> PyResult<Disposition> {
    let known = disposition_named(name)?;
    if known == Disposition::Tombstone {
        let reason = "a list's disposition is block, allow or known_good";
        return Err(value_error(name, reason));
    }
    Ok(known)
}

pub(crate) fn build(py: Python<'_>, builder: &mut Builder, stamp: Stamp) -> PyResult<Blocklist> {
    py.detach(|| builder.build(stamp))
        .map_err(|error| PyValueError::new_err(error.to_string()))
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

    #[pyo3(
        signature = (
            text, *, format, source, score, kind="suffix", disposition="block", categories=None, score_column=None,
            score_map=None, delimiter=",", last_seen=None
        ),
        text_signature = "($self, text, *, format, source, score, kind='suffix', disposition='block', categories=(), \
            score_column=None, score_map=None, delimiter=',', last_seen=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a record")]
    fn add_text(
        &mut self,
        py: Python<'_>,
        text: &Bound<'_, PyBytes>,
        format: &str,
        source: &str,
        score: Within<f64>,
        kind: &str,
        disposition: &str,
        categories: Option<&Bound<'_, PyAny>>,
        score_column: Option<&Bound<'_, PyAny>>,
        score_map: Option<&Bound<'_, PyAny>>,
        delimiter: &str,
        last_seen: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyLoadReport> {
        let statement = Statement {
            disposition: listed_disposition(disposition)?,
            origin: Origin::Feed,
            score_tenths: tenths(score.0)?,
            sources: Box::new([source.into()]),
            categories: labels("categories", categories)?,
            reason: "".into(),
            first_seen: None,
            last_seen: seconds("last_seen", last_seen)?,
            expires: None,
        };
        let column = score_column
            .map(|column| unsigned("score_column", column))
            .transpose()?;
        let options = ListOptions {
            format: format_named(format)?,
            statement: statement
                .checked()
                .map_err(|error| value_error(source, error))?,
            rule: rule_named(kind)?,
            delimiter: delimiter_byte(delimiter)?,
            score_column: column.map(|column| usize::try_from(column).unwrap_or(usize::MAX)),
            score_points: score_points(score_map)?,
        };
        let (builder, text) = (&mut self.0, text.as_bytes());
        py.detach(|| builder.add_text(text, &options))
            .map(PyLoadReport)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    #[pyo3(
        signature = (packed, /, *, limit_entries=None, limit_bytes=None),
        text_signature = "($self, packed, /, *, limit_entries=20000000, limit_bytes=2147483648)"
    )]
    fn add_packed(
        &mut self,
        py: Python<'_>,
        packed: &Bound<'_, PyBytes>,
        limit_entries: Option<Within<usize>>,
        limit_bytes: Option<Within<usize>>,
    ) -> PyResult<()> {
        let usual = Limits::default();
        let limits = Limits {
            entries: limit_entries.map_or(usual.entries, |limit| limit.0),
            bytes: limit_bytes.map_or(usual.bytes, |limit| limit.0),
        };
        let (builder, packed) = (&mut self.0, packed.as_bytes());
        py.detach(|| builder.add_packed(packed, limits))
            .map_err(|error| PyValueError::new_err(format!("packed entries, {error}")))
    }

    #[pyo3(signature = (blocklist, /))]
    fn add_list(&mut self, py: Python<'_>, blocklist: &PyBlocklist) -> PyResult<()> {
        let builder = &mut self.0;
        let added = py.detach(|| builder.add_list(blocklist.shared()));
        added.map_err(|error| match error {
            FoldError::NoEvidence => PyLookupError::new_err(error.to_string()),
            FoldError::TooLarge => PyValueError::new_err(error.to_string()),
        })
    }

    fn pack<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let builder = &mut self.0;
        let packed = py.detach(|| builder.pack());
        PyBytes::new(py, &packed)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[pyo3(
        signature = (*, epoch=None, sequence=None, now=None, compact_domains=false),
        text_signature = "($self, *, epoch=0, sequence=0, now=0, compact_domains=False)"
    )]
    fn build(
        &mut self,
        py: Python<'_>,
        epoch: Option<&Bound<'_, PyAny>>,
        sequence: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
        compact_domains: bool,
    ) -> PyResult<PyBlocklist> {
        let stamp = Stamp {
            compact_domains,
            ..stamp(epoch, sequence, now)?
        };
        Ok(PyBlocklist::new(build(py, &mut self.0, stamp)?))
    }

    #[pyo3(
        signature = (decision_path, evidence_path, *, epoch=None, sequence=None, now=None, compact_domains=false),
        text_signature = "($self, decision_path, evidence_path, *, epoch=0, sequence=0, now=0, compact_domains=False)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a record")]
    fn write(
        &mut self,
        py: Python<'_>,
        decision_path: &str,
        evidence_path: &str,
        epoch: Option<&Bound<'_, PyAny>>,
        sequence: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
        compact_domains: bool,
    ) -> PyResult<()> {
        let stamp = Stamp {
            compact_domains,
            ..stamp(epoch, sequence, now)?
        };
        self.0
            .check_base()
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let (decision, evidence) = (Path::new(decision_path), Path::new(evidence_path));
        let builder = &mut self.0;
        py.detach(|| builder.write(decision, evidence, stamp))
            .map_err(|error| os_error(&error, decision_path))
    }
}
