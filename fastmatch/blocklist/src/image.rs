//! The container of list files: a header, a section table, sections. Little-endian, sections aligned to 64 bytes.
//!
//! | bytes | what |
//! |---|---|
//! | 0-7 | magic |
//! | 8-15 | format version, section count (u32 each) |
//! | 16-95 | ten words (u64): epoch, sequence, created, pair, total length, IPv4, IPv6 and domain entries, two of the kind's own |
//! | 96- | per section: id, element size (u32), offset, length in bytes, checksum (u64) |
//! | then | checksum (u64) of everything before it |
//!
//! Sections follow each other in the order of the table, each at the next multiple of 64, zeros between them, nothing behind
//! the last. So there is one right place for each, and what overlaps, leaves a gap or passes the end is refused on each open;
//! the sections' sums are checked by `verify`, which reads it all.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::memory::{Plain, Region, Table};

pub(crate) use crate::render::{Rendering, Section};

pub(crate) const FORMAT_VERSION: u32 = 2;
pub(crate) const FIXED_BYTES: usize = 96;
pub(crate) const SECTION_BYTES: usize = 32;
pub(crate) const MAX_SECTIONS: usize = 64;
pub(crate) const ALIGNMENT: usize = 64;
/// No table has larger elements.
const MAX_ELEMENT_BYTES: usize = 64;
/// Fixed: the sums guard against accidents, not against authors.
pub(crate) const CHECKSUM_SECRETS: RapidSecrets = RapidSecrets::seed(0);

pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    rapidhash_v3_seeded(bytes, &CHECKSUM_SECRETS)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionId(pub u32);

/// Why a file is not a list of ours.
#[derive(Debug)]
pub enum ImageError {
    Io(io::Error),
    /// Bytes there, bytes of the header and the section table.
    TooShort(usize, usize),
    Magic,
    FormatVersion(u32),
    SectionCount(u32),
    /// Stated, found.
    Length(u64, u64),
    HeaderChecksum,
    /// Which section breaks which rule.
    Section(u32, &'static str),
    SectionChecksum(u32),
    /// Sections that do not fit each other, or files that are not of one compilation.
    Mismatch(&'static str),
}

impl fmt::Display for ImageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::TooShort(found, needed) => {
                write!(
                    formatter,
                    "header: the file is too short, {found} bytes of {needed}"
                )
            }
            Self::Magic => formatter.write_str("magic: not a list file of this kind"),
            Self::FormatVersion(found) => {
                write!(
                    formatter,
                    "format version: {found}, this build reads {FORMAT_VERSION}"
                )
            }
            Self::SectionCount(found) => {
                write!(
                    formatter,
                    "section count: {found}, the limit is {MAX_SECTIONS}"
                )
            }
            Self::Length(stated, found) => {
                write!(
                    formatter,
                    "total length: {stated} bytes stated, {found} found; the file was cut or extended"
                )
            }
            Self::HeaderChecksum => formatter.write_str("header checksum: the header is damaged"),
            Self::Section(id, rule) => write!(formatter, "section {id}: {rule}"),
            Self::SectionChecksum(id) => {
                write!(formatter, "section {id} checksum: the body is damaged")
            }
            Self::Mismatch(what) => write!(formatter, "{what}: the parts do not fit each other"),
        }
    }
}

impl std::error::Error for ImageError {}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What the header states besides sizes and sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub epoch: u64,
    pub sequence: u64,
    pub created: u64,
    /// Random; the same in the decision and the evidence file of one compilation, and the key of the name hash.
    pub pair: u64,
    pub entries4: u64,
    pub entries6: u64,
    pub domains: u64,
    pub own: [u64; 2],
}

#[derive(Clone, Copy)]
struct Placed {
    id: u32,
    element_bytes: usize,
    offset: usize,
    len: usize,
    checksum: u64,
}

/// An opened file (or one that was never written), its header and section table checked.
pub(crate) struct Image {
    region: Arc<Region>,
    pub header: Header,
    sections: Vec<Placed>,
}

impl Image {
    /// `verify` also checks the sum of every section.
    pub fn map(
        path: &Path,
        magic: [u8; 8],
        prefault: bool,
        verify: bool,
    ) -> Result<Self, ImageError> {
        let image = Self::open(Region::map(path, prefault)?, magic)?;
        if verify {
            image.verify()?;
        }
        Ok(image)
    }

    pub fn open(region: Region, magic: [u8; 8]) -> Result<Self, ImageError> {
        let bytes = region.bytes();
        let head = checked_head(bytes, magic)?;
        let word = |index: usize| u64_at(head, 16 + index * 8);
        if word(4) != bytes.len() as u64 {
            return Err(ImageError::Length(word(4), bytes.len() as u64));
        }
        let header = Header {
            epoch: word(0),
            sequence: word(1),
            created: word(2),
            pair: word(3),
            entries4: word(5),
            entries6: word(6),
            domains: word(7),
            own: [word(8), word(9)],
        };
        let sections = placed_sections(&head[FIXED_BYTES..], head.len() + 8, bytes.len())?;
        Ok(Self {
            region: Arc::new(region),
            header,
            sections,
        })
    }

