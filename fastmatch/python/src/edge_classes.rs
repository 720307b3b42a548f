//! The gate and the codecs as Python sees them: conversions only.

mod arrival;
mod codec;
mod gate;
mod rate_limit;
mod route;
mod segment;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use decide::{action, upstream};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<segment::PySegment>()?;
    module.add_class::<rate_limit::PyRateLimit>()?;
    module.add_class::<route::PyRoute>()?;
    module.add_class::<gate::PyGateConfig>()?;
    module.add_class::<gate::PyGate>()?;
    module.add_class::<codec::PyDownstream>()?;
    module.add_class::<codec::PyUpstream>()?;
    module.add_class::<arrival::PyNetworks>()?;
    module.add_function(wrap_pyfunction!(arrival::parse_proxy_header, module)?)?;
    let python = module.py();
    module.add("COUNTERS", PyTuple::new(python, decide::COUNTERS)?)?;
    module.add("GAUGES", PyTuple::new(python, decide::GAUGES)?)?;
    module.add("ENDS", PyTuple::new(python, decide::ENDS)?)?;
    module.add(
        "ROUTE_COUNTERS",
        PyTuple::new(python, decide::ROUTE_COUNTERS)?,
    )?;
    for (name, value) in [
        ("FORWARD", action::FORWARD),
        ("DENY", action::DENY),
        ("BODY_DONE", action::BODY_DONE),
        ("IDEMPOTENT", action::IDEMPOTENT),
        ("UPGRADE", action::UPGRADE),
        ("CLOSE", action::CLOSE),
        ("EXPECT_CONTINUE", action::EXPECT_CONTINUE),
        ("NO_ROUTE", decide::NO_ROUTE),
        ("BODY_NONE", action::BODY_NONE),
        ("BODY_LENGTH", action::BODY_LENGTH),
        ("BODY_CHUNKED", action::BODY_CHUNKED),
        ("RESPONSE_BEGUN", upstream::RESPONSE_BEGUN),
        ("RESPONSE_DONE", upstream::RESPONSE_DONE),
        ("REUSE", upstream::REUSE),
        ("CLOSE_CLIENT", upstream::CLOSE_CLIENT),
        ("TUNNEL", upstream::TUNNEL),
        ("BROKEN", upstream::BROKEN),
        ("SERVER_ERROR", upstream::SERVER_ERROR),
    ] {
        module.add(name, value)?;
    }
    Ok(())
}
