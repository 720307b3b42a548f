//! The codecs of both sides. Output is written into one buffer per thread and copied once into a `bytes` object:
//! a buffer per connection would cost idle connections memory, a fresh one an allocation per call.

use std::cell::Cell;
use std::sync::Arc;

use decide::action::HeadOutcome;
use decide::{BodyPart, Downstream, End, Upstream};
use http1::Refusal;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::gate::PyGate;

/// Larger buffers are given back to the allocator after use.
const KEPT_BYTES: usize = 131_072;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn with_scratch<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = SCRATCH.take();
    buffer.clear();
    let result = work(&mut buffer);
    if buffer.capacity() <= KEPT_BYTES {
        SCRATCH.set(buffer);
    }
    result
}

fn minus_status(refusal: Refusal) -> i32 {
    -i32::from(refusal.status())
}

/// Not frozen: used by the one thread of its event loop, the binding's borrow flag guards against a mistake in that.
#[pyclass(name = "Downstream", module = "fastmatch")]
pub(crate) struct PyDownstream {
    codec: Downstream,
}

impl PyDownstream {
    fn because(&mut self, word: Option<&str>) -> PyResult<()> {
        let Some(word) = word else { return Ok(()) };
        let end = End::parse(word)
            .ok_or_else(|| PyValueError::new_err(format!("{word:?} is not one of ENDS")))?;
        self.codec.because(end);
        Ok(())
    }
}

#[pymethods]
impl PyDownstream {
    #[new]
    #[pyo3(signature = (gate, peer, *, https = false, listener = ""))]
    fn new(gate: &PyGate, peer: &str, https: bool, listener: &str) -> PyResult<Self> {
        let codec = Downstream::new(Arc::clone(&gate.gate), peer)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self {
            codec: codec.over_tls(https).at(listener),
        })
    }

    #[pyo3(signature = (data, /))]
    fn head<'py>(
        &mut self,
        python: Python<'py>,
        data: &Bound<'py, PyBytes>,
    ) -> PyResult<Bound<'py, PyAny>> {
        with_scratch(|out| match self.codec.head(data.as_bytes(), out) {
            HeadOutcome::Incomplete => Ok(python.None().into_bound(python)),
            HeadOutcome::Refused(refusal) => minus_status(refusal).into_bound_py_any(python),
            HeadOutcome::Ready(action) => (
                action.action,
                action.route,
                PyBytes::new(python, out),
                action.body_kind,
                action.length,
                action.consumed,
            )
                .into_bound_py_any(python),
        })
    }

    #[pyo3(signature = (data, /))]
    fn body<'py>(
        &mut self,
        python: Python<'py>,
        data: &Bound<'py, PyBytes>,
    ) -> PyResult<Bound<'py, PyAny>> {
        with_scratch(|out| match self.codec.body(data.as_bytes(), out) {
            Err(refusal) => minus_status(refusal).into_bound_py_any(python),
            Ok(BodyPart {
                consumed,
                is_done,
                passes_through,
            }) => {
                let out = if passes_through {
                    data.clone()
                } else {
                    PyBytes::new(python, out)
                };
                (out, consumed, is_done).into_bound_py_any(python)
            }
        })
    }

    #[pyo3(signature = (status, end = None, /, *, close))]
    fn reply<'py>(
        &mut self,
        python: Python<'py>,
        status: u16,
        end: Option<&str>,
        close: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.because(end)?;
        if !(400..=599).contains(&status) {
            return Err(PyValueError::new_err(format!(
                "status {status} is no error"
            )));
        }
        Ok(with_scratch(|out| {
            self.codec.reply(status, close, out);
            PyBytes::new(python, out)
        }))
    }

    #[pyo3(signature = (status, end = None, /))]
    fn end(&mut self, status: u16, end: Option<&str>) -> PyResult<()> {
        self.because(end)?;
        self.codec.end(status);
        Ok(())
    }

    fn rejudge(&self) -> bool {
        self.codec.rejudge()
    }

    #[getter]
    fn client(&self) -> String {
        self.codec.client().to_string()
    }

    #[getter]
    fn request_id(&self) -> &str {
        self.codec.request_id()
    }

    #[getter]
    fn has_partial_head(&self) -> bool {
        self.codec.has_partial_head()
    }
}

#[pyclass(name = "Upstream", module = "fastmatch")]
pub(crate) struct PyUpstream {
    codec: Upstream,
    /// The exchange it answers; let go when nothing more is owed, so that an idle connection keeps no client alive.
    downstream: Option<Py<PyDownstream>>,
}

#[pymethods]
impl PyUpstream {
    #[new]
    #[pyo3(signature = (gate, target = None))]
    fn new(gate: &PyGate, target: Option<&str>) -> Self {
        let codec = Upstream::new(Arc::clone(&gate.gate));
        Self {
            codec: match target {
                Some(target) => codec.named(target),
                None => codec,
            },
            downstream: None,
        }
    }

    #[pyo3(signature = (downstream, /))]
    fn begin(&mut self, downstream: &Bound<'_, PyDownstream>) -> PyResult<()> {
        self.codec.begin(&mut downstream.try_borrow_mut()?.codec);
        self.downstream = Some(downstream.clone().unbind());
        Ok(())
    }

    #[pyo3(signature = (data, /))]
    fn data<'py>(
        &mut self,
        python: Python<'py>,
        data: &Bound<'py, PyBytes>,
    ) -> PyResult<(Bound<'py, PyBytes>, u32)> {
        let Some(downstream) = &self.downstream else {
            self.codec.stray(data.as_bytes());
            return Ok((PyBytes::new(python, b""), self.codec.flags()));
        };
        let mut borrowed = downstream.bind(python).try_borrow_mut()?;
        let codec = &mut self.codec;
        let answer = with_scratch(|out| {
            let outcome = codec.data(data.as_bytes(), &mut borrowed.codec, out);
            let out = if outcome.passes_through {
                data.clone()
            } else {
                PyBytes::new(python, out)
            };
            (out, outcome.flags)
        });
        drop(borrowed);
        if self.codec.is_over() {
            self.downstream = None;
        }
        Ok(answer)
    }

    fn eof<'py>(&mut self, python: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, u32)> {
        let Some(downstream) = self.downstream.take() else {
            return Ok((PyBytes::new(python, b""), self.codec.flags()));
        };
        let mut borrowed = downstream.bind(python).try_borrow_mut()?;
        Ok(with_scratch(|out| {
            let flags = self.codec.eof(&mut borrowed.codec, out);
            (PyBytes::new(python, out), flags)
        }))
    }

    #[getter]
    fn status(&self) -> u16 {
        self.codec.status()
    }
}