    /// Checks the sum of every section and the zeros between them; reads the whole file.
    pub fn verify(&self) -> Result<(), ImageError> {
        let bytes = self.region.bytes();
        let gap = |start: usize, end: usize| bytes.get(start..end).unwrap_or_default();
        let mut end = FIXED_BYTES + self.sections.len() * SECTION_BYTES + 8;
        for section in &self.sections {
            if gap(end, section.offset).iter().any(|byte| *byte != 0) {
                return Err(ImageError::Section(section.id, "no zeros before it"));
            }
            end = section.offset + section.len;
            if checksum(gap(section.offset, end)) != section.checksum {
                return Err(ImageError::SectionChecksum(section.id));
            }
        }
        if gap(end, bytes.len()).iter().any(|byte| *byte != 0) {
            return Err(ImageError::Mismatch("what lies behind the last section"));
        }
        Ok(())
    }

    pub fn table<T: Plain>(&self, id: SectionId) -> Result<Table<T>, ImageError> {
        let mut sections = self.sections.iter();
        let Some(section) = sections.find(|section| section.id == id.0) else {
            return Err(ImageError::Section(id.0, "missing"));
        };
        if section.element_bytes != size_of::<T>() {
            return Err(ImageError::Section(id.0, "another element size"));
        }
        let table = self.region.table(section.offset, section.len);
        table.ok_or(ImageError::Section(id.0, "not in the file"))
    }

    pub fn bytes(&self) -> &[u8] {
        self.region.bytes()
    }

    /// (id, bytes) of each section, in their order.
    pub fn section_sizes(&self) -> impl Iterator<Item = (u32, usize)> {
        let sections = self.sections.iter();
        sections.map(|section| (section.id, section.len))
    }
}

/// Header and section table without their sum, which fits.
fn checked_head(bytes: &[u8], magic: [u8; 8]) -> Result<&[u8], ImageError> {
    let too_short = |needed| ImageError::TooShort(bytes.len(), needed);
    let fixed = bytes
        .get(..FIXED_BYTES)
        .ok_or_else(|| too_short(FIXED_BYTES))?;
    if fixed[..8] != magic {
        return Err(ImageError::Magic);
    }
    let version = u32_at(fixed, 8);
    if version != FORMAT_VERSION {
        return Err(ImageError::FormatVersion(version));
    }
    let count = u32_at(fixed, 12);
    if count as usize > MAX_SECTIONS {
        return Err(ImageError::SectionCount(count));
    }
    let end = FIXED_BYTES + count as usize * SECTION_BYTES;
    let head = bytes.get(..end + 8).ok_or_else(|| too_short(end + 8))?;
    if checksum(&head[..end]) == u64_at(head, end) {
        Ok(&head[..end])
    } else {
        Err(ImageError::HeaderChecksum)
    }
}

/// `head_end` and `total` in bytes. See the head of this file for the order that sections have.
fn placed_sections(table: &[u8], head_end: usize, total: usize) -> Result<Vec<Placed>, ImageError> {
    let mut sections: Vec<Placed> = Vec::with_capacity(table.len() / SECTION_BYTES);
    let mut end = head_end;
    for record in table.chunks_exact(SECTION_BYTES) {
        let section = placed(record)?;
        let refused = |rule| Err(ImageError::Section(section.id, rule));
        if sections.iter().any(|other| other.id == section.id) {
            return refused("twice in the table");
        }
        if section.element_bytes == 0 || section.element_bytes > MAX_ELEMENT_BYTES {
            return refused("an unknown element size");
        }
        if section.len % section.element_bytes != 0 {
            return refused("not a whole number of elements");
        }
        if section.offset % ALIGNMENT != 0 {
            return refused("not aligned to 64 bytes");
        }
        if section.offset < end {
            return refused("overlaps what is before it");
        }
        let Some(section_end) = section.offset.checked_add(section.len) else {
            return refused("its end is out of range");
        };
        if section_end > total {
            return refused("passes the end of the file");
        }
        if section.offset != end.next_multiple_of(ALIGNMENT) {
            return refused("a gap before it");
        }
        end = section_end;
        sections.push(section);
    }
    if end.next_multiple_of(ALIGNMENT) == total {
        Ok(sections)
    } else {
        Err(ImageError::Mismatch("sections and total length"))
    }
}

fn placed(record: &[u8]) -> Result<Placed, ImageError> {
    let id = u32_at(record, 0);
    let position = |at| {
        usize::try_from(u64_at(record, at)).map_err(|_| ImageError::Section(id, "out of range"))
    };
    Ok(Placed {
        id,
        element_bytes: u32_at(record, 4) as usize,
        offset: position(8)?,
        len: position(16)?,
        checksum: u64_at(record, 24),
    })
}

/// Callers have checked that the bytes are there.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
