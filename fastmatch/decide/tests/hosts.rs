//! The codec and the lists agree on what a host is: one that is taken and cannot be judged would pass every list.

mod support;

use blocklist::Blocklist;
use http1::target::Host;
use support::{entry, list};

/// Judges every text of up to `length` of these characters that is taken as a host; returns how many there were.
fn judge_all(list: &Blocklist, alphabet: &[u8], length: u32) -> usize {
    let base = alphabet.len();
    let mut taken = 0;
    for size in 1..=length {
        for mut number in 0..base.pow(size) {
            let mut text = Vec::new();
            for _ in 0..size {
                text.push(alphabet[number % base]);
                number /= base;
            }
            let Ok(host) = Host::parse(&text) else {
                continue;
            };
            taken += 1;
            let name = host.name.escape_ascii();
            assert!(list.lookup_host(host.name).is_ok(), "{name} is not judged");
        }
    }
    taken
}

#[test]
fn every_host_that_is_taken_can_be_judged() {
    let list = list(&[entry("bad.example", 80)]);
    assert!(judge_all(&list, b"aX10-_.~:%", 5) > 1000);
    assert!(judge_all(&list, b"10.", 8) > 10);
    assert!(judge_all(&list, b"[]:1f.", 6) > 10);
}

#[test]
fn lengths_end_at_the_same_byte() {
    let list = list(&[entry("bad.example", 80)]);
    for labels in [&[63][..], &[64], &[63, 63, 63, 61], &[63, 63, 63, 62]] {
        for dot in ["", "."] {
            let names: Vec<String> = labels.iter().map(|length| "a".repeat(*length)).collect();
            let text = names.join(".") + dot;
            let is_judged = list.lookup_host(text.as_bytes()).is_ok();
            assert_eq!(Host::parse(text.as_bytes()).is_ok(), is_judged, "{text}");
        }
    }
}
