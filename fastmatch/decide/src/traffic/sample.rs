//! Requests -> a fair sample of their clients, minute by minute, for the last quarter of an hour.
//!
//! Each minute has a reservoir (Vitter's algorithm R): every request of a minute is in its sample with the same
//! chance. A minute that is over stays as it is until its place is needed.

use std::net::IpAddr;

use crate::gate::mix;

/// Minutes that are kept, the present one among them.
pub const MINUTES: usize = 15;
/// Clients in the sample of a minute.
pub const CLIENTS: usize = 512;

#[derive(Debug)]
struct Minute {
    /// Unix time in minutes.
    number: u64,
    requests: u64,
    clients: Vec<IpAddr>,
}

#[derive(Debug)]
pub struct Sample {
    minutes: Vec<Minute>,
    present: usize,
    random: u64,
}

impl Sample {
    pub fn new(seed: u64) -> Self {
        Self {
            minutes: Vec::new(),
            present: 0,
            random: seed,
        }
    }

    /// `now`: Unix seconds. Time that goes back counts in the present minute.
    pub fn add(&mut self, now: u64, client: IpAddr) {
        let number = now / 60;
        if self
            .minutes
            .get(self.present)
            .is_none_or(|minute| minute.number < number)
        {
            self.begin(number);
        }
        let minute = &mut self.minutes[self.present];
        minute.requests += 1;
        if minute.clients.len() < CLIENTS {
            minute.clients.push(client);
            return;
        }
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // The upper half of the product is even over 0..requests.
        let place = (u128::from(mix(self.random)) * u128::from(minute.requests)) >> 64;
        if let Some(taken) = usize::try_from(place)
            .ok()
            .and_then(|place| minute.clients.get_mut(place))
        {
            *taken = client;
        }
    }

    fn begin(&mut self, number: u64) {
        if self.minutes.len() < MINUTES {
            self.present = self.minutes.len();
            self.minutes.push(Minute {
                number,
                requests: 0,
                clients: Vec::new(),
            });
            return;
        }
        self.present = (self.present + 1) % MINUTES;
        let minute = &mut self.minutes[self.present];
        (minute.number, minute.requests) = (number, 0);
        minute.clients.clear();
    }

    /// (minute, requests in it, clients of its sample) of the last quarter of an hour, oldest first.
    pub fn minutes(&self, now: u64) -> impl Iterator<Item = (u64, u64, &[IpAddr])> {
        let first = (now / 60 + 1).saturating_sub(MINUTES as u64);
        let (newer, older) = self
            .minutes
            .split_at((self.present + 1).min(self.minutes.len()));
        older
            .iter()
            .chain(newer)
            .filter(move |minute| minute.number >= first)
            .map(|minute| (minute.number, minute.requests, &*minute.clients))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn few_requests_are_all_in_the_sample() {
        let mut sample = Sample::new(1);
        for second in [60, 61, 119, 120, 100] {
            sample.add(second, address(u32::try_from(second).expect("small")));
        }
        let minutes: Vec<_> = sample.minutes(121).collect();
        let (first, second) = ([60, 61, 119].map(address), [120, 100].map(address));
        assert_eq!(minutes, [(1, 3, &first[..]), (2, 2, &second[..])]);
    }

    #[test]
    fn every_request_of_a_minute_has_the_same_chance() {
        const REQUESTS: u32 = 5120;
        let mut by_quarter = [0_u32; 4];
        for seed in 0..50 {
            let mut sample = Sample::new(mix(seed));
            for number in 0..REQUESTS {
                sample.add(0, address(number));
            }
            let (_, requests, clients) = sample.minutes(0).next().expect("a minute");
            assert_eq!((requests, clients.len()), (u64::from(REQUESTS), CLIENTS));
            for client in clients {
                let IpAddr::V4(client) = client else {
                    panic!("IPv4")
                };
                by_quarter[(client.to_bits() / (REQUESTS / 4)) as usize] += 1;
            }
        }
        // 6,400 each; a standard deviation is 66.
        for count in by_quarter {
            assert!((6000..=6800).contains(&count), "{by_quarter:?}");
        }
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_and_no_more() {
        let mut sample = Sample::new(1);
        for minute in (0..40).filter(|minute| minute % 3 != 0) {
            for number in 0..2000 {
                sample.add(minute * 60, address(number));
            }
        }
        let numbers: Vec<u64> = sample.minutes(40 * 60).map(|(number, ..)| number).collect();
        let expected: Vec<u64> = (26..40).filter(|minute| minute % 3 != 0).collect();
        assert_eq!(numbers, expected);
        assert_eq!(sample.minutes.len(), MINUTES);
        assert_eq!(sample.minutes(60 * 60).count(), 0);
    }
}
