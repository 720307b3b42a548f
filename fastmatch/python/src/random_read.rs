//! A dependent walk over memory, for the bench: what a lookup pays when no cache holds the list.

use std::time::Instant;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

// Knuth's multiplier of 64 bits; only the upper bits of a product become a position.
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
const INCREMENT: u64 = 1_442_695_040_888_963_407;

/// Nanoseconds per step. Each position depends on the byte that the step before has read, so no two reads overlap.
///
/// The caller gives the memory: its size and the size of its pages are those of what it wants to compare with.
/// Another seed takes another way; the same one would find the lines of the time before in the cache.
#[pyfunction]
#[pyo3(name = "_random_read_nanoseconds", signature = (memory, steps, seed, /))]
pub(crate) fn random_read_nanoseconds(
    py: Python<'_>,
    memory: &Bound<'_, PyAny>,
    steps: u32,
    seed: u64,
) -> PyResult<f64> {
    let buffer = PyBuffer::<u8>::get(memory)?;
    let bytes = buffer
        .as_slice(py)
        .filter(|bytes| !bytes.is_empty() && steps > 0)
        .ok_or_else(|| PyValueError::new_err("needs bytes in one piece, and a step"))?;
    let length = bytes.len() as u128;
    let (mut state, mut read) = (seed, 0_u8);
    let started = Instant::now();
    for _ in 0..steps {
        state = (state ^ u64::from(read))
            .wrapping_mul(MULTIPLIER)
            .wrapping_add(INCREMENT);
        // Below the length: the product's upper half is a fraction of it.
        let position = usize::try_from((u128::from(state) * length) >> 64).unwrap_or(0);
        read = bytes[position].get();
    }
    let nanoseconds = started.elapsed().as_nanos();
    std::hint::black_box(read);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a run lasts far less than 2^53 ns"
    )]
    Ok(nanoseconds as f64 / f64::from(steps))
}
