//! The lookups of the hot path, as methods of one argument.

use std::ffi::CStr;

use blocklist::address::{Address, parse_address};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::inputs::{Query, address_bytes, query, value_error};
use super::list::{PyBlocklist, named};
use super::verdict::PyVerdict;
use crate::raw::{self, Found, OneArgument};

pub(crate) fn register(py: Python<'_>) -> PyResult<()> {
    raw::add_method::<Lookup>(py)?;
    raw::add_method::<LookupDomain>(py)?;
    raw::add_method::<Nothing>(py)
}

/// The address of an exact `str`, `int` or `bytes`; None for everything that needs an error or another look.
#[inline]
pub(crate) fn quick_address(value: &Bound<'_, PyAny>) -> Option<Address> {
    if let Some(text) = raw::ascii(value) {
        return parse_address(text);
    }
    if let Some(number) = raw::integer(value) {
        return u32::try_from(number).ok().map(Address::V4);
    }
    address_bytes(value.cast_exact::<PyBytes>().ok()?.as_bytes())
}

struct Lookup;

impl OneArgument for Lookup {
    type Class = PyBlocklist;
    type Answer = PyVerdict;
    const NAME: &'static CStr = c"lookup";
    const DOC: &'static CStr =
        c"lookup($self, address, /)\n--\n\nThe verdict on an address, or None.";

    #[inline]
    fn quick<'a>(
        list: &'a PyBlocklist,
        argument: &Bound<'_, PyAny>,
    ) -> Option<Found<'a, PyVerdict>> {
        match list.judge(quick_address(argument)?) {
            None => Some(Found::Nothing),
            Some(verdict) => list.made(argument.py(), verdict).map(Found::Object),
        }
    }

    fn slow(list: &PyBlocklist, argument: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyVerdict>>> {
        match query(argument)? {
            Query::Address(address) => list.objects(argument.py(), list.judge(address)),
            Query::Text(text) => Err(value_error(text, "not an IPv4 or IPv6 address")),
        }
    }
}

struct LookupDomain;

impl OneArgument for LookupDomain {
    type Class = PyBlocklist;
    type Answer = PyVerdict;
    const NAME: &'static CStr = c"lookup_domain";
    const DOC: &'static CStr =
        c"lookup_domain($self, name, /)\n--\n\nThe verdict on a host name, or None.";

    #[inline]
    fn quick<'a>(
        list: &'a PyBlocklist,
        argument: &Bound<'_, PyAny>,
    ) -> Option<Found<'a, PyVerdict>> {
        let judged = list.shared().lookup_domain_bytes(raw::ascii(argument)?);
        match judged.ok()? {
            None => Some(Found::Nothing),
            Some(verdict) => list.made(argument.py(), verdict).map(Found::Object),
        }
    }

    fn slow(list: &PyBlocklist, argument: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyVerdict>>> {
        let name: &str = argument.extract()?;
        let judged = named(name, list.shared().lookup_domain_bytes(name.as_bytes()))?;
        list.objects(argument.py(), judged)
    }
}

/// An empty call of the same shape, for the bench.
struct Nothing;

impl OneArgument for Nothing {
    type Class = PyBlocklist;
    type Answer = PyVerdict;
    const NAME: &'static CStr = c"_nothing";
    const DOC: &'static CStr = c"_nothing($self, object, /)\n--\n\nNone.";

    #[inline]
    fn quick<'a>(
        _list: &'a PyBlocklist,
        _argument: &Bound<'_, PyAny>,
    ) -> Option<Found<'a, PyVerdict>> {
        Some(Found::Nothing)
    }

    fn slow(_list: &PyBlocklist, _argument: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyVerdict>>> {
        Ok(None)
    }
}
