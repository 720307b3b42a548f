//! Python values to addresses, numbers and labels, without a panic and without the address conversion of `PyO3`: that one
//! builds an `AttributeError` for every string.

use std::fmt::Display;
use std::num::NonZeroU32;

use blocklist::address::{Address, parse_address};
use pyo3::Borrowed;
use pyo3::exceptions::{PyOSError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyInt, PyString, PyType};

const SHOWN_CHARACTERS: usize = 100;

/// `ValueError: 'value': reason`, the value shortened.
#[cold]
pub(crate) fn value_error(value: &str, reason: impl Display) -> PyErr {
    let shown: String = value.chars().take(SHOWN_CHARACTERS).collect();
    let dots = if shown.len() < value.len() { "..." } else { "" };
    PyValueError::new_err(format!("{shown:?}{dots}: {reason}"))
}

#[cold]
fn object_error(value: &Bound<'_, PyAny>, reason: impl Display) -> PyErr {
    match value.repr() {
        Ok(shown) => PyValueError::new_err(format!("{shown}: {reason}")),
        Err(error) => error,
    }
}

/// As Python raises it itself, so that the subclass follows the error number.
pub(crate) fn os_error(error: &std::io::Error, path: &str) -> PyErr {
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, error.to_string(), path.to_owned())),
        None => PyOSError::new_err(format!("{path}: {error}")),
    }
}

/// What a lookup is asked for.
pub(crate) enum Query<'a> {
    Address(Address),
    /// Text that is not an address.
    Text(&'a str),
}

/// Exact types first, in the order of the edge's use; subclasses take the slow way.
#[inline]
pub(crate) fn query<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Query<'a>> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return query_text(text);
    }
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return query_bytes(value, bytes.as_bytes()).map(Query::Address);
    }
    if let Ok(number) = value.cast_exact::<PyInt>() {
        return query_int(number).map(Query::Address);
    }
    query_object(value)
}

#[inline]
fn query_text<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Query<'a>> {
    let text = text.to_str()?;
    Ok(parse_address(text.as_bytes()).map_or(Query::Text(text), Query::Address))
}

/// Network order.
#[inline]
pub(crate) fn address_bytes(bytes: &[u8]) -> Option<Address> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Address::V4(u32::from_be_bytes(octets)));
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Address::from_v6(u128::from_be_bytes(octets)))
}

fn query_bytes(value: &Bound<'_, PyAny>, bytes: &[u8]) -> PyResult<Address> {
    address_bytes(bytes).ok_or_else(|| object_error(value, "an address has 4 or 16 bytes"))
}

fn query_int(number: &Bound<'_, PyInt>) -> PyResult<Address> {
    match number.extract::<u32>() {
        Ok(bits) => Ok(Address::V4(bits)),
        Err(_) => Err(object_error(
            number,
            "an int stands for an IPv4 address, below 2**32",
        )),
    }
}

static IPV4_ADDRESS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static IPV6_ADDRESS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

#[inline(never)]
fn query_object<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Query<'a>> {
    let py = value.py();
    let kind = value.get_type();
    let ipv4 = IPV4_ADDRESS.import(py, "ipaddress", "IPv4Address")?;
    let ipv6 = IPV6_ADDRESS.import(py, "ipaddress", "IPv6Address")?;
    let address = if kind.is(ipv4) {
        Address::V4(bits_of(value)?.extract()?)
    } else if kind.is(ipv6) {
        Address::from_v6(bits_of(value)?.extract()?)
    } else if let Ok(text) = value.cast::<PyString>() {
        return query_text(text);
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        query_bytes(value, bytes.as_bytes())?
    } else if let Ok(number) = value.cast::<PyInt>() {
        query_int(number)?
    } else if value.is_instance(ipv4)? {
        Address::V4(int_of(value)?.extract()?)
    } else if value.is_instance(ipv6)? {
        Address::from_v6(int_of(value)?.extract()?)
    } else {
        let name = kind.name()?;
        return Err(PyTypeError::new_err(format!(
            "an address is str, bytes, int, IPv4Address or IPv6Address, not {name}"
        )));
    };
    Ok(Query::Address(address))
}

/// `_ip` is private but spares a Python-level call; without it `int()` does.
fn bits_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    value
        .getattr(intern!(value.py(), "_ip"))
        .or_else(|_| int_of(value))
}

fn int_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    value.call_method0(intern!(value.py(), "__int__"))
}

/// A number that does not fit is a `ValueError` like any other value that does not, not an `OverflowError`.
#[derive(Clone, Copy)]
pub(crate) struct Within<T>(pub T);

impl<'a, 'py, T> FromPyObject<'a, 'py> for Within<T>
where
    T: FromPyObject<'a, 'py, Error = PyErr>,
{
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        T::extract(value).map(Self).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(value.py()) {
                object_error(&value, "out of range")
            } else {
                error
            }
        })
    }
}

/// A count, a time or a sequence number.
pub(crate) fn unsigned(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    let number = value.cast::<PyInt>()?;
    number
        .extract()
        .map_err(|_| object_error(value, format!("{name} is not between 0 and 2**64-1")))
}

pub(crate) fn seconds(
    name: &str,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<NonZeroU32>> {
    let Some(value) = value else { return Ok(None) };
    let number = value.cast::<PyInt>()?;
    match number.extract::<u32>().map(NonZeroU32::new) {
        Ok(Some(seconds)) => Ok(Some(seconds)),
        _ => Err(object_error(
            value,
            format!("{name} is not between 1 and 2**32-1 seconds"),
        )),
    }
}

/// 0-10 to tenths.
pub(crate) fn tenths(score: f64) -> PyResult<u8> {
    blocklist::score_tenths(score)
        .ok_or_else(|| PyValueError::new_err(format!("score {score}: not between 0 and 10")))
}

/// A lone string is a mistake for a set of one, not a set of its letters.
pub(crate) fn labels(name: &str, values: Option<&Bound<'_, PyAny>>) -> PyResult<Box<[Box<str>]>> {
    let Some(values) = values else {
        return Ok(Box::default());
    };
    if values.is_instance_of::<PyString>() {
        let message = format!("{name} is an iterable of strings, not a string");
        return Err(PyTypeError::new_err(message));
    }
    let mut labels = Vec::new();
    for value in values.try_iter()? {
        labels.push(value?.cast::<PyString>()?.to_str()?.into());
    }
    Ok(labels.into_boxed_slice())
}
