//! Many lookups in one call, from the caller's buffers into the caller's buffer.
//!
//! Chunks are copied in, judged and copied out: the input may change under our hands when the interpreter lock is released,
//! and what has been copied cannot. A copy costs under a nanosecond an item and stays in the first cache.

use blocklist::{Batch, Blocklist, NO_DOMAIN};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::buffers::{self, Addresses6, Offsets, Out, argument_error};
use super::list::PyBlocklist;
use crate::raw::{Items, ascii};

/// Addresses judged between two copies.
const CHUNK: usize = 1024;
/// Names copied between two releases of the interpreter lock: about a millisecond's work.
const NAME_CHUNK: usize = 16_384;
/// From here on other threads may run; below, handing the lock over and back costs more than they would wait.
const DETACH_FROM: usize = 20_000;

fn detached<T: Send>(py: Python<'_>, count: usize, judge: impl Send + FnOnce() -> T) -> T {
    if count < DETACH_FROM {
        judge()
    } else {
        py.detach(judge)
    }
}

/// A list and where its verdicts go: 0 for none, else 1 + the position in `Blocklist.verdicts`.
#[derive(Clone, Copy)]
struct Judge<'a> {
    list: &'a Blocklist,
    out: Out<'a>,
    verdict_count: u32,
    /// Of what is no name.
    invalid: u32,
}

impl<'a> Judge<'a> {
    /// `reserved` values of an item mean something else.
    fn new(list: &'a Blocklist, out: Option<Out<'a>>, reserved: u32) -> PyResult<Self> {
        let Some(out) = out else {
            return Err(argument_error("out", "the items cannot be written"));
        };
        let (base, overlay) = list.verdict_counts();
        let largest = out.largest() - reserved;
        match u32::try_from(base + overlay) {
            Ok(verdict_count) if verdict_count <= largest => Ok(Self {
                list,
                out,
                verdict_count,
                invalid: if reserved == 0 { 0 } else { out.largest() },
            }),
            _ => {
                let count = base + overlay;
                let reason =
                    format!("the items hold {largest} verdicts, the list has {count}: wider items");
                Err(argument_error("out", reason))
            }
        }
    }

    /// Writes a chunk; returns how many have a verdict.
    fn write(&self, first: usize, values: &mut [u32]) -> usize {
        let mut found = 0;
        for value in &mut *values {
            // Only a damaged file names a verdict that the list does not have: none, then.
            let is_known = *value <= self.verdict_count;
            found += usize::from(is_known && *value != 0);
            *value = match *value {
                NO_DOMAIN => self.invalid,
                known if is_known => known,
                _ => 0,
            };
        }
        self.out.write(first, values);
        found
    }

