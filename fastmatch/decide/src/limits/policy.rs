//! What the operator wrote about one rate limit -> what requests are counted by.

use http1::render::decimal;

use super::keys::Identity;
use super::table::{LONGEST_SECONDS, Quota, TICKS_PER_SECOND};
use crate::config::{ConfigError, error};

/// Of the edge, and of one route.
pub const MOST_LIMITS: usize = 4;
/// The table counts time in ticks of which 40 are the shortest interval it can hold well.
const MOST_PER_SECOND: u64 = 100_000;

/// Plain values.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    pub name: String,
    /// `client`, `route` or `header:NAME`.
    pub key: String,
    pub requests: u64,
    pub per_seconds: u64,
    /// How many may come at once; None: as many as `requests`.
    pub burst: Option<u64>,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// An IPv4 address, a /64 of IPv6.
    Client,
    /// The value of this field. Requests without it are not counted.
    Header(Box<[u8]>),
    /// All requests of the route.
    Route,
}

#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub name: Box<str>,
    pub key: Key,
    pub quota: Quota,
    pub identity: Identity,
    /// `"name";q=100;w=60`, as it stands in RateLimit-Policy.
    pub policy: Box<[u8]>,
}

/// The limits of a route: those of the edge, which count over all routes, and its own. Names tell them apart; what was
/// counted stays when a limit's numbers change.
pub(crate) fn compile(
    edge: &[LimitSettings],
    own: &[LimitSettings],
    route: &str,
) -> Result<Box<[Limit]>, ConfigError> {
    let mut limits: Vec<Limit> = Vec::with_capacity(edge.len() + own.len());
    for (settings, scope) in [(edge, None), (own, Some(route))] {
        if settings.len() > MOST_LIMITS {
            let reason = format!(
                "there are {}, at most {MOST_LIMITS} are possible",
                settings.len()
            );
            return Err(refused(reason));
        }
        for limit in settings {
            if limits.iter().any(|other| *other.name == *limit.name) {
                return Err(refused(format!("two are named {:?}", limit.name)));
            }
            limits.push(compile_one(limit, scope, route)?);
        }
    }
    Ok(limits.into_boxed_slice())
}

fn compile_one(
    settings: &LimitSettings,
    scope: Option<&str>,
    route: &str,
) -> Result<Limit, ConfigError> {
    let name = settings.name.as_str();
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._:/-".contains(&octet);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        let reason = format!("{name:?} is not 1-64 of letters, digits and ._:/-");
        return Err(refused(reason));
    }
    let key = parse_key(&settings.key).ok_or_else(|| {
        refused(format!(
            "{name:?}: key {:?} is not client, route or header:NAME",
            settings.key
        ))
    })?;
    // All routes have the edge's limits; counted by route they are limits of each route.
    let place = if key == Key::Route {
        Some(route)
    } else {
        scope
    };
    let mut policy = Vec::new();
    for part in [b"\"", name.as_bytes(), b"\";q="] {
        policy.extend_from_slice(part);
    }
    decimal(&mut policy, settings.requests);
    policy.extend_from_slice(b";w=");
    decimal(&mut policy, settings.per_seconds);
    Ok(Limit {
        name: name.into(),
        identity: Identity::of(place, scope.is_some(), name, &settings.key),
        key,
        quota: quota(settings).map_err(|reason| refused(format!("{name:?}: {reason}")))?,
        policy: policy.into_boxed_slice(),
    })
}

fn parse_key(text: &str) -> Option<Key> {
    match text {
        "client" => Some(Key::Client),
        "route" => Some(Key::Route),
        _ => {
            let name = text.strip_prefix("header:")?.as_bytes();
            http1::is_token(name).then(|| Key::Header(name.into()))
        }
    }
}

fn quota(settings: &LimitSettings) -> Result<Quota, String> {
    let LimitSettings {
        requests,
        per_seconds,
        ..
    } = *settings;
    if !(1..=LONGEST_SECONDS).contains(&per_seconds) {
        return Err(format!(
            "per_seconds {per_seconds} is not within 1-{LONGEST_SECONDS}"
        ));
    }
    let most = per_seconds * MOST_PER_SECOND;
    if !(1..=most).contains(&requests) {
        return Err(format!(
            "requests {requests} is not within 1-{most}, {MOST_PER_SECOND} a second"
        ));
    }
    let most = requests * LONGEST_SECONDS / per_seconds;
    let burst = settings.burst.unwrap_or(requests);
    if !(1..=most).contains(&burst) {
        return Err(format!(
            "burst {burst} is not within 1-{most}, what comes in a day"
        ));
    }
    // Upwards, so that no second lets more pass than was written. For all of a burst that makes 36 minutes at most.
    let interval = (per_seconds * TICKS_PER_SECOND).div_ceil(requests);
    Ok(Quota {
        interval,
        allowance: interval * burst,
    })
}

