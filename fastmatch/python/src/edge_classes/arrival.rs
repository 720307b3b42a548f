//! What is looked at before a connection is a client's.

use decide::TrustedNetworks;
use decide::parse_address;
use http1::proxy_header::{self, Parse};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// (bytes of the header, source) or None while it is incomplete.
type Found = Option<(usize, Option<String>)>;

#[pyfunction]
#[pyo3(signature = (data, /))]
pub(crate) fn parse_proxy_header(data: &[u8]) -> PyResult<Found> {
    match proxy_header::parse(data) {
        Ok(Parse::Incomplete) => Ok(None),
        Ok(Parse::Complete { length, source }) => {
            Ok(Some((length, source.map(|address| address.to_string()))))
        }
        Err(fault) => Err(PyValueError::new_err(fault.0)),
    }
}

#[pyclass(name = "Networks", module = "fastmatch", frozen)]
pub(crate) struct PyNetworks {
    networks: TrustedNetworks,
}

#[pymethods]
impl PyNetworks {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "what Python gives is owned")]
    #[pyo3(signature = (networks, /))]
    fn new(networks: Vec<String>) -> PyResult<Self> {
        TrustedNetworks::parse(networks.iter().map(String::as_str))
            .map(|networks| Self { networks })
            .map_err(PyValueError::new_err)
    }

    fn __contains__(&self, address: &str) -> bool {
        parse_address(address).is_some_and(|address| self.networks.contains(address))
    }
}
