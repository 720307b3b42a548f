//! The `fastmatch._native` module: one file per class family, no algorithm.
#![deny(unsafe_code)]

mod blocklist_classes;
mod edge_classes;
mod random_read;
mod raw;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    blocklist_classes::register(module)?;
    edge_classes::register(module)?;
    module.add_function(wrap_pyfunction!(
        random_read::random_read_nanoseconds,
        module
    )?)?;
    // The package says what is public; PyO3's own list would have to be repeated in the stub.
    module.delattr("__all__")
}
