//! Tests only: heads that lie, their sum made to fit, are refused with the section and the rule they break.

use crate::fuzzing::{fit_file, region};
use crate::image::{ALIGNMENT, FIXED_BYTES, Header, Image, SECTION_BYTES, SectionId};
use crate::render::{Rendering, Section};

const MAGIC: [u8; 8] = *b"SNTRTEST";
/// Fields of a section's record.
const ID: usize = 0;
const ELEMENT: usize = 4;
const OFFSET: usize = 8;
const LENGTH: usize = 16;

fn whole() -> Vec<u8> {
    let (words, bytes) = ([1_u32, 2, 3], [7_u8; 100]);
    let sections = vec![
        Section::new(SectionId(5), &words),
        Section::owned(SectionId(6), vec![9_u64; 10]),
        Section::column(SectionId(7), &bytes, |byte| u16::from(*byte)),
        Section::owned(SectionId(8), Vec::<u32>::new()),
    ];
    let header = Header {
        epoch: 1,
        own: [2, 3],
        ..Header::default()
    };
    Rendering::new(MAGIC, header, sections)
        .region()
        .bytes()
        .to_vec()
}

fn open(bytes: &[u8]) -> Result<Image, String> {
    let region = region(bytes);
    Image::open(region, MAGIC).map_err(|error| error.to_string())
}

