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
//! The header's sum and every offset are checked on each open; the sections' sums by `verify`, which reads it all.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::memory::{Plain, Region, Table, bytes_of};

const FORMAT_VERSION: u32 = 1;
const FIXED_BYTES: usize = 96;
const SECTION_BYTES: usize = 32;
const MAX_SECTIONS: usize = 64;
const ALIGNMENT: usize = 64;
/// Fixed: the sums guard against accidents, not against authors.
const CHECKSUM_SECRETS: RapidSecrets = RapidSecrets::seed(0);

pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    rapidhash_v3_seeded(bytes, &CHECKSUM_SECRETS)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionId(pub u32);

/// Why a file is not a list of ours.
#[derive(Debug)]
pub enum ImageError {
    Io(io::Error),
    TooShort,
    Magic,
    FormatVersion(u32),
    Length,
    HeaderChecksum,
    Section(u32),
    SectionChecksum(u32),
    /// Sections that do not fit each other, or files that are not of one compilation.
    Mismatch(&'static str),
}

impl fmt::Display for ImageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::TooShort => formatter.write_str("header: the file is too short"),
            Self::Magic => formatter.write_str("magic: not a list file of this kind"),
            Self::FormatVersion(found) => {
                write!(
                    formatter,
                    "format version: {found}, this build reads {FORMAT_VERSION}"
                )
            }
            Self::Length => formatter.write_str("total length: the file was cut or extended"),
            Self::HeaderChecksum => formatter.write_str("header checksum: the header is damaged"),
            Self::Section(id) => write!(formatter, "section {id}: missing, misplaced or misshapen"),
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

pub(crate) struct Section<'a> {
    id: SectionId,
    element_bytes: u32,
    bytes: &'a [u8],
}

impl<'a> Section<'a> {
    pub fn new<T: Plain>(id: SectionId, values: &'a [T]) -> Self {
        let element_bytes = u32::try_from(size_of::<T>()).unwrap_or(0);
        Self {
            id,
            element_bytes,
            bytes: bytes_of(values),
        }
    }
}

/// Header, then each section padded; concatenated they are the file.
pub(crate) fn render(magic: [u8; 8], header: &Header, sections: &[Section<'_>]) -> Region {
    let table_end = FIXED_BYTES + sections.len() * SECTION_BYTES + 8;
    let mut offset = table_end.next_multiple_of(ALIGNMENT);
    let mut table = Vec::new();
    for section in sections {
        table.extend(section.id.0.to_le_bytes());
        table.extend(section.element_bytes.to_le_bytes());
        table.extend((offset as u64).to_le_bytes());
        table.extend((section.bytes.len() as u64).to_le_bytes());
        table.extend(checksum(section.bytes).to_le_bytes());
        offset += section.bytes.len().next_multiple_of(ALIGNMENT);
    }
    let mut head = Vec::with_capacity(table_end);
    head.extend(magic);
    head.extend(FORMAT_VERSION.to_le_bytes());
    head.extend(u32::try_from(sections.len()).unwrap_or(0).to_le_bytes());
    for word in [
        header.epoch,
        header.sequence,
        header.created,
        header.pair,
        offset as u64,
        header.entries4,
        header.entries6,
        header.domains,
        header.own[0],
        header.own[1],
    ] {
        head.extend(word.to_le_bytes());
    }
    head.extend(table);
    head.extend(checksum(&head).to_le_bytes());
    let parts: Vec<&[u8]> = std::iter::once(head.as_slice())
        .chain(sections.iter().map(|section| section.bytes))
        .collect();
    Region::from_parts(&parts, ALIGNMENT)
}

#[derive(Clone, Copy)]
struct Placed {
    id: u32,
    element_bytes: u32,
    offset: usize,
    len: usize,
    checksum: u64,
}

/// An opened file (or one that was never written), its header checked.
pub(crate) struct Image {
    region: Arc<Region>,
    pub header: Header,
    sections: Vec<Placed>,
}

impl Image {
    pub fn map(path: &Path, magic: [u8; 8], prefault: bool) -> Result<Self, ImageError> {
        let image = Self::open(Region::map(path, prefault)?, magic)?;
        if prefault {
            image.verify()?;
        }
        Ok(image)
    }

    pub fn open(region: Region, magic: [u8; 8]) -> Result<Self, ImageError> {
        let bytes = region.bytes();
        let fixed = bytes.get(..FIXED_BYTES).ok_or(ImageError::TooShort)?;
        if fixed[..8] != magic {
            return Err(ImageError::Magic);
        }
        let version = u32_at(fixed, 8);
        if version != FORMAT_VERSION {
            return Err(ImageError::FormatVersion(version));
        }
        let count = u32_at(fixed, 12) as usize;
        if count > MAX_SECTIONS {
            return Err(ImageError::HeaderChecksum);
        }
        let table_end = FIXED_BYTES + count * SECTION_BYTES;
        let head = bytes.get(..table_end + 8).ok_or(ImageError::TooShort)?;
        if checksum(&head[..table_end]) != u64_at(head, table_end) {
            return Err(ImageError::HeaderChecksum);
        }
        let word = |index: usize| u64_at(head, 16 + index * 8);
        if word(4) != bytes.len() as u64 {
            return Err(ImageError::Length);
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
        let sections = head[FIXED_BYTES..table_end]
            .chunks_exact(SECTION_BYTES)
            .map(placed);
        let sections = sections.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            region: Arc::new(region),
            header,
            sections,
        })
    }

    /// Checks the sum of every section; reads the whole file.
    pub fn verify(&self) -> Result<(), ImageError> {
        for section in &self.sections {
            let bytes = self
                .region
                .bytes()
                .get(section.offset..section.offset.saturating_add(section.len))
                .ok_or(ImageError::Section(section.id))?;
            if checksum(bytes) != section.checksum {
                return Err(ImageError::SectionChecksum(section.id));
            }
        }
        Ok(())
    }

    pub fn table<T: Plain>(&self, id: SectionId) -> Result<Table<T>, ImageError> {
        self.sections
            .iter()
            .find(|section| section.id == id.0 && section.element_bytes as usize == size_of::<T>())
            .and_then(|section| self.region.table(section.offset, section.len))
            .ok_or(ImageError::Section(id.0))
    }

    pub fn bytes(&self) -> &[u8] {
        self.region.bytes()
    }
}

fn placed(record: &[u8]) -> Result<Placed, ImageError> {
    let id = u32_at(record, 0);
    let position = |at| usize::try_from(u64_at(record, at)).map_err(|_| ImageError::Section(id));
    Ok(Placed {
        id,
        element_bytes: u32_at(record, 4),
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