    /// Reads addresses, judges and writes them in chunks; returns how many have a verdict.
    fn addresses<K: Copy + Default>(
        &self,
        count: usize,
        read: impl Fn(usize, &mut [K]),
        judge: impl Fn(&Batch<'a>, &[K], &mut [u32]),
    ) -> usize {
        let batch = self.list.batch(count);
        let (mut keys, mut values) = ([K::default(); CHUNK], [0; CHUNK]);
        let mut found = 0;
        for first in (0..count).step_by(CHUNK) {
            let length = CHUNK.min(count - first);
            let (keys, values) = (&mut keys[..length], &mut values[..length]);
            read(first, keys);
            judge(&batch, keys, values);
            found += self.write(first, values);
        }
        found
    }

    /// The names between `ends`; returns how many have a verdict.
    fn names(&self, batch: &Batch<'_>, first: usize, text: &[u8], ends: &[usize]) -> usize {
        let mut start = 0;
        let names = ends.iter().map(|end| {
            let name = text.get(start..*end).unwrap_or_default();
            start = *end;
            name
        });
        let mut values = vec![0; ends.len()];
        batch.lookup_domain(names, &mut values);
        self.write(first, &mut values)
    }
}

pub(crate) fn lookup_ipv4_batch(
    list: &PyBlocklist,
    py: Python<'_>,
    addresses: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<usize> {
    let input = buffers::addresses4(addresses)?;
    let output = buffers::out(out, input.item_count(), &[&input])?;
    let judge = Judge::new(list.shared(), Out::of(&output), 0)?;
    let Some(items) = Items::<u32>::of(&input) else {
        return Err(argument_error("addresses", "the items cannot be read"));
    };
    let read = |first, keys: &mut [u32]| items.read(first, keys);
    let found = detached(py, items.count(), || {
        judge.addresses(items.count(), read, Batch::lookup4)
    });
    Ok(found)
}

pub(crate) fn lookup_ipv6_batch(
    list: &PyBlocklist,
    py: Python<'_>,
    addresses: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<usize> {
    let input = buffers::addresses6(addresses)?;
    let count = input.len_bytes() / 16;
    let output = buffers::out(out, count, &[&input])?;
    let judge = Judge::new(list.shared(), Out::of(&output), 0)?;
    let Some(items) = Addresses6::of(&input) else {
        return Err(argument_error("addresses", "the items cannot be read"));
    };
    let read = |first, keys: &mut [u128]| {
        for (index, key) in keys.iter_mut().enumerate() {
            *key = items.get(first + index);
        }
    };
    let found = detached(py, count, || judge.addresses(count, read, Batch::lookup6));
    Ok(found)
}

pub(crate) fn lookup_domain_batch(
    list: &PyBlocklist,
    py: Python<'_>,
    names: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<usize> {
    if names.is_instance_of::<PyString>() {
        let message = "names: a sequence of str, not a str";
        return Err(PyTypeError::new_err(message));
    }
    let count = names.len()?;
    let output = buffers::out(out, count, &[])?;
    let judge = Judge::new(list.shared(), Out::of(&output), 1)?;
    let mut names = names.try_iter()?;
    let (mut first, mut found, mut batch) = (0, 0, None);
    while first < count {
        let chunk = copy_names(&mut names, first, NAME_CHUNK.min(count - first))?;
        found += detached(py, count, || {
            let batch = batch.get_or_insert_with(|| judge.list.batch(count));
            judge.names(batch, first, &chunk.text, &chunk.ends)
        });
        first += chunk.ends.len();
    }
    match names.next() {
        None => Ok(found),
        Some(_) => Err(length_changed()),
    }
}

pub(crate) fn lookup_domain_blob(
    list: &PyBlocklist,
    py: Python<'_>,
    text: &Bound<'_, PyAny>,
    offsets: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<usize> {
    let (text, offsets) = (buffers::bytes("text", text)?, buffers::offsets(offsets)?);
    let Some(count) = offsets.item_count().checked_sub(1) else {
        return Err(argument_error("offsets", "none, but n names have n + 1"));
    };
    let output = buffers::out(out, count, &[&text, &offsets])?;
    let judge = Judge::new(list.shared(), Out::of(&output), 1)?;
    let (Some(text), Some(offsets)) = (Items::of(&text), Offsets::of(&offsets)) else {
        return Err(argument_error("text", "the bytes cannot be read"));
    };
    detached(py, count, || fill_blob(judge, text, offsets, count))
        .map_err(|error| argument_error("offsets", error))
}

fn length_changed() -> PyErr {
    argument_error("names", "the sequence changed its length")
}

#[derive(Default)]
struct NameChunk {
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// The next names, so that their strings may go while the interpreter lock is released. What is no UTF-8 becomes the empty
/// name, which is none either.
fn copy_names(
    names: &mut Bound<'_, pyo3::types::PyIterator>,
    first: usize,
    count: usize,
) -> PyResult<NameChunk> {
    let mut chunk = NameChunk::default();
    for index in first..first + count {
        let Some(name) = names.next() else {
            return Err(length_changed());
        };
        let name = name?;
        if let Some(text) = ascii(&name) {
            chunk.text.extend_from_slice(text);
        } else if let Ok(name) = name.cast::<PyString>() {
            let text = name.to_str().unwrap_or_default();
            chunk.text.extend_from_slice(text.as_bytes());
        } else {
            let kind = name.get_type().name()?;
            let message = format!("names: item {index} is {kind}, not str");
            return Err(PyTypeError::new_err(message));
        }
        chunk.ends.push(chunk.text.len());
    }
    Ok(chunk)
}

fn fill_blob(
    judge: Judge<'_>,
    text: Items<'_, u8>,
    offsets: Offsets<'_>,
    count: usize,
) -> Result<usize, String> {
    let batch = judge.list.batch(count);
    let mut found = 0;
    let (mut names, mut ends) = (Vec::new(), Vec::with_capacity(CHUNK));
    let mut start = offsets.get(0);
    for first in (0..count).step_by(CHUNK) {
        let from = start;
        ends.clear();
        for index in first..count.min(first + CHUNK) {
            let end = offsets.get(index + 1);
            if start > end || end > text.count() {
                let size = text.count();
                let number = index + 1;
                return Err(format!(
                    "item {number} is {end}, not between {start} and {size}"
                ));
            }
            ends.push(end - from);
            start = end;
        }
        names.clear();
        names.resize(start - from, 0);
        text.read(from, &mut names);
        found += judge.names(&batch, first, &names, &ends);
    }
    Ok(found)
}
