"""Policy binds every write, whoever asks. Pure, so every rule is a row."""

from pathlib import Path

import pytest

from proxy.control.policy import Change, Rules, never_block_entries, plan, rules_from, subject
from proxy.errors import PolicyRefused
from proxy.settings import load_settings


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    path = tmp_path / "sentra.toml"
    path.write_text(
        """
        [edge]
        trusted_proxies = ["203.0.113.0/28"]
        [upstream]
        url = "http://gateway.example:8080"
        [blocklist]
        never_block = ["192.0.2.53", "2001:db8:53::/48", "ours.example"]
        maximum_block_ttl_seconds = 1000
        maximum_allow_ttl_seconds = 100
        manual_entry_count = 5
        """
    )
    return rules_from(load_settings(path))


def planned(rules: Rules, target: str, disposition: str = "block", live_count: int = 0, **values):
    change = Change(target, disposition, "ops", **values)
    return plan(change, rules, now=10_000, live_count=live_count)


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("127.0.0.1", "blocklist.never_block"),
        ("::1", "blocklist.never_block"),
        ("::ffff:127.0.0.1", "blocklist.never_block"),
        ("10.1.2.3", "blocklist.never_block"),
        ("fd00::1", "blocklist.never_block"),
        ("169.254.169.254", "blocklist.never_block"),
        ("203.0.113.5", "blocklist.never_block"),
        ("203.0.113.0/24", "blocklist.never_block"),
        ("192.0.2.53", "blocklist.never_block"),
        ("192.0.2.0/24", "blocklist.never_block"),
        ("2001:db8:53:1::1", "blocklist.never_block"),
        ("gateway.example", "blocklist.never_block"),
        ("ours.example", "blocklist.never_block"),
        ("api.ours.example", "blocklist.never_block"),
        ("198.0.0.0/15", "blocklist.minimum_prefix_v4"),
        ("0.0.0.0/0", "blocklist.minimum_prefix_v4"),
        ("2001:db8::/31", "blocklist.minimum_prefix_v6"),
        ("com", "public_suffix"),
        ("example", "public_suffix"),
        ("co.uk", "public_suffix"),
    ],
)
def test_block_that_would_hurt_ourselves_is_refused(rules, target, rule):
    """By address, by a network around it, by a name above or below it."""
    with pytest.raises(PolicyRefused) as caught:
        planned(rules, target)
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    "target", ["198.51.100.7", "198.51.0.0/16", "2001:db9::/32", "evil.example", "co.example"]
)
def test_ordinary_block_is_planned(rules, target):
    entry = planned(rules, target)
    assert (entry.disposition, entry.origin, entry.source) == ("block", "operator", "operator:ops")
    assert (entry.score, entry.created, entry.expires) == (10.0, 10_000, None)


def test_refusal_names_what_it_touches_and_the_setting(rules):
    with pytest.raises(
        PolicyRefused, match=r"203\.0\.113\.0/28, which is never blocked: edge\.trusted_proxies"
    ):
        planned(rules, "203.0.113.7")


def test_exact_block_above_a_guarded_name_does_not_cover_it(rules):
    """`example.net` alone does not touch `www.example.net`, its suffix does."""
    assert planned(rules, "example.org", kind="exact").kind == "exact"
    guarded = Rules((), ("www.example.org",))
    assert planned(guarded, "example.org", kind="exact").target == "example.org"
    for kind in ("suffix", "below"):
        with pytest.raises(PolicyRefused):
            planned(guarded, "example.org", kind=kind)


def test_private_ranges_may_be_blocked_when_configured(tmp_path):
    """An edge inside a company has private clients only."""
    path = tmp_path / "sentra.toml"
    path.write_text('[blocklist]\nnever_block_private = false\n[upstream]\nurl = "http://gateway:80"\n')
    rules = rules_from(load_settings(path))
    assert planned(rules, "10.1.2.3").target == "10.1.2.3/32"
    with pytest.raises(PolicyRefused):
        planned(rules, "127.0.0.1")


def test_allow_may_touch_what_is_never_blocked(rules):
    assert planned(rules, "10.0.0.0/16", "allow").score == 0.0


def test_allow_is_held_to_the_prefix_cap(rules):
    """An allow of everything is the end of all protection."""
    with pytest.raises(PolicyRefused, match=r"0\.0\.0\.0/0 is too wide"):
        planned(rules, "0.0.0.0/0", "allow")


@pytest.mark.parametrize(("disposition", "limit"), [("block", 1000), ("allow", 100)])
def test_lifetime_has_a_cap_of_its_own_for_each_kind(rules, disposition, limit):
    assert planned(rules, "198.51.100.7", disposition, ttl_seconds=limit).expires == 10_000 + limit
    with pytest.raises(PolicyRefused) as caught:
        planned(rules, "198.51.100.7", disposition, ttl_seconds=limit + 1)
    assert caught.value.rule == f"blocklist.maximum_{disposition}_ttl_seconds"


def test_entries_without_end_can_be_forbidden(rules):
    with pytest.raises(PolicyRefused, match="needs ttl_seconds of at most 31536000"):
        planned(Rules((), (), permanent_entries=False), "198.51.100.7")


def test_number_of_manual_entries_has_a_limit(rules):
    """What goes beyond it belongs into a list file."""
    with pytest.raises(PolicyRefused) as caught:
        planned(rules, "198.51.100.7", live_count=5)
    assert caught.value.rule == "blocklist.manual_entry_count"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("2001:db8:1:2:3::4", ("2001:db8:1:2::/64", "network")),
        ("2001:db8:1:2:3::4/128", ("2001:db8:1:2:3::4/128", "network")),
        ("2001:db8:1::/48", ("2001:db8:1::/48", "network")),
        ("198.51.100.7", ("198.51.100.7/32", "network")),
        ("::ffff:198.51.100.7", ("198.51.100.7/32", "network")),
        ("EVIL.Example.", ("evil.example", "suffix")),
    ],
)
def test_single_ipv6_address_means_its_64(rules, typed, expected):
    """Whoever owns one address there owns all of them: rotation inside a /64 evades /128."""
    assert subject(typed, rules) == expected


@pytest.mark.parametrize("target", ["", "1.2.3.4/33", "a..b", "x y", "1.2.3.4.5"])
def test_what_is_no_target_is_refused_with_its_value(rules, target):
    with pytest.raises(ValueError, match=r".+"):
        planned(rules, target)


def test_shields_hold_everything_that_is_never_blocked(rules):
    """Feeds are held to the same list."""
    shields = dict(never_block_entries(rules))
    assert {"127.0.0.0/8", "10.0.0.0/8", "203.0.113.0/28", "192.0.2.53/32", "ours.example"} <= set(shields)
    assert "gateway.example" in shields