fn refusal(bytes: &[u8]) -> String {
    open(bytes).err().expect("refused")
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The refusal of a file whose sections' fields are replaced: (index, field, value). Ids and element sizes have 32 bits.
fn with_fields(edits: &[(usize, usize, u64)]) -> String {
    let mut bytes = whole();
    for (index, field, value) in edits {
        let at = FIXED_BYTES + index * SECTION_BYTES + field;
        let size = if *field < OFFSET { 4 } else { 8 };
        bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }
    fit_file(&mut bytes);
    refusal(&bytes)
}

fn field_of(bytes: &[u8], index: usize, field: usize) -> u64 {
    word_at(bytes, FIXED_BYTES + index * SECTION_BYTES + field)
}

#[test]
fn a_whole_file_gives_back_what_was_rendered() {
    let image = open(&whole()).expect("whole");
    image.verify().expect("whole");
    assert_eq!((image.header.epoch, image.header.own), (1, [2, 3]));
    let words = image.table::<u32>(SectionId(5)).expect("there");
    assert_eq!(&*words, &[1, 2, 3]);
    let column = image.table::<u16>(SectionId(7)).expect("there");
    assert_eq!(&*column, &[7; 100]);
    assert!(image.table::<u32>(SectionId(8)).expect("there").is_empty());
}

#[test]
fn a_section_is_asked_for_by_id_and_element() {
    let image = open(&whole()).expect("whole");
    let message = |outcome: Result<_, crate::image::ImageError>| {
        outcome
            .map(|_: crate::memory::Table<u64>| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        message(image.table::<u64>(SectionId(9))),
        Err("section 9: missing".into())
    );
    assert_eq!(
        message(image.table::<u64>(SectionId(5))),
        Err("section 5: another element size".into())
    );
}

#[test]
fn a_file_cut_at_every_byte_of_the_head_says_so() {
    let bytes = whole();
    for length in 0..bytes.len() {
        let said = refusal(&bytes[..length]);
        let expected = if length < FIXED_BYTES + 4 * SECTION_BYTES + 8 {
            "header: the file is too short"
        } else {
            "total length: "
        };
        assert!(said.starts_with(expected), "{length}: {said}");
    }
    let mut longer = bytes;
    longer.extend([0; ALIGNMENT]);
    assert!(refusal(&longer).starts_with("total length: "));
}

#[test]
fn magic_and_versions_are_read_before_anything_else() {
    let mut bytes = whole();
    bytes[8] = 3;
    assert_eq!(refusal(&bytes), "format version: 3, this build reads 2");
    bytes[0] ^= 1;
    assert_eq!(refusal(&bytes), "magic: not a list file of this kind");
}

#[test]
fn huge_counts_are_refused_before_anything_is_sized_by_them() {
    for (count, expected) in [
        (65, "section count: 65, the limit is 64"),
        (u32::MAX, "section count: 4294967295, the limit is 64"),
        (64, "header: the file is too short"),
    ] {
        let mut bytes = whole();
        bytes[12..16].copy_from_slice(&count.to_le_bytes());
        assert!(refusal(&bytes).starts_with(expected), "{}", refusal(&bytes));
    }
    let mut fewer = whole();
    fewer[12] = 2;
    fit_file(&mut fewer);
    assert_eq!(refusal(&fewer), "section 5: a gap before it");
}

#[test]
fn what_no_section_owns_is_refused() {
    let mut bytes = whole();
    bytes.extend([0; ALIGNMENT]);
    let total = bytes.len() as u64;
    bytes[48..56].copy_from_slice(&total.to_le_bytes());
    fit_file(&mut bytes);
    assert_eq!(
        refusal(&bytes),
        "sections and total length: the parts do not fit each other"
    );
}

#[test]
fn every_lie_about_a_section_is_named() {
    let bytes = whole();
    let second = field_of(&bytes, 1, OFFSET);
    let total = bytes.len() as u64;
    for (edits, expected) in [
        (vec![(1, ID, 5)], "section 5: twice in the table"),
        (vec![(1, ELEMENT, 0)], "section 6: an unknown element size"),
        (vec![(1, ELEMENT, 65)], "section 6: an unknown element size"),
        (
            vec![(1, ELEMENT, 1 << 31)],
            "section 6: an unknown element size",
        ),
        (
            vec![(1, LENGTH, 79)],
            "section 6: not a whole number of elements",
        ),
        (
            vec![(1, OFFSET, second + 8)],
            "section 6: not aligned to 64 bytes",
        ),
        (
            vec![(1, OFFSET, second - 64)],
            "section 6: overlaps what is before it",
        ),
        (
            vec![(0, OFFSET, 0)],
            "section 5: overlaps what is before it",
        ),
        (
            vec![(0, OFFSET, 192)],
            "section 5: overlaps what is before it",
        ),
        (vec![(1, OFFSET, second + 64)], "section 6: a gap before it"),
        (vec![(1, OFFSET, !63)], "section 6: its end is out of range"),
        (vec![(1, LENGTH, !7)], "section 6: its end is out of range"),
        (
            vec![(1, LENGTH, total)],
            "section 6: passes the end of the file",
        ),
        (
            vec![(1, OFFSET, total)],
            "section 6: passes the end of the file",
        ),
        (
            vec![(0, LENGTH, 128)],
            "section 6: overlaps what is before it",
        ),
        (vec![(2, LENGTH, 100)], "section 8: a gap before it"),
        (vec![(2, LENGTH, 2)], "section 8: a gap before it"),
        (
            vec![(3, LENGTH, 4)],
            "section 8: passes the end of the file",
        ),
    ] {
        assert_eq!(with_fields(&edits), expected, "{edits:?}");
    }
    let swapped = [
        (0, OFFSET, second),
        (0, LENGTH, field_of(&bytes, 1, LENGTH)),
        (1, OFFSET, field_of(&bytes, 0, OFFSET)),
    ];
    assert_eq!(with_fields(&swapped), "section 5: a gap before it");
}

#[test]
fn a_stated_length_that_is_not_the_files_is_refused() {
    let mut bytes = whole();
    let total = bytes.len() as u64;
    for stated in [0, total - 1, total + 64, u64::MAX] {
        bytes[48..56].copy_from_slice(&stated.to_le_bytes());
        fit_file(&mut bytes);
        assert!(refusal(&bytes).starts_with(&format!("total length: {stated} bytes stated")));
    }
}