fn refused(reason: String) -> ConfigError {
    error("rate_limits", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(key: &str, requests: u64, per_seconds: u64, burst: Option<u64>) -> LimitSettings {
        LimitSettings {
            name: "a".to_owned(),
            key: key.to_owned(),
            requests,
            per_seconds,
            burst,
        }
    }

    fn compiled(settings: LimitSettings) -> Limit {
        compile(&[settings], &[], "default").expect("valid")[0].clone()
    }

    #[test]
    fn quotas_are_ticks_and_never_more_than_was_written() {
        let first = compiled(limit("client", 100, 60, Some(20)));
        assert_eq!(first.quota.interval, 60 * TICKS_PER_SECOND / 100);
        assert_eq!(first.quota.allowance, 20 * first.quota.interval);
        assert_eq!(&*first.policy, b"\"a\";q=100;w=60");
        let uneven = compiled(limit("route", 7, 1, None));
        assert!(uneven.quota.interval * 7 >= TICKS_PER_SECOND);
        assert_eq!(uneven.quota.allowance, 7 * uneven.quota.interval);
        for (requests, per_seconds) in [
            (8_640_000_000, 86_400),
            (7, 86_400),
            (1, 86_400),
            (100_000, 1),
        ] {
            let longest = compiled(limit("client", requests, per_seconds, None)).quota;
            assert_eq!(longest.allowance, requests * longest.interval);
            // What a table takes for a time that can be.
            assert!(longest.allowance < (LONGEST_SECONDS + 3600) * TICKS_PER_SECOND);
        }
    }

    #[test]
    fn every_wrong_value_is_named() {
        for (settings, expected) in [
            (
                limit("cookie", 1, 1, None),
                "key \"cookie\" is not client, route or header:NAME",
            ),
            (limit("header:", 1, 1, None), "key \"header:\""),
            (limit("header:a b", 1, 1, None), "key \"header:a b\""),
            (
                limit("client", 0, 1, None),
                "requests 0 is not within 1-100000",
            ),
            (limit("client", 100_001, 1, None), "requests 100001"),
            (
                limit("client", 1, 0, None),
                "per_seconds 0 is not within 1-86400",
            ),
            (limit("client", 1, 86_401, None), "per_seconds 86401"),
            (
                limit("client", 1, 1, Some(0)),
                "burst 0 is not within 1-86400",
            ),
            (
                limit("client", 1, 60, Some(1441)),
                "burst 1441 is not within 1-1440",
            ),
        ] {
            let error = compile(&[settings], &[], "default").expect_err("refused");
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.key, "rate_limits");
        }
        let mut named = limit("client", 1, 1, None);
        named.name = "a\"b".to_owned();
        assert!(compile(&[named], &[], "default").is_err());
        let twice = vec![limit("client", 1, 1, None); 2];
        assert!(compile(&twice, &[], "default").is_err());
        assert!(compile(&twice[..1], &twice[1..], "default").is_err());
        let many: Vec<LimitSettings> = (0..5)
            .map(|number| LimitSettings {
                name: number.to_string(),
                ..limit("client", 1, 1, None)
            })
            .collect();
        assert!(compile(&[], &many, "default").is_err());
    }

    #[test]
    fn limits_of_one_name_and_place_are_one_and_others_are_not() {
        let identity = |name: &str, key: &str, is_of_route: bool, route| {
            let settings = [LimitSettings {
                name: name.to_owned(),
                ..limit(key, 1, 1, None)
            }];
            let (edge, own) = settings.split_at(usize::from(!is_of_route));
            compile(edge, own, route).expect("valid")[0].identity
        };
        let edge = identity("a", "client", false, "one");
        assert_eq!(
            edge,
            identity("a", "client", false, "two"),
            "the edge counts over all routes"
        );
        let others = [
            identity("b", "client", false, "one"),
            identity("a", "header:a", false, "one"),
            identity("a", "client", true, "one"),
            identity("a", "client", true, "two"),
            identity("a", "route", false, "one"),
            identity("a", "route", false, "two"),
            identity("a", "route", true, "one"),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, edge);
            assert!(!others[..index].contains(other), "{index}");
        }
    }
}
