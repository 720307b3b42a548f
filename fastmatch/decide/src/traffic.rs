//! Exchanges that ended -> who sends most of what, and a fair sample of clients: for people who look for a cause, and for
//! asking what a block would have hit.
//!
//! Bounded whatever comes: four rankings of 512 clients (128 KiB), 15 x 512 addresses (130 KiB). An exchange costs two
//! probes and a counter.

mod ranking;
mod sample;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};

use http1::render::decimal;

use crate::end::End;
use crate::forward::write_address;
use crate::gate::mix;
use ranking::Ranking;
use sample::Sample;

/// Clients of each ranking that are told.
const TOP_COUNT: usize = 100;
const NAMES: [&str; 4] = ["requests", "bytes", "denied", "limited"];
const REQUESTS: usize = 0;
const BYTES: usize = 1;
const DENIED: usize = 2;
const LIMITED: usize = 3;

#[derive(Debug)]
pub struct Traffic {
    rankings: [Ranking; NAMES.len()],
    /// Unix seconds.
    since: u64,
    sample: Sample,
    seed: u64,
}

impl Traffic {
    pub fn new(now: u64) -> Self {
        Self {
            rankings: Default::default(),
            since: now,
            sample: Sample::new(RandomState::new().hash_one(now)),
            seed: RandomState::new().hash_one(now),
        }
    }

    /// `bytes` of both directions.
    pub fn add(&mut self, now: u64, client: IpAddr, bytes: u64, end: End) {
        let key = key_of(client);
        let upper = u64::try_from(key >> 64).unwrap_or(0);
        let lower = u64::try_from(key & u128::from(u64::MAX)).unwrap_or(0);
        let hash = mix(upper ^ lower ^ self.seed);
        self.rankings[REQUESTS].add(key, hash, 1);
        self.rankings[BYTES].add(key, hash, bytes);
        match end {
            End::Denied => self.rankings[DENIED].add(key, hash, 1),
            End::Limited => self.rankings[LIMITED].add(key, hash, 1),
            _ => {}
        }
        self.sample.add(now, client);
    }

    /// The rankings since the last call as a JSON object; they begin anew.
    pub fn drain_hitters(&mut self, now: u64) -> Vec<u8> {
        let mut out = b"{\"since\":".to_vec();
        decimal(&mut out, self.since);
        out.extend_from_slice(b",\"until\":");
        decimal(&mut out, now);
        for (name, ranking) in NAMES.iter().zip(&mut self.rankings) {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            write_ranking(&mut out, ranking);
            ranking.clear();
        }
        out.push(b'}');
        self.since = now;
        out
    }

    /// The sample of the last quarter of an hour as a JSON object; nothing is taken out.
    pub fn client_sample(&self, now: u64) -> Vec<u8> {
        let mut out = b"{\"minutes\":[".to_vec();
        for (index, (minute, requests, clients)) in self.sample.minutes(now).enumerate() {
            separate(&mut out, index);
            out.extend_from_slice(b"{\"start\":");
            decimal(&mut out, minute * 60);
            out.extend_from_slice(b",\"requests\":");
            decimal(&mut out, requests);
            out.extend_from_slice(b",\"clients\":[");
            for (index, client) in clients.iter().enumerate() {
                separate(&mut out, index);
                out.push(b'"');
                write_address(&mut out, *client);
                out.push(b'"');
            }
            out.extend_from_slice(b"]}");
        }
        out.extend_from_slice(b"]}");
        out
    }
}

fn write_ranking(out: &mut Vec<u8>, ranking: &Ranking) {
    out.extend_from_slice(b"{\"total\":");
    decimal(out, ranking.total());
    out.extend_from_slice(b",\"error\":");
    decimal(out, ranking.error());
    out.extend_from_slice(b",\"top\":[");
    for (index, (key, weight)) in ranking.top(TOP_COUNT).into_iter().enumerate() {
        separate(out, index);
        out.extend_from_slice(b"[\"");
        write_client(out, key);
        out.extend_from_slice(b"\",");
        decimal(out, weight);
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

/// An IPv4 address in its mapped form, the network of an IPv6 one: within a /64 addresses are changed at will.
fn key_of(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

fn write_client(out: &mut Vec<u8>, key: u128) {
    let address = Ipv6Addr::from_bits(key);
    if let Some(address) = address.to_ipv4_mapped() {
        write_address(out, IpAddr::V4(address));
    } else {
        write_address(out, IpAddr::V6(address));
        out.extend_from_slice(b"/64");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn hitters_are_told_once_heaviest_first() {
        let mut traffic = Traffic::new(100);
        for (client, bytes, fate) in [
            ("192.0.2.1", 10, End::Complete),
            ("192.0.2.1", 10, End::Limited),
            ("2001:db8::1", 500, End::Denied),
            ("2001:db8::2", 0, End::Denied),
            ("2001:db8::3", 1, End::Complete),
        ] {
            traffic.add(101, client.parse().expect("an address"), bytes, fate);
        }
        let empty = "{\"total\":0,\"error\":0,\"top\":[]}";
        assert_eq!(
            text(traffic.drain_hitters(110)),
            "{\"since\":100,\"until\":110,\
             \"requests\":{\"total\":5,\"error\":0,\"top\":[[\"2001:db8::/64\",3],[\"192.0.2.1\",2]]},\
             \"bytes\":{\"total\":521,\"error\":0,\"top\":[[\"2001:db8::/64\",501],[\"192.0.2.1\",20]]},\
             \"denied\":{\"total\":2,\"error\":0,\"top\":[[\"2001:db8::/64\",2]]},\
             \"limited\":{\"total\":1,\"error\":0,\"top\":[[\"192.0.2.1\",1]]}}"
        );
        let rest =
            ["requests", "bytes", "denied", "limited"].map(|name| format!("\"{name}\":{empty}"));
        let expected = format!("{{\"since\":110,\"until\":120,{}}}", rest.join(","));
        assert_eq!(text(traffic.drain_hitters(120)), expected);
    }

    #[test]
    fn the_sample_has_whole_addresses_and_stays() {
        let mut traffic = Traffic::new(0);
        traffic.add(
            59,
            "192.0.2.1".parse().expect("an address"),
            0,
            End::Complete,
        );
        traffic.add(
            60,
            "2001:db8::7".parse().expect("an address"),
            0,
            End::Denied,
        );
        traffic.drain_hitters(61);
        let expected = "{\"minutes\":[{\"start\":0,\"requests\":1,\"clients\":[\"192.0.2.1\"]},\
            {\"start\":60,\"requests\":1,\"clients\":[\"2001:db8::7\"]}]}";
        for _ in 0..2 {
            assert_eq!(text(traffic.client_sample(61)), expected);
        }
        assert_eq!(text(traffic.client_sample(3600)), "{\"minutes\":[]}");
    }
}
