//! The lookups in functions of their own, for a tool that counts instructions: `python -m bench instructions`.
//!
//! `lookup_counts ENTRIES QUESTIONS`: each `counted_*` function asks QUESTIONS times; `counted_nothing` is
//! the loop. Those for listed and unlisted differ in what they count, or the linker would make one of them.
#![expect(clippy::print_stdout, reason = "a program that prints what it found")]

use std::fmt::Write as _;
use std::hint::black_box;

use blocklist::address::parse_address;
use blocklist::{
    Blocklist, Builder, Disposition, Format, ListOptions, Origin, Rule, Stamp, Statement,
};

/// A bijection of 32 bits (the last step of `MurmurHash3`): distinct hosts, spread as published ones are.
fn mixed(number: u32) -> u32 {
    let first = (number ^ number >> 16).wrapping_mul(0x85EB_CA6B);
    let second = (first ^ first >> 13).wrapping_mul(0xC2B2_AE35);
    second ^ second >> 16
}

fn name(number: u32) -> String {
    format!("{:08x}{:02x}.test", mixed(number), number % 251)
}

fn list(count: u32) -> Blocklist {
    let mut text = String::new();
    for number in 0..count {
        let host = std::net::Ipv4Addr::from(mixed(number));
        let upper = mixed(number ^ 0xA5A5_0000);
        writeln!(
            text,
            "{host}\n2001:db8:{:x}:{:x}::/64",
            upper >> 16,
            upper & 0xFFFF
        )
        .expect("memory");
        writeln!(text, "{}", name(number)).expect("memory");
    }
    let statement = Statement {
        disposition: Disposition::Block,
        origin: Origin::Feed,
        score_tenths: 80,
        sources: Box::new(["feed".into()]),
        categories: Box::default(),
        reason: "".into(),
        first_seen: None,
        last_seen: None,
        expires: None,
    };
    let options = ListOptions {
        format: Format::Plain,
        statement,
        rule: Rule::Suffix,
        delimiter: b',',
        score_column: None,
        score_points: Vec::new(),
    };
    let mut builder = Builder::new();
    builder.add_text(text.as_bytes(), &options).expect("room");
    builder.build(Stamp::default()).expect("a base")
}

#[inline(never)]
fn counted_nothing(questions: &[u32]) -> usize {
    questions
        .iter()
        .filter(|at| black_box(**at) == u32::MAX)
        .count()
}

#[inline(never)]
fn counted_ipv4_listed(list: &Blocklist, questions: &[u32]) -> usize {
    questions
        .iter()
        .filter(|at| list.lookup4(**at).is_some())
        .count()
}

#[inline(never)]
fn counted_ipv4_unlisted(list: &Blocklist, questions: &[u32]) -> usize {
    questions
        .iter()
        .filter(|at| list.lookup4(**at).is_none())
        .count()
}

#[inline(never)]
fn counted_ipv6_listed(list: &Blocklist, questions: &[u128]) -> usize {
    questions
        .iter()
        .filter(|at| list.lookup6(**at).is_some())
        .count()
}

#[inline(never)]
fn counted_ipv6_unlisted(list: &Blocklist, questions: &[u128]) -> usize {
    questions
        .iter()
        .filter(|at| list.lookup6(**at).is_none())
        .count()
}

#[inline(never)]
fn counted_ipv6_text(questions: &[String]) -> usize {
    let is_address = |text: &&String| parse_address(text.as_bytes()).is_some();
    questions.iter().filter(is_address).count()
}

/// A network's own address: four groups and `::`.
#[inline(never)]
fn counted_ipv6_short_text(questions: &[String]) -> usize {
    let is_no_address = |text: &&String| parse_address(text.as_bytes()).is_none();
    questions.iter().filter(is_no_address).count()
}

#[inline(never)]
fn counted_domain_listed(list: &Blocklist, questions: &[String]) -> usize {
    let is_listed =
        |name: &&String| matches!(list.lookup_domain_bytes(name.as_bytes()), Ok(Some(_)));
    questions.iter().filter(is_listed).count()
}

#[inline(never)]
fn counted_domain_unlisted(list: &Blocklist, questions: &[String]) -> usize {
    let is_unlisted =
        |name: &&String| matches!(list.lookup_domain_bytes(name.as_bytes()), Ok(None));
    questions.iter().filter(is_unlisted).count()
}

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u32>().expect("a number"));
    let entries = numbers.next().unwrap_or(100_000);
    let questions = numbers.next().unwrap_or(entries);
    let list = list(entries);

    // Hits in another order than the list's; misses from numbers that are not in it.
    let listed = || (0..questions).map(|at| mixed(at) % entries);
    let unlisted = || (0..questions).map(|at| entries + at);
    let ipv6 = |number: u32| {
        0x2001_0db8_u128 << 96 | u128::from(mixed(number ^ 0xA5A5_0000)) << 64 | u128::from(number)
    };
    let below = |number: u32| format!("www.{}", name(number));

    let asked: Vec<u32> = listed().map(mixed).collect();
    println!("nothing {}", counted_nothing(&asked));
    println!("ipv4_listed {}", counted_ipv4_listed(&list, &asked));
    let asked: Vec<u32> = unlisted().map(mixed).collect();
    println!("ipv4_unlisted {}", counted_ipv4_unlisted(&list, &asked));
    let asked: Vec<u128> = listed().map(ipv6).collect();
    println!("ipv6_listed {}", counted_ipv6_listed(&list, &asked));
    let asked: Vec<u128> = unlisted().map(ipv6).collect();
    println!("ipv6_unlisted {}", counted_ipv6_unlisted(&list, &asked));
    let text = |bits: u128| std::net::Ipv6Addr::from_bits(bits).to_string();
    let anywhere = |number: u32| ipv6(number) | u128::from(mixed(number)) << 32;
    let asked: Vec<String> = unlisted().map(|at| text(anywhere(at))).collect();
    println!("ipv6_text {}", counted_ipv6_text(&asked));
    let asked: Vec<String> = unlisted().map(|at| text(ipv6(at) >> 64 << 64)).collect();
    println!("ipv6_short_text {}", counted_ipv6_short_text(&asked));
    let asked: Vec<String> = listed().map(below).collect();
    println!("domain_listed {}", counted_domain_listed(&list, &asked));
    let asked: Vec<String> = unlisted().map(below).collect();
    println!("domain_unlisted {}", counted_domain_unlisted(&list, &asked));
}
