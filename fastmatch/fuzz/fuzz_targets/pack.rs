//! Packs of any bytes, their sum made to fit: refused, or the one pack of the entries that it holds.
#![no_main]

use blocklist::fuzzing::fit_pack;
use blocklist::{Blocklist, Builder, Limits, Stamp, pack, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut packed = input.to_vec();
    fit_pack(&mut packed);
    let mut entries = Vec::new();
    let limits = Limits::of_entries(1000);
    if unpack(&packed, limits, |entry| entries.push(entry)).is_err() {
        return;
    }
    assert_eq!(pack(&entries).expect("few"), packed);
    let base: Blocklist = Builder::new()
        .build(Stamp::default())
        .expect("an empty base");
    let list = base
        .with_overlay(&packed, 1)
        .expect("what unpacks is an overlay");
    fastmatch_fuzz::exercise(&list);
});
