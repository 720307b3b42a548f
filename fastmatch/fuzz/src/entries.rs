//! A list with something of everything: nesting, expiries, vetoes, all rules, more than one bucket of each index.

use std::num::NonZeroU32;
use std::sync::Arc;

use blocklist::{Blocklist, Builder, Disposition, Entry, Origin, Rule, Statement, Subject, Target};

pub const ADDRESSES: [&str; 9] = [
    "0.0.0.0",
    "10.0.0.0",
    "10.1.2.3",
    "10.255.255.255",
    "255.255.255.255",
    "::",
    "2001:db8::1",
    "2001:db8:0:1::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];
pub const NAMES: [&str; 7] = [
    "a",
    "b.a",
    "c.b.a",
    "x.c.b.a",
    "n7.test",
    "w.n200.test",
    "no.no",
];

fn entry(target: &str, index: usize) -> Entry {
    let rule = [Rule::Suffix, Rule::Below, Rule::Exact][index % 3];
    let disposition = match index % 11 {
        9 => Disposition::KnownGood,
        10 => Disposition::Allow,
        _ => Disposition::Block,
    };
    let expires = (index % 4 == 1).then(|| NonZeroU32::new(50 + (index % 7) as u32));
    let statement = Statement {
        disposition,
        origin: [Origin::Feed, Origin::Operator][usize::from(index % 5 == 4)],
        score_tenths: (index % 101) as u8,
        sources: Box::new(["one".into(), format!("source {}", index % 6).into()]),
        categories: Box::new(["kind".into()]),
        reason: "because".into(),
        first_seen: None,
        last_seen: None,
        expires: expires
            .flatten()
            .filter(|_| disposition != Disposition::KnownGood),
    };
    Entry {
        target: Target::parse(target.as_bytes(), rule).expect("a target"),
        statement: Arc::new(statement.checked().expect("a statement")),
    }
}

/// 1,000 entries.
pub fn builder() -> Builder {
    let mut builder = Builder::new();
    for index in 0..250 {
        let targets = [
            format!("10.{}.{}.{}/{}", index % 3, index % 5, index, 32),
            format!("10.{index}.0.0/{}", 16),
            format!("2001:db8:{:x}:{:x}::/{}", index % 2, index, 64),
            format!("{}n{index}.test", if index % 2 == 0 { "w." } else { "" }),
        ];
        for (family, target) in targets.iter().enumerate() {
            builder.add(&entry(target, index + family)).expect("room");
        }
    }
    let nested = [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.2.3",
        "::/0",
        "2001:db8::/32",
        "2001:db8::1",
    ];
    for (index, target) in nested.iter().chain(&NAMES[..4]).enumerate() {
        builder.add(&entry(target, index)).expect("room");
    }
    builder
}

/// Everything that can be asked of a list, at two times.
pub fn exercise(list: &Blocklist) {
    for now in [0, 55] {
        list.clock().advance(now);
        for text in ADDRESSES.iter().chain(&NAMES) {
            if let Ok(Some(verdict)) = list.lookup_host(text.as_bytes()) {
                let _ = (verdict.id(), verdict.disposition(), verdict.score_tenths());
                verdict.sources().chain(verdict.categories()).for_each(drop);
            }
            if let Ok(subject) = Subject::parse(text.as_bytes()) {
                let _ = list.explain(&subject);
            }
        }
    }
    if let Ok(entries) = list.entries() {
        entries.take(5000).for_each(drop);
    }
}
