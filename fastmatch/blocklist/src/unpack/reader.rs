//! Bytes to columns, each with the offset it was found at.

use crate::pack::{PackError, number_bytes};

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// `count` values of `N` bytes; there are that many bytes.
#[derive(Clone, Copy)]
pub(super) struct Column<'a, const N: usize> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a, const N: usize> Column<'a, N> {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = [u8; N]> + Clone + use<'a, N> {
        let value = |bytes: &[u8]| bytes.try_into().unwrap_or([0; N]);
        self.bytes.chunks_exact(N).map(value)
    }

    pub fn len(&self) -> usize {
        self.bytes.len() / N
    }

    pub fn error_at(&self, index: usize, rule: &'static str) -> PackError {
        PackError::broken(self.offset + index * N, rule)
    }
}

/// References to another part, all of them to something that is there.
pub(super) struct Numbers {
    pub values: Vec<u32>,
    pub offset: usize,
    pub width: usize,
}

impl Numbers {
    pub fn error_at(&self, index: usize, rule: &'static str) -> PackError {
        PackError::broken(self.offset + index * self.width, rule)
    }
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], PackError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..count);
        let taken = taken.ok_or(PackError::broken(self.position, "the pack ends too early"))?;
        self.position += count;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn column<const N: usize>(&mut self, count: usize) -> Result<Column<'a, N>, PackError> {
        let offset = self.position;
        let bytes = self.take(count.saturating_mul(N))?;
        Ok(Column { bytes, offset })
    }

    /// `count` numbers of things of which there are `known`; each found is marked as used.
    pub fn numbers(
        &mut self,
        count: usize,
        is_used: &mut [bool],
        unknown: &'static str,
    ) -> Result<Numbers, PackError> {
        let (offset, width) = (self.position, number_bytes(is_used.len()));
        let values: Vec<u32> = match width {
            1 => self
                .column::<1>(count)?
                .iter()
                .map(|[byte]| byte.into())
                .collect(),
            2 => self
                .column::<2>(count)?
                .iter()
                .map(|bytes| u16::from_le_bytes(bytes).into())
                .collect(),
            _ => self
                .column::<4>(count)?
                .iter()
                .map(u32::from_le_bytes)
                .collect(),
        };
        let numbers = Numbers {
            values,
            offset,
            width,
        };
        for (index, number) in numbers.values.iter().enumerate() {
            match is_used.get_mut(*number as usize) {
                Some(is_used) => *is_used = true,
                None => return Err(numbers.error_at(index, unknown)),
            }
        }
        Ok(numbers)
    }

    pub fn finish(&self) -> Result<(), PackError> {
        if self.position == self.bytes.len() {
            Ok(())
        } else {
            Err(PackError::broken(
                self.position,
                "bytes behind the last entry",
            ))
        }
    }
}
