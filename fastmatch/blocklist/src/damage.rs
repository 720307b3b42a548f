//! Tests only: files damaged in every part, sums made to fit again, must open to an error or to a list whose lookups end.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::Builder;
use crate::address::{Address, parse_address};
use crate::decision::{Decision, compile};
use crate::entry::{Entry, Origin, Statement};
use crate::evidence::Evidence;
use crate::fuzzing::{fit_file, head_end, region};
use crate::image::Header;
use crate::memory::Region;
use crate::rule::Link;
use crate::target::{Rule, Target};
use crate::verdict::Disposition;

fn builder() -> Builder {
    let mut builder = Builder::new();
    let targets = [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "2001:db8::/32",
        "2001:db8::1",
        "a.b.c",
        "b.c",
        "c",
    ];
    for (index, text) in targets.iter().enumerate() {
        let rule = [Rule::Suffix, Rule::Below, Rule::Exact][index % 3];
        let statement = Statement {
            disposition: match index {
                1 => Disposition::KnownGood,
                3 | 6 => Disposition::Tombstone,
                _ => Disposition::Block,
            },
            origin: Origin::Feed,
            score_tenths: 10 * u8::try_from(index).expect("few"),
            sources: Box::new(["one".into(), text.to_owned().into()]),
            categories: Box::new(["kind".into()]),
            reason: "because".into(),
            first_seen: None,
            last_seen: None,
            expires: None,
        };
        let target = Target::parse(text.as_bytes(), rule).expect("a target");
        builder
            .add(&Entry {
                target,
                statement: Arc::new(statement),
            })
            .expect("room");
    }
    builder.sort_networks();
    builder
}

fn damaged(region: &Region, edits: &[(Index, u8)], in_head: bool) -> Vec<u8> {
    let mut bytes = region.bytes().to_vec();
    let head = head_end(&bytes).expect("whole");
    for (at, value) in edits {
        let position = if in_head {
            at.index(head)
        } else {
            head + 8 + at.index(bytes.len() - head - 8)
        };
        bytes[position] = *value;
    }
    fit_file(&mut bytes);
    bytes
}

fn exercise(decision: &Decision) {
    let chains = [
        "10.1.2.3",
        "10.1.0.0",
        "255.255.255.255",
        "0.0.0.0",
        "2001:db8::1",
        "::",
        "ffff::",
    ]
    .map(
        |text| match parse_address(text.as_bytes()).expect("an address") {
            Address::V4(bits) => decision.chain4(bits),
            Address::V6(bits) => decision.chain6(bits),
        },
    );
    decision.chains4(&[0x0a01_0203; 70], &mut [0; 70]);
    let names = ["a.b.c", "x.a.b.c", "c", "d"].map(|name| decision.domains.chain(name.as_bytes()));
    for chain in chains.into_iter().chain(names).chain([0, 1, u32::MAX]) {
        let ruling = &decision.ruling;
        let _ = (decision.live(chain, 5), ruling.is_vetoed(chain));
        let is_removed = |link: &Link| ruling.removes(chain, ruling, link);
        let _ = ruling.is_vetoed_without(chain, is_removed);
        let of_both = [false, true].map(|is_vetoed| {
            let all = ruling.strongest(chain, 5, is_vetoed, |_| false);
            [all, ruling.strongest(chain, 5, is_vetoed, is_removed)]
        });
        for ranked in of_both.into_iter().flatten().flatten() {
            let verdict = ranked.verdict;
            let _ = ruling.compare(ranked, ruling, ranked);
            let _ = (ruling.disposition(verdict), ruling.score_tenths(verdict));
            ruling
                .sources(verdict)
                .chain(ruling.categories(verdict))
                .for_each(drop);
        }
    }
}

fn explain(evidence: &Evidence, decision: &Decision) {
    for text in ["10.1.2.3", "255.255.255.255", "2001:db8::1", "::"] {
        evidence.covering_address(parse_address(text.as_bytes()).expect("an address"));
    }
    for name in ["a.b.c", "x.a.b.c", "c"] {
        evidence.covering_name(name.as_bytes(), decision);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 2000 }, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_refused_or_harmless(
        edits in vec((any::<Index>(), any::<u8>()), 1..8), in_head: bool, in_evidence: bool, is_compact: bool, cut in prop::option::of(any::<Index>())
    ) {
        let builder = builder();
        let compiled = compile(&builder, Header { pair: 7, ..Header::default() }, is_compact, &mut |_| ());
        let (whole, evidence) = (compiled.render_decision().region(), compiled.render_evidence().region());
        let mut bytes = damaged(if in_evidence { &evidence } else { &whole }, &edits, in_head);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if in_evidence {
            let decision = Decision::open(whole).expect("whole");
            if let Ok(evidence) = Evidence::open(region(&bytes), &decision) {
                explain(&evidence, &decision);
            }
        } else if let Ok(decision) = Decision::open(region(&bytes)) {
            exercise(&decision);
            if let Ok(evidence) = Evidence::open(evidence, &decision) {
                explain(&evidence, &decision);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn whole_files_verify_and_each_damaged_byte_is_noticed() {
    let builder = builder();
    let compiled = compile(&builder, Header::default(), false, &mut |_| ());
    let bytes = compiled.render_decision().region().bytes().to_vec();
    let magic = bytes[..8].try_into().expect("eight bytes");
    let open = |bytes: &[u8]| crate::image::Image::open(region(bytes), magic);
    open(&bytes)
        .and_then(|image| image.verify())
        .expect("whole");
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1;
        let opened = open(&flipped).and_then(|image| image.verify());
        assert!(opened.is_err(), "byte {position} of {}", bytes.len());
    }
}
