//! Many lookups in one call, from the caller's buffers into the caller's buffer.
//!
//! Chunks are copied in, judged and copied out: the input may change under our hands when the interpreter lock is released,
//! and what has been copied cannot. A copy costs under a nanosecond an item and stays in the first cache.

use std::ops::Range;

use blocklist::address::Address;
use blocklist::{Blocklist, VerdictRef};
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

/// Verdicts as `out` has them: 0 for none, else 1 + the position in `Blocklist.verdicts`.
#[derive(Clone, Copy)]
struct Values<'a> {
    list: &'a Blocklist,
    out: Out<'a>,
    verdict_count: u32,
}

impl<'a> Values<'a> {
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
            }),
            _ => {
                let count = base + overlay;
                let reason =
                    format!("the items hold {largest} verdicts, the list has {count}: wider items");
                Err(argument_error("out", reason))
            }
        }
    }

    /// Only a damaged file names a verdict that the list does not have: none, then.
    #[inline]
    fn of(&self, verdict: Option<VerdictRef<'_>>) -> u32 {
        let value = verdict.map_or(0, |verdict| verdict.id().wrapping_add(1));
        if value <= self.verdict_count {
            value
        } else {
            0
        }
    }

    /// Judges in chunks; returns how many subjects have a verdict.
    fn fill(&self, count: usize, mut judge: impl FnMut(Range<usize>, &mut [u32])) -> usize {
        let mut values = [0; CHUNK];
        let mut found = 0;
        for first in (0..count).step_by(CHUNK) {
            let values = &mut values[..CHUNK.min(count - first)];
            judge(first..first + values.len(), values);
            found += values.iter().filter(|value| **value != 0).count();
            self.out.write(first, values);
        }
        found
    }

    fn judge_name(&self, name: &[u8]) -> u32 {
        match self.list.lookup_domain_bytes(name) {
            Ok(verdict) => self.of(verdict),
            Err(_) => self.out.largest(),
        }
    }

    /// As `fill`, of the names between `ends`; those that are none do not count.
    fn fill_names(&self, first: usize, text: &[u8], ends: &[usize]) -> usize {
        let mut values = Vec::with_capacity(ends.len());
        let mut start = 0;
        for end in ends {
            values.push(self.judge_name(text.get(start..*end).unwrap_or_default()));
            start = *end;
        }
        self.out.write(first, &values);
        let invalid = self.out.largest();
        let is_found = |value: &&u32| **value != 0 && **value != invalid;
        values.iter().filter(is_found).count()
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
    let values = Values::new(list.shared(), Out::of(&output), 0)?;
    let Some(items) = Items::<u32>::of(&input) else {
        return Err(argument_error("addresses", "the items cannot be read"));
    };
    let count = items.count();
    let found = detached(py, count, || {
        let mut chunk = [0; CHUNK];
        values.fill(count, |range, verdicts| {
            let chunk = &mut chunk[..verdicts.len()];
            items.read(range.start, chunk);
            for (address, verdict) in chunk.iter().zip(verdicts) {
                *verdict = values.of(values.list.lookup4(*address));
            }
        })
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
    let values = Values::new(list.shared(), Out::of(&output), 0)?;
    let Some(items) = Addresses6::of(&input) else {
        return Err(argument_error("addresses", "the items cannot be read"));
    };
    let found = detached(py, count, || {
        values.fill(count, |range, verdicts| {
            for (index, verdict) in range.zip(verdicts) {
                *verdict = values.of(match items.get(index) {
                    Address::V4(bits) => values.list.lookup4(bits),
                    Address::V6(bits) => values.list.lookup6(bits),
                });
            }
        })
    });
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
    let values = Values::new(list.shared(), Out::of(&output), 1)?;
    let mut names = names.try_iter()?;
    let (mut first, mut found) = (0, 0);
    while first < count {
        let chunk = copy_names(&mut names, first, NAME_CHUNK.min(count - first))?;
        found += detached(py, count, || {
            values.fill_names(first, &chunk.text, &chunk.ends)
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
    let values = Values::new(list.shared(), Out::of(&output), 1)?;
    let (Some(text), Some(offsets)) = (Items::of(&text), Offsets::of(&offsets)) else {
        return Err(argument_error("text", "the bytes cannot be read"));
    };
    detached(py, count, || fill_blob(values, text, offsets, count))
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
    values: Values<'_>,
    text: Items<'_, u8>,
    offsets: Offsets<'_>,
    count: usize,
) -> Result<usize, String> {
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
        found += values.fill_names(first, &names, &ends);
    }
    Ok(found)
}
