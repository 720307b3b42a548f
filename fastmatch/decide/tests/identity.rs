//! Who the client is: kinds of cases that uvicorn, Caddy and mitmproxy know, each as a row.

mod support;

use decide::action::HeadOutcome;
use support::{World, outcome, world};

fn trusting(networks: &[&str]) -> World {
    world(|settings| {
        settings.trusted_proxies = networks.iter().map(|text| (*text).to_owned()).collect();
    })
}

/// The client for a peer that sends these X-Forwarded-For lines, or the status.
fn identify(networks: &[&str], peer: &str, lines: &[&str]) -> Result<String, u16> {
    let world = trusting(networks);
    let lines: Vec<String> = lines
        .iter()
        .map(|line| format!("X-Forwarded-For: {line}\r\n"))
        .collect();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a.example\r\n{}\r\n",
        lines.concat()
    );
    let mut client = world.client(peer);
    match client.head(request.as_bytes(), &mut Vec::new()) {
        HeadOutcome::Ready(_) => Ok(client.client().to_string()),
        HeadOutcome::Refused(refusal) => Err(refusal.status()),
        HeadOutcome::Incomplete => panic!("a whole head"),
    }
}

const OURS: &[&str] = &["10.0.0.0/8", "192.0.2.1", "fd00::/8"];

#[test]
fn an_untrusted_peer_is_the_client_whatever_it_says() {
    for lines in [
        &["203.0.113.9"][..],
        &["rubbish"],
        &[""],
        &["10.0.0.1", "127.0.0.1"],
    ] {
        assert_eq!(
            identify(OURS, "198.51.100.1", lines),
            Ok("198.51.100.1".into()),
            "{lines:?}"
        );
        assert_eq!(
            identify(&[], "10.0.0.1", lines),
            Ok("10.0.0.1".into()),
            "{lines:?}"
        );
    }
}

#[test]
fn a_trusted_peer_names_the_client() {
    for (lines, expected) in [
        (&[][..], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        (&[" , ,"], "10.0.0.1"),
        (&["203.0.113.9"], "203.0.113.9"),
        (&["203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        (&["203.0.113.9,10.1.1.1,192.0.2.1"], "203.0.113.9"),
        // The rightmost address that is not ours; what stands left of it is the client's invention.
        (&["1.1.1.1, 203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        (&["rubbish, 203.0.113.9"], "203.0.113.9"),
        // All ours: the one that spoke first.
        (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        // Several lines are one list, in their order.
        (&["203.0.113.9", "10.2.2.2"], "203.0.113.9"),
        (&["1.1.1.1", "203.0.113.9", "", "10.2.2.2"], "203.0.113.9"),
    ] {
        assert_eq!(
            identify(OURS, "10.0.0.1", lines),
            Ok(expected.into()),
            "{lines:?}"
        );
    }
}

#[test]
fn addresses_are_read_in_every_spelling_that_proxies_write() {
    for (element, expected) in [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:db8::9", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:4711", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ("fe80::9%eth0", "fe80::9"),
        ("[fe80::9%25eth0]:80", "fe80::9"),
        ("\t203.0.113.9\t", "203.0.113.9"),
        // A mapped address of ours is ours: the walk goes on to the peer's own side and ends there.
        ("::ffff:10.1.1.1", "10.1.1.1"),
    ] {
        assert_eq!(
            identify(OURS, "10.0.0.1", &[element]),
            Ok(expected.into()),
            "{element}"
        );
    }
}

#[test]
fn what_a_trusted_peer_garbles_is_refused() {
    for element in [
        "unknown",
        "_hidden",
        "203.0.113",
        "203.0.113.9.1",
        "203.0.113.256",
        "010.0.0.1",
        "0x0a.1.1.1",
        "203.0.113.9:",
        "203.0.113.9:x",
        "203.0.113.9:70000",
        "203.0.113.9 10.1.1.1",
        "[2001:db8::9",
        "2001:db8::9]",
        "[203.0.113.9]",
        "[2001:db8::9]x",
        "[2001:db8::9]:",
        "\"203.0.113.9\"",
        "for=203.0.113.9",
        "203.0.113.9%eth0",
        "fe80::9%",
        "a.example",
        "203.0.113.9;10.1.1.1",
        "\u{661}.0.0.1",
    ] {
        assert_eq!(
            identify(OURS, "10.0.0.1", &[element]),
            Err(400),
            "{element}"
        );
        let behind = format!("203.0.113.9, {element}");
        assert_eq!(identify(OURS, "10.0.0.1", &[&behind]), Err(400), "{behind}");
    }
}

#[test]
fn a_chain_without_end_is_refused() {
    let chain = |hops: usize| vec!["10.1.1.1"; hops].join(",");
    assert_eq!(
        identify(OURS, "10.0.0.1", &[&chain(32)]),
        Ok("10.1.1.1".into())
    );
    assert_eq!(identify(OURS, "10.0.0.1", &[&chain(33)]), Err(400));
}

#[test]
fn peers_are_canonical() {
    assert_eq!(
        identify(OURS, "::ffff:10.0.0.1", &["203.0.113.9"]),
        Ok("203.0.113.9".into())
    );
    assert_eq!(identify(OURS, "fe80::1%eth0", &[]), Ok("fe80::1".into()));
    let world = trusting(&[]);
    for peer in ["", "a.example", "10.0.0.1:80", "[::1]", "10.0.0.1%eth0"] {
        assert!(
            decide::Downstream::new(world.gate.clone(), peer).is_err(),
            "{peer}"
        );
    }
}

#[test]
fn a_connection_option_cannot_hide_the_chain() {
    let world = trusting(OURS);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For\r\nX-Forwarded-For: rubbish\r\n\r\n";
    let refused = outcome(&world, "10.0.0.1", request);
    assert!(matches!(refused, HeadOutcome::Refused(refusal) if refusal.status() == 400));
}
