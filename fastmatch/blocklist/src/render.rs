//! Tables to the bytes of a list file: straight into a file, or into memory. Nothing is collected in between.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rapidhash::v3::RapidStreamHasherV3;

use crate::image::{
    ALIGNMENT, CHECKSUM_SECRETS, FIXED_BYTES, FORMAT_VERSION, Header, MAX_SECTIONS, SECTION_BYTES,
    SectionId, checksum,
};
use crate::memory::{Plain, Region, bytes_of};

/// Hashed and written while it is in the cache.
const STEP_BYTES: usize = 256 << 10;
/// Elements of a column that are gathered at once.
const STEP_ELEMENTS: usize = 4096;

type Sink<'s> = dyn FnMut(&[u8]) -> io::Result<()> + 's;
type Feed<'a> = Box<dyn Fn(&mut Sink<'_>) -> io::Result<()> + 'a>;

enum Content<'a> {
    Borrowed(&'a [u8]),
    Fed(Feed<'a>),
}

pub(crate) struct Section<'a> {
    id: SectionId,
    element_bytes: usize,
    byte_count: usize,
    content: Content<'a>,
}

impl<'a> Section<'a> {
    pub fn new<T: Plain>(id: SectionId, values: &'a [T]) -> Self {
        Self {
            id,
            element_bytes: size_of::<T>(),
            byte_count: size_of_val(values),
            content: Content::Borrowed(bytes_of(values)),
        }
    }

    /// As `new`, for what is made for this section alone.
    pub fn owned<T: Plain>(id: SectionId, values: Vec<T>) -> Self {
        Self {
            id,
            element_bytes: size_of::<T>(),
            byte_count: size_of_val(values.as_slice()),
            content: Content::Fed(Box::new(move |sink| sink(bytes_of(&values)))),
        }
    }

    /// One value of each row; the column never exists as a whole.
    pub fn column<R, T: Plain>(id: SectionId, rows: &'a [R], value: impl Fn(&R) -> T + 'a) -> Self {
        let feed = move |sink: &mut Sink<'_>| {
            let mut values = Vec::with_capacity(STEP_ELEMENTS.min(rows.len()));
            for step in rows.chunks(STEP_ELEMENTS) {
                values.clear();
                values.extend(step.iter().map(&value));
                sink(bytes_of(&values))?;
            }
            Ok(())
        };
        Self {
            id,
            element_bytes: size_of::<T>(),
            byte_count: rows.len() * size_of::<T>(),
            content: Content::Fed(Box::new(feed)),
        }
    }

    fn feed(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        match &self.content {
            Content::Borrowed(bytes) => bytes.chunks(STEP_BYTES).try_for_each(sink),
            Content::Fed(feed) => feed(sink),
        }
    }
}

/// A list file that is still its tables.
pub(crate) struct Rendering<'a> {
    magic: [u8; 8],
    header: Header,
    sections: Vec<Section<'a>>,
}

impl<'a> Rendering<'a> {
    pub fn new(magic: [u8; 8], header: Header, sections: Vec<Section<'a>>) -> Self {
        debug_assert!(sections.len() <= MAX_SECTIONS);
        Self {
            magic,
            header,
            sections,
        }
    }

    fn head_bytes(&self) -> usize {
        FIXED_BYTES + self.sections.len() * SECTION_BYTES + 8
    }

    /// Where each section begins, and where the file ends.
    fn offsets(&self) -> (Vec<usize>, usize) {
        let mut next = self.head_bytes().next_multiple_of(ALIGNMENT);
        let mut offsets = Vec::with_capacity(self.sections.len());
        for section in &self.sections {
            offsets.push(next);
            next += section.byte_count.next_multiple_of(ALIGNMENT);
        }
        (offsets, next)
    }

    fn head(&self, sums: &[u64]) -> Vec<u8> {
        let (offsets, total) = self.offsets();
        let header = &self.header;
        let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let mut head = Vec::with_capacity(self.head_bytes());
        head.extend(self.magic);
        head.extend(FORMAT_VERSION.to_le_bytes());
        head.extend(word(self.sections.len()));
        for value in [
            header.epoch,
            header.sequence,
            header.created,
            header.pair,
            total as u64,
            header.entries4,
            header.entries6,
            header.domains,
            header.own[0],
            header.own[1],
        ] {
            head.extend(value.to_le_bytes());
        }
        for ((section, offset), sum) in self.sections.iter().zip(offsets).zip(sums) {
            head.extend(section.id.0.to_le_bytes());
            head.extend(word(section.element_bytes));
            head.extend((offset as u64).to_le_bytes());
            head.extend((section.byte_count as u64).to_le_bytes());
            head.extend(sum.to_le_bytes());
        }
        head.extend(checksum(&head).to_le_bytes());
        head
    }

    /// Hands on every piece of the file with its offset, the head last: its sums are known then. Gaps are zeros.
    fn emit(&self, mut place: impl FnMut(usize, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let (offsets, _) = self.offsets();
        let mut sums = Vec::with_capacity(self.sections.len());
        for (section, start) in self.sections.iter().zip(offsets) {
            let mut hasher = RapidStreamHasherV3::new(&CHECKSUM_SECRETS);
            let mut offset = start;
            section.feed(&mut |bytes| {
                hasher.write(bytes);
                place(offset, bytes)?;
                offset += bytes.len();
                Ok(())
            })?;
            debug_assert_eq!(offset - start, section.byte_count);
            sums.push(hasher.finish());
        }
        place(0, &self.head(&sums))
    }

    pub fn region(&self) -> Region {
        let (_, total) = self.offsets();
        Region::filled(total, |bytes| {
            let placed = self.emit(|offset, piece| {
                bytes[offset..offset + piece.len()].copy_from_slice(piece);
                Ok(())
            });
            debug_assert!(placed.is_ok(), "memory is not refused");
        })
    }

    /// `file` is empty.
    pub fn write(&self, file: &File) -> io::Result<()> {
        let (_, total) = self.offsets();
        // Gaps and the end read as zeros.
        file.set_len(total as u64)?;
        self.emit(|offset, piece| file.write_all_at(piece, offset as u64))
    }
}
