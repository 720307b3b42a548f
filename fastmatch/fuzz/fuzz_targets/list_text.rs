//! Texts of lists in each format: every line is counted once, and what was taken comes back as entries.
#![no_main]

use blocklist::{Builder, Disposition, Format, ListOptions, Origin, Rule, Stamp, Statement};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choices, text)) = input.split_first() else {
        return;
    };
    let formats = [Format::Plain, Format::Hosts, Format::Netset, Format::Csv];
    let statement = Statement {
        disposition: Disposition::Block,
        origin: Origin::Feed,
        score_tenths: 80,
        sources: Box::new(["source".into()]),
        categories: Box::default(),
        reason: "".into(),
        first_seen: None,
        last_seen: None,
        expires: None,
    };
    let options = ListOptions {
        format: formats[usize::from(choices & 3)],
        statement,
        rule: [Rule::Suffix, Rule::Below, Rule::Exact][usize::from(choices >> 2 & 3) % 3],
        delimiter: if choices & 16 == 0 { b',' } else { b';' },
        score_column: (choices & 32 != 0).then_some(1),
        score_points: if choices & 64 == 0 {
            Vec::new()
        } else {
            vec![(1.0, 50), (3.0, 90)]
        },
    };
    let mut builder = Builder::new();
    let report = builder.add_text(text, &options).expect("small");
    assert!(report.rejected.len() as u64 <= report.rejected_count);
    assert!(builder.is_empty() || report.accepted_count > 0);
    let list = builder.build(Stamp::default()).expect("a base");
    let count = list.entries().expect("evidence").count();
    assert!(count <= builder.len());
    fastmatch_fuzz::exercise(&list);
});
