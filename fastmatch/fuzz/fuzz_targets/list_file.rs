//! Decision and evidence files edited anywhere, their head's sum made to fit: refused, or a list whose answers end.
//!
//! Input: a byte of choices (which file, compact names), then edits of four bytes: a position of three, and a value.
#![no_main]

use std::sync::LazyLock;

use blocklist::fuzzing::{files, fit_file, open};
use fastmatch_fuzz::{builder, exercise};
use libfuzzer_sys::fuzz_target;

static WITH_TEXT: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| files(&mut builder(), false));
static COMPACT: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| files(&mut builder(), true));

fuzz_target!(|input: &[u8]| {
    let Some((choices, edits)) = input.split_first() else {
        return;
    };
    let (mut decision, mut evidence) = if choices & 1 == 0 {
        &*WITH_TEXT
    } else {
        &*COMPACT
    }
    .clone();
    let bytes = if choices & 2 == 0 {
        &mut decision
    } else {
        &mut evidence
    };
    for edit in edits.chunks_exact(4) {
        let position = u32::from_le_bytes([edit[0], edit[1], edit[2], 0]) as usize;
        // Low positions are the head, where most of the rules are: they get half of all edits.
        let length = if choices & 4 == 0 {
            bytes.len()
        } else {
            bytes.len().min(1024)
        };
        bytes[position % length] = edit[3];
    }
    if choices & 8 != 0 && !edits.is_empty() {
        bytes.truncate(bytes.len() * usize::from(edits[0]) / 256);
    }
    fit_file(bytes);
    if let Ok(list) = open(&decision, &evidence) {
        exercise(&list);
    }
});
