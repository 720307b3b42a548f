//! Compiled lists against a linear scan.

mod universe;

use std::collections::HashSet;
use std::sync::Arc;

use blocklist::address::{Address, Network};
use blocklist::{Builder, Disposition, Entry, Origin, Stamp, Statement, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use universe::{build, check, entry, subjects};

proptest! {
    #![proptest_config(universe::config(96))]

    #[test]
    fn a_list_says_what_the_scan_says(entries in vec(entry(), 0..40)) {
        check(&build(&entries), &entries, &subjects())?;
    }
}

/// Enough boundaries for the tables over the top bits, which the small universe never needs.
#[test]
fn a_large_list_says_what_a_set_says() {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 32
    };
    let hosts: HashSet<u32> = (0..5000)
        .map(|_| u32::try_from(random()).expect("32 bits"))
        .collect();
    let wide = |host: u32| u128::from(host) << 80 | 0x2000 << 112;
    let mut builder = Builder::new();
    let statement = Arc::new(Statement {
        disposition: Disposition::Block,
        origin: Origin::Feed,
        score_tenths: 80,
        sources: Box::default(),
        categories: Box::default(),
        reason: "".into(),
        first_seen: None,
        last_seen: None,
        expires: None,
    });
    for host in &hosts {
        for address in [Address::V4(*host), Address::V6(wide(*host))] {
            let target = Target::Network(Network::host(address));
            builder
                .add(&Entry {
                    target,
                    statement: Arc::clone(&statement),
                })
                .expect("room");
        }
    }
    let list = builder.build(Stamp::default()).expect("a base");
    for host in hosts
        .iter()
        .flat_map(|host| [host.wrapping_sub(1), *host, host.wrapping_add(1)])
    {
        assert_eq!(list.lookup4(host).is_some(), hosts.contains(&host));
        assert_eq!(list.lookup6(wide(host)).is_some(), hosts.contains(&host));
        assert!(list.lookup6(wide(host) + 1).is_none());
    }
}
