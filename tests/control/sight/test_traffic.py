"""Counts put together and written down."""

from collections import Counter

from proxy.control.sight.traffic import RouteTraffic, Traffic, together


def test_traffic_is_the_same_after_it_was_written_down():
    route = RouteTraffic(Counter(requests=3, errors=1), Counter({115: 2, 132: 1}))
    traffic = Traffic(1.5, {"api": route})
    assert Traffic.from_wire(traffic.to_wire()) == traffic
    twice = together([traffic, traffic])
    assert (twice.seconds, twice.routes["api"].counts["requests"], twice.routes["api"].latency[115]) == (
        3,
        6,
        4,
    )


def test_nothing_takes_hardly_any_room():
    traffic = Traffic(1.0, {"api": RouteTraffic()})
    assert not traffic
    assert traffic.to_wire() == b'{"seconds":1.0,"routes":{}}'
