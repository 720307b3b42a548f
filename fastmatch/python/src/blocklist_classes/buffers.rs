//! Python buffers to items: what a batch reads from and writes to, checked before anything is judged.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use crate::raw::{Items, WritableItems};

/// `ValueError: argument: what is wrong`.
#[cold]
pub(crate) fn argument_error(argument: &str, reason: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("{argument}: {reason}"))
}

fn export(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<PyUntypedBuffer> {
    let py = value.py();
    let buffer = PyUntypedBuffer::get(value).or_else(|error| {
        // ctypes leaves the strides out, which PyO3 insists on; a view fills them in.
        if error.is_instance_of::<PyBufferError>(py) {
            PyUntypedBuffer::get(PyMemoryView::from(value)?.as_any())
        } else {
            Err(error)
        }
    });
    let buffer = buffer.map_err(|error| {
        if error.is_instance_of::<PyTypeError>(py) {
            let name = value.get_type().name();
            let name = name.map_or_else(|_| "?".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!("{argument}: {name} has no buffer"))
        } else if error.is_instance_of::<PyBufferError>(py) {
            argument_error(argument, error.value(py))
        } else {
            error
        }
    })?;
    if buffer.is_c_contiguous() {
        Ok(buffer)
    } else {
        Err(argument_error(
            argument,
            "the items do not lie in a row (C-contiguous)",
        ))
    }
}

/// The letter of one native item. Not `PyO3`'s reading of formats: that one takes `>` for the order of this machine.
fn letter(buffer: &PyUntypedBuffer) -> Option<u8> {
    match buffer.format().to_bytes() {
        [letter] | [b'@' | b'=', letter] => Some(*letter),
        [b'<', letter] if cfg!(target_endian = "little") => Some(*letter),
        [b'>' | b'!', letter] if cfg!(target_endian = "big") => Some(*letter),
        _ => None,
    }
}

fn format_error(argument: &str, buffer: &PyUntypedBuffer, wanted: &str) -> PyErr {
    let (format, width) = (buffer.format().to_string_lossy(), buffer.item_size());
    let reason = format!("items are {format:?} of {width} bytes, not {wanted}");
    argument_error(argument, reason)
}

/// A buffer of unsigned native items, of one of these widths in bytes.
fn unsigned_buffer(
    argument: &str,
    value: &Bound<'_, PyAny>,
    widths: &[usize],
    wanted: &str,
) -> PyResult<PyUntypedBuffer> {
    let buffer = export(argument, value)?;
    let is_unsigned = letter(&buffer).is_some_and(|letter| b"BHILQN".contains(&letter));
    if !is_unsigned || !widths.contains(&buffer.item_size()) {
        return Err(format_error(argument, &buffer, wanted));
    }
    let start = buffer.buf_ptr().addr();
    // An empty array points anywhere.
    if start % buffer.item_size() != 0 && buffer.len_bytes() != 0 {
        return Err(argument_error(argument, "the items are not aligned"));
    }
    Ok(buffer)
}

pub(crate) fn addresses4(value: &Bound<'_, PyAny>) -> PyResult<PyUntypedBuffer> {
    unsigned_buffer("addresses", value, &[4], "native unsigned items of 4 bytes")
}

pub(crate) fn offsets(value: &Bound<'_, PyAny>) -> PyResult<PyUntypedBuffer> {
    let wanted = "native unsigned items of 4 or 8 bytes";
    unsigned_buffer("offsets", value, &[4, 8], wanted)
}

/// Bytes in any cut: single ones, or items of several as of numpy's `S16`.
pub(crate) fn bytes(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<PyUntypedBuffer> {
    let buffer = export(argument, value)?;
    let format = buffer.format().to_bytes();
    let is_bytes = matches!(format, [.., b'B' | b'b' | b'c' | b's']);
    if is_bytes && (buffer.item_size() == 1 || format.ends_with(b"s")) {
        Ok(buffer)
    } else {
        Err(format_error(argument, &buffer, "bytes"))
    }
}

/// 16 bytes each, in network order.
pub(crate) fn addresses6(value: &Bound<'_, PyAny>) -> PyResult<PyUntypedBuffer> {
    let buffer = bytes("addresses", value)?;
    match buffer.len_bytes() {
        length if length % 16 == 0 => Ok(buffer),
        length => Err(argument_error(
            "addresses",
            format!("{length} bytes are no multiple of 16"),
        )),
    }
}

/// Of a buffer that `addresses6` took.
#[derive(Clone, Copy)]
pub(crate) enum Addresses6<'a> {
    Words(Items<'a, u64>),
    Bytes(Items<'a, u8>),
}

impl<'a> Addresses6<'a> {
    pub fn of(buffer: &'a PyUntypedBuffer) -> Option<Self> {
        Items::of(buffer)
            .map(Self::Words)
            .or_else(|| Items::of(buffer).map(Self::Bytes))
    }

    #[inline]
    pub fn get(&self, index: usize) -> u128 {
        let mut octets = [0; 16];
        match self {
            Self::Words(items) => {
                let mut words = [0; 2];
                items.read(index * 2, &mut words);
                octets[..8].copy_from_slice(&words[0].to_ne_bytes());
                octets[8..].copy_from_slice(&words[1].to_ne_bytes());
            }
            Self::Bytes(items) => items.read(index * 16, &mut octets),
        }
        u128::from_be_bytes(octets)
    }
}

/// Offsets of either width.
#[derive(Clone, Copy)]
pub(crate) enum Offsets<'a> {
    Narrow(Items<'a, u32>),
    Wide(Items<'a, u64>),
}

impl<'a> Offsets<'a> {
    /// Of a buffer that `offsets` took.
    pub fn of(buffer: &'a PyUntypedBuffer) -> Option<Self> {
        match buffer.item_size() {
            4 => Items::of(buffer).map(Self::Narrow),
            _ => Items::of(buffer).map(Self::Wide),
        }
    }

    #[inline]
    pub fn get(&self, index: usize) -> usize {
        let offset = match self {
            Self::Narrow(items) => {
                let mut offset = [0];
                items.read(index, &mut offset);
                u64::from(offset[0])
            }
            Self::Wide(items) => {
                let mut offset = [0];
                items.read(index, &mut offset);
                offset[0]
            }
        };
        usize::try_from(offset).unwrap_or(usize::MAX)
    }
}

/// A writable buffer for one value per subject.
pub(crate) fn out(
    value: &Bound<'_, PyAny>,
    count: usize,
    inputs: &[&PyUntypedBuffer],
) -> PyResult<PyUntypedBuffer> {
    let wanted = "native unsigned items of 1, 2 or 4 bytes";
    let buffer = unsigned_buffer("out", value, &[1, 2, 4], wanted)?;
    if buffer.readonly() {
        return Err(argument_error("out", "the buffer is read-only"));
    }
    if buffer.item_count() != count {
        let items = buffer.item_count();
        let reason = format!("{items} items for {count} subjects");
        return Err(argument_error("out", reason));
    }
    if inputs.iter().any(|input| overlaps(input, &buffer)) {
        let reason = "shares memory with what is read from";
        return Err(argument_error("out", reason));
    }
    Ok(buffer)
}

fn overlaps(left: &PyUntypedBuffer, right: &PyUntypedBuffer) -> bool {
    let range = |buffer: &PyUntypedBuffer| {
        let start = buffer.buf_ptr().addr();
        (start, start.saturating_add(buffer.len_bytes()))
    };
    let ((left_start, left_end), (right_start, right_end)) = (range(left), range(right));
    left_start < right_end && right_start < left_end
}

/// Of a buffer that `out` took.
#[derive(Clone, Copy)]
pub(crate) enum Out<'a> {
    Bytes(WritableItems<'a, u8>),
    Halves(WritableItems<'a, u16>),
    Words(WritableItems<'a, u32>),
}

impl<'a> Out<'a> {
    pub fn of(buffer: &'a PyUntypedBuffer) -> Option<Self> {
        match buffer.item_size() {
            1 => WritableItems::of(buffer).map(Self::Bytes),
            2 => WritableItems::of(buffer).map(Self::Halves),
            _ => WritableItems::of(buffer).map(Self::Words),
        }
    }

    /// The largest value of an item.
    pub fn largest(&self) -> u32 {
        match self {
            Self::Bytes(_) => u8::MAX.into(),
            Self::Halves(_) => u16::MAX.into(),
            Self::Words(_) => u32::MAX,
        }
    }

    /// The values are at most `largest`.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the list's verdicts fit, or the batch was refused"
    )]
    pub fn write(&self, first: usize, values: &[u32]) {
        match self {
            Self::Bytes(items) => items.write(first, values.iter().map(|value| *value as u8)),
            Self::Halves(items) => items.write(first, values.iter().map(|value| *value as u16)),
            Self::Words(items) => items.write(first, values.iter().copied()),
        }
    }
}
