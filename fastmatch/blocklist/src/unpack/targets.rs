//! The parts that hold what entries speak about: networks and domains.

use super::reader::{Column, Numbers, Reader};
use crate::address::{mask4, mask6};
use crate::builder::{DomainEntry, Entry4, Entry6};
use crate::name::is_canonical_entry;
use crate::order;
use crate::pack::PackError;
use crate::target::Rule;

/// Starts of `N` bytes.
pub(super) struct Networks<'a, const N: usize> {
    starts: Column<'a, N>,
    lengths: Column<'a, 1>,
    statements: Numbers,
}

impl<'a, const N: usize> Networks<'a, N> {
    pub fn read(
        reader: &mut Reader<'a>,
        count: usize,
        used_statements: &mut [bool],
    ) -> Result<Self, PackError> {
        let networks = Self {
            starts: reader.column(count)?,
            lengths: reader.column(count)?,
            statements: reader.numbers(count, used_statements, "an unknown statement")?,
        };
        let mut last = None;
        for (index, row) in networks.rows().enumerate() {
            if !is_canonical(row.0, row.1, N) {
                let rule = "a network that is not canonical";
                return Err(networks.starts.error_at(index, rule));
            }
            if last.is_some_and(|last| last >= row) {
                let rule = "networks that do not ascend";
                return Err(networks.starts.error_at(index, rule));
            }
            last = Some(row);
        }
        Ok(networks)
    }

    /// (start, length, statement)
    fn rows(&self) -> impl Iterator<Item = (u128, u8, u32)> {
        let starts = self.starts.iter().map(|start| {
            let mut wide = [0; 16];
            wide[..N].copy_from_slice(&start);
            u128::from_le_bytes(wide)
        });
        let rest = self.lengths.iter().zip(&self.statements.values);
        starts
            .zip(rest)
            .map(|(start, ([length], statement))| (start, length, *statement))
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }
}

/// No host bits, and no IPv4 network spelt as IPv6.
fn is_canonical(start: u128, length: u8, start_bytes: usize) -> bool {
    if start_bytes == 4 {
        let host_bits = mask4(length).map(|mask| u128::from(!mask));
        return host_bits.is_some_and(|host_bits| start & host_bits == 0);
    }
    let is_mapped = length >= 96 && start >> 32 == 0xffff;
    !is_mapped && mask6(length).is_some_and(|mask| start & !mask == 0)
}

impl Networks<'_, 4> {
    /// `numbers` turns the pack's statements into the builder's facts.
    pub fn append4(&self, numbers: &[u32], entries: &mut Vec<Entry4>) {
        let rest = self.lengths.iter().zip(&self.statements.values);
        let rows = self.starts.iter().zip(rest);
        entries.extend(rows.map(|(start, ([length], statement))| Entry4 {
            start: u32::from_le_bytes(start),
            length,
            fact: numbers[*statement as usize],
        }));
    }
}

impl Networks<'_, 16> {
    /// As `append4`.
    pub fn append6(&self, numbers: &[u32], entries: &mut Vec<Entry6>) {
        entries.extend(self.rows().map(|(start, length, statement)| Entry6 {
            start,
            length,
            fact: numbers[statement as usize],
        }));
    }
}

pub(super) struct Domains<'a> {
    lengths: Column<'a, 1>,
    rules: Vec<Rule>,
    statements: Numbers,
    pub text: &'a [u8],
}

impl<'a> Domains<'a> {
    pub fn read(
        reader: &mut Reader<'a>,
        count: usize,
        used_statements: &mut [bool],
    ) -> Result<Self, PackError> {
        let lengths = reader.column::<1>(count)?;
        let codes = reader.column::<1>(count)?;
        let rules = codes.iter().enumerate().map(|(index, [code])| {
            Rule::from_code(code).ok_or(codes.error_at(index, "an unknown rule"))
        });
        let rules = rules.collect::<Result<_, _>>()?;
        let statements = reader.numbers(count, used_statements, "an unknown statement")?;
        let text_bytes = lengths.iter().map(|[length]| usize::from(length)).sum();
        let text_offset = reader.position();
        let domains = Self {
            lengths,
            rules,
            statements,
            text: reader.take(text_bytes)?,
        };
        domains.check(text_offset)?;
        Ok(domains)
    }

    fn check(&self, text_offset: usize) -> Result<(), PackError> {
        let (mut name, mut last): (&[u8], _) = (b"", None);
        let mut rest = self.text;
        for (index, [length]) in self.lengths.iter().enumerate() {
            let marks = (self.rules[index], self.statements.values[index]);
            if length == 0 {
                if last.is_none_or(|last| last >= marks) {
                    let rule = "entries of a name that do not ascend";
                    return Err(self.lengths.error_at(index, rule));
                }
            } else {
                let offset = text_offset + self.text.len() - rest.len();
                let (next, behind) = rest.split_at(usize::from(length));
                if !is_canonical_entry(next) {
                    return Err(PackError::broken(offset, "a name that is not canonical"));
                }
                if order::compare(name, next).is_ge() {
                    return Err(PackError::broken(offset, "names that do not ascend"));
                }
                (name, rest) = (next, behind);
            }
            last = Some(marks);
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// `numbers` turns the pack's statements into the builder's facts; both texts together have less than 4 GiB.
    pub fn append(&self, numbers: &[u32], entries: &mut Vec<DomainEntry>, text: &mut Vec<u8>) {
        let mut next = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let (mut offset, mut own_length) = (next, 0);
        text.extend_from_slice(self.text);
        let rest = self.rules.iter().zip(&self.statements.values);
        entries.extend(
            self.lengths
                .iter()
                .zip(rest)
                .map(|([length], (rule, statement))| {
                    if length != 0 {
                        (offset, own_length) = (next, length);
                        next = next.saturating_add(u32::from(length));
                    }
                    DomainEntry {
                        offset,
                        length: own_length,
                        rule: *rule,
                        fact: numbers[*statement as usize],
                    }
                }),
        );
    }
}
