//! The evidence of the domains: the entries of each name, in the order of the slots.
//!
//! A mark is an entry's rule and fact, and whether it is the last of its name; slots of a bucket are filled from the first
//! on, so the marks of a slot are found by counting from where its bucket's begin. That is 1 to 4 bytes an entry and a third
//! of a byte per name. Names are in the decision file, or here when that one is compact.

use crate::image::{Image, ImageError, Section, SectionId};
use crate::memory::Table;
use crate::target::{Rule, Target};

use super::gather::{Mark, Names, word};
use super::placement::Placement;
use super::texts::{TextTables, Texts};
use super::{Domains, Listed};

const MARK_STARTS: SectionId = SectionId(20);
const MARKS: SectionId = SectionId(21);
const TEXT_RECORDS: SectionId = SectionId(22);
const TEXT: SectionId = SectionId(23);

#[derive(Default)]
pub(super) struct MarkTables {
    /// Of each bucket: its first mark.
    starts: Vec<u32>,
    marks: Vec<u32>,
    /// In the narrowest width that holds the largest.
    width: Width,
}

#[derive(Clone, Copy, Default)]
enum Width {
    #[default]
    One,
    Two,
    Four,
}

impl MarkTables {
    pub fn new(names: &Names, placement: &Placement) -> Self {
        let mut starts = vec![0; placement.count];
        let mut marks = Vec::with_capacity(names.marks.len());
        for (number, (bucket, slot)) in placement.places().enumerate() {
            if slot == 0 {
                starts[bucket] = word(marks.len());
            }
            let of_name = names.marks(number);
            let encoded = of_name.iter().enumerate();
            marks.extend(encoded.map(|(index, mark)| mark.encode(index + 1 == of_name.len())));
        }
        let width = match marks.iter().max().copied().unwrap_or(0) {
            0..=0xff => Width::One,
            0x100..=0xffff => Width::Two,
            _ => Width::Four,
        };
        Self {
            starts,
            marks,
            width,
        }
    }

    /// Distinct entries.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// `texts` where the decision file has none.
    pub fn sections<'a>(&'a self, texts: Option<&'a TextTables>) -> Vec<Section<'a>> {
        let narrow = |mark: &u32| mark.to_le_bytes();
        let marks = match self.width {
            Width::One => Section::column(MARKS, &self.marks, move |mark| narrow(mark)[0]),
            Width::Two => Section::column(MARKS, &self.marks, move |mark| {
                u16::from_le_bytes([narrow(mark)[0], narrow(mark)[1]])
            }),
            Width::Four => Section::new(MARKS, &self.marks),
        };
        let mut sections = vec![Section::new(MARK_STARTS, &self.starts), marks];
        sections.extend(
            texts
                .iter()
                .flat_map(|texts| texts.sections(TEXT_RECORDS, TEXT)),
        );
        sections
    }
}

enum Marks {
    One(Table<u8>),
    Two(Table<u16>),
    Four(Table<u32>),
}

impl Marks {
    /// The element size of the section tells the width.
    fn open(image: &Image) -> Result<Self, ImageError> {
        let one = image.table(MARKS).map(Self::One);
        one.or_else(|_| image.table(MARKS).map(Self::Two))
            .or_else(|_| image.table(MARKS).map(Self::Four))
    }

    fn get(&self, index: usize) -> Option<u32> {
        match self {
            Self::One(marks) => marks.get(index).copied().map(u32::from),
            Self::Two(marks) => marks.get(index).copied().map(u32::from),
            Self::Four(marks) => marks.get(index).copied(),
        }
    }
}

/// The mapped form.
pub(crate) struct DomainEvidence {
    starts: Table<u32>,
    marks: Marks,
    texts: Option<Texts>,
}

impl DomainEvidence {
    pub fn open(image: &Image, domains: &Domains) -> Result<Self, ImageError> {
        let texts = || Texts::open(image, TEXT_RECORDS, TEXT);
        let evidence = Self {
            starts: image.table(MARK_STARTS)?,
            marks: Marks::open(image)?,
            texts: domains.is_compact().then(texts).transpose()?,
        };
        if evidence.starts.len() == domains.bucket_count() {
            Ok(evidence)
        } else {
            Err(ImageError::Mismatch("domain tables"))
        }
    }

    /// Entries that cover a name: what they list, and their facts.
    pub fn covering(&self, name: &[u8], domains: &Domains) -> Vec<(Target, u32)> {
        let mut covering = Vec::new();
        for listed in domains.covering(name, self.texts.as_ref()) {
            let applies = |rule| match rule {
                Rule::Suffix => true,
                Rule::Below => !listed.is_itself,
                Rule::Exact => listed.is_itself,
            };
            let marks = self.marks_of(&listed).filter(|mark| applies(mark.rule));
            covering.extend(marks.map(|mark| listed.entry(mark)));
        }
        covering
    }

    /// Every entry.
    pub fn entries<'a>(
        &'a self,
        domains: &'a Domains,
    ) -> impl Iterator<Item = (Target, u32)> + use<'a> {
        let listed = domains.listed(self.texts.as_ref());
        listed.flat_map(|listed| self.marks_of(&listed).map(move |mark| listed.entry(mark)))
    }

    /// What follows the marks of the slots before it, up to the last of its own.
    fn marks_of(&self, listed: &Listed<'_>) -> impl Iterator<Item = Mark> + use<'_> {
        let start = self.starts.get(listed.bucket).copied();
        let from = start.map_or(usize::MAX, |start| start as usize);
        let mut before = listed.slot;
        let mut is_over = false;
        let codes = (from..usize::MAX).map_while(|index| self.marks.get(index));
        let decoded = codes.map(Mark::decode);
        let from_own = decoded.skip_while(move |(_, is_last)| {
            let skipped = before > 0;
            before -= usize::from(skipped && *is_last);
            skipped
        });
        from_own.map_while(move |(mark, is_last)| {
            let own = (!is_over).then_some(mark);
            is_over = is_last;
            own
        })
    }
}

impl Listed<'_> {
    fn entry(&self, mark: Mark) -> (Target, u32) {
        let target = Target::Domain {
            name: self.text.into(),
            rule: mark.rule,
        };
        (target, mark.fact)
    }
}
