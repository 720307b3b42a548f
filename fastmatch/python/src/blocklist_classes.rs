//! Entries, lists and verdicts as Python sees them.

mod batch;
mod buffers;
mod builder;
mod contents;
mod entry;
mod inputs;
mod list;
mod lookup;
mod verdict;

use pyo3::prelude::*;

pub(crate) use inputs::Within;
pub(crate) use list::PyBlocklist;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<entry::PyEntry>()?;
    module.add_class::<verdict::PyVerdict>()?;
    module.add_class::<verdict::PyCovering>()?;
    module.add_class::<verdict::PyExplanation>()?;
    module.add_class::<builder::PyBuilder>()?;
    module.add_class::<builder::PyLoadReport>()?;
    module.add_class::<PyBlocklist>()?;
    lookup::register(module.py())?;
    module.add_function(wrap_pyfunction!(entry::pack_entries, module)?)?;
    module.add_function(wrap_pyfunction!(entry::unpack_entries, module)?)?;
    module.add_function(wrap_pyfunction!(entry::canonical_target, module)?)
}
