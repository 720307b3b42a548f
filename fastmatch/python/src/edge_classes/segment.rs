//! Counters in shared memory.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use decide::{Histogram, Segment, SegmentError, Sizes};
use pyo3::exceptions::{PyIndexError, PyKeyError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::blocklist_classes::Within;

/// Counts by name; microseconds and how many answers were complete in less.
type RouteTold = (HashMap<&'static str, u64>, HashMap<u64, u64>);

#[pyclass(name = "Segment", module = "fastmatch", frozen)]
pub(crate) struct PySegment {
    pub(crate) segment: Arc<Segment>,
}

fn to_python(error: SegmentError) -> PyErr {
    match error {
        SegmentError::Io(error) => match error.raw_os_error() {
            Some(_) => PyOSError::new_err(error),
            None => PyValueError::new_err(error.to_string()),
        },
        SegmentError::Layout(..) => PyValueError::new_err(error.to_string()),
    }
}

impl PySegment {
    fn check(&self, Within(slot): Within<usize>) -> PyResult<usize> {
        if slot < self.segment.slots() {
            Ok(slot)
        } else {
            let slots = self.segment.slots();
            Err(PyIndexError::new_err(format!("slot {slot} of {slots}")))
        }
    }

    fn sums<'py>(
        &self,
        python: Python<'py>,
        slots: std::ops::Range<usize>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let sums = PyDict::new(python);
        for (name, value) in self.segment.sums(slots) {
            sums.set_item(name, value)?;
        }
        Ok(sums)
    }
}

#[pymethods]
impl PySegment {
    #[staticmethod]
    #[pyo3(
        signature = (slots, *, limit_entry_count = Within(65536), address_entry_count = Within(32768)),
        text_signature = "(slots, *, limit_entry_count=65536, address_entry_count=32768)"
    )]
    fn create(
        slots: Within<usize>,
        limit_entry_count: Within<usize>,
        address_entry_count: Within<usize>,
    ) -> PyResult<Self> {
        let sizes = Sizes {
            slots: slots.0,
            limit_entries: limit_entry_count.0,
            address_entries: address_entry_count.0,
        };
        let segment = Arc::new(Segment::create(sizes).map_err(to_python)?);
        Ok(Self { segment })
    }

    #[staticmethod]
    fn open(descriptor: Within<RawFd>) -> PyResult<Self> {
        let segment = Arc::new(Segment::open(descriptor.0).map_err(to_python)?);
        Ok(Self { segment })
    }

    fn fileno(&self) -> RawFd {
        self.segment.descriptor()
    }

    #[getter]
    fn slots(&self) -> usize {
        self.segment.slots()
    }

    fn clear_gauges(&self, slot: Within<usize>) -> PyResult<()> {
        self.segment.clear_gauges(self.check(slot)?);
        Ok(())
    }

    fn counters<'py>(&self, python: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.sums(python, 0..self.segment.slots())
    }

    fn slot_counters<'py>(
        &self,
        python: Python<'py>,
        slot: Within<usize>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let slot = self.check(slot)?;
        self.sums(python, slot..slot + 1)
    }

    fn histogram(&self, name: &str) -> PyResult<Vec<(f64, u64)>> {
        let histogram = match name {
            "request_seconds" => Histogram::Request,
            "upstream_seconds" => Histogram::Upstream,
            _ => return Err(PyKeyError::new_err(format!("no histogram {name:?}"))),
        };
        Ok(self.segment.histogram(histogram))
    }

    /// A call for each name costs a conversion; all names of a configuration are asked for at a time.
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn routes(&self, names: Vec<String>) -> Vec<RouteTold> {
        let told = names.iter().map(|name| self.segment.route_counts(name));
        told.map(|told| {
            let counts = decide::ROUTE_COUNTERS.into_iter().zip(told.counts);
            (counts.collect(), told.latency.into_iter().collect())
        })
        .collect()
    }

    fn add(&self, slot: Within<usize>, name: &str, amount: Within<i64>) -> PyResult<()> {
        let (slot, amount) = (self.check(slot)?, amount.0);
        self.segment.add_named(slot, name, amount).ok_or_else(|| {
            PyValueError::new_err(format!(
                "cannot add {amount} to {name:?}: unknown, or a counter"
            ))
        })
    }
}
