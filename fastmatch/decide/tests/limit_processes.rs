//! One limit table, several processes: each child is this test program again, with the segment of its parent.

use std::env;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio, id};
use std::thread;

use decide::limits::table::{FIRST_TICK, Quota, Standing, TICKS_PER_SECOND};
use decide::{Gauge, Segment, Sizes};

const SEGMENT: &str = "SENTRA_TEST_SEGMENT";
const CHILDREN: usize = 4;
const KEYS: u64 = 500;
const BURST: u64 = 7;
const QUOTA: Quota = Quota {
    interval: TICKS_PER_SECOND,
    allowance: BURST * TICKS_PER_SECOND,
};

fn key(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn here(segment: &Segment) -> i64 {
    let mut sums = segment.sums(0..segment.slots());
    sums.find(|(name, _)| *name == "connections_open")
        .map_or(0, |(_, value)| value)
}

/// What a child does; in the parent's own run there is no segment and nothing to do.
#[test]
fn child() {
    let Ok(path) = env::var(SEGMENT) else {
        return;
    };
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("the parent's memory");
    let segment = Segment::open(file.as_raw_fd()).expect("the same layout");
    segment.adjust(0, Gauge::ConnectionsOpen, 1);
    while here(&segment) < i64::try_from(CHILDREN).expect("few") {
        thread::yield_now();
    }
    let table = segment.limits();
    let passed = (0..KEYS)
        .cycle()
        .take(usize::try_from(KEYS * BURST * 2).expect("small"))
        .filter(|number| {
            let standing = table.take(key(*number), FIRST_TICK, QUOTA);
            matches!(standing, Standing::Within { .. })
        })
        .count();
    for _ in 0..passed {
        segment.adjust(0, Gauge::UpstreamOpen, 1);
    }
}

#[test]
fn processes_share_one_limit_and_pass_no_more_than_it_says() {
    let segment = Segment::create(Sizes::of(1)).expect("memfd");
    let path = format!("/proc/{}/fd/{}", id(), segment.descriptor());
    let program = env::current_exe().expect("this test");
    let children: Vec<_> = (0..CHILDREN)
        .map(|_| {
            Command::new(&program)
                .args(["--exact", "child"])
                .env(SEGMENT, &path)
                .stdout(Stdio::null())
                .spawn()
                .expect("another of this program")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    let mut sums = segment.sums(0..1);
    let passed = sums.find(|(name, _)| *name == "upstream_open");
    assert_eq!(
        passed,
        Some(("upstream_open", i64::try_from(KEYS * BURST).expect("small")))
    );
    for number in 0..KEYS {
        let standing = segment.limits().look(key(number), FIRST_TICK, QUOTA);
        assert_eq!(
            standing,
            Standing::Exceeded {
                wait: TICKS_PER_SECOND
            }
        );
    }
}
