"""Counters of the shared segment and the state of the lists -> the Prometheus text form."""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fastmatch._native import COUNTERS, GAUGES
from proxy.control.context import Control
from proxy.control.target_metrics import target_metrics

# The segment has 32 steps per octave, far more than a time series database wants.
BUCKETS_SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
_ROUTE_COUNTERS: Final = {
    "requests": "requests by route",
    "denied": "denials by route",
    "limited": "answers 429 of a rate limit, by route",
    "errors": "answers 5xx by route",
    "client_gone": "clients that went before their answer, by route",
}
_HISTOGRAMS: Final[tuple[Literal["request_seconds", "upstream_seconds"], ...]] = (
    "request_seconds",
    "upstream_seconds",
)


class ControlCollector(Collector):
    """Reads everything at the moment of the scrape."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterable[Metric]:
        yield from self._segment()
        yield from self._routes()
        yield from self._lists()
        yield from self._workers()
        yield from target_metrics(self._control)

    def _segment(self) -> Iterator[Metric]:
        values = self._control.segment.counters()
        for name in COUNTERS:
            yield CounterMetricFamily(f"sentra_{name}", f"{name} of all workers", value=values.get(name, 0))
        for name in GAUGES:
            yield GaugeMetricFamily(f"sentra_{name}", f"{name} of all workers", value=values.get(name, 0))
        for name in _HISTOGRAMS:
            buckets, total, sum_value = fold(self._control.segment.histogram(name))
            yield HistogramMetricFamily(
                f"sentra_{name}",
                f"{name} of all workers",
                buckets=[*buckets, ("+Inf", total)],
                sum_value=sum_value,
            )

    def _routes(self) -> Iterator[Metric]:
        """Of the configuration in force; a route that was taken out and put back goes on counting."""
        names = [route.name for route in self._control.state.config.routes]
        families = {
            name: CounterMetricFamily(f"sentra_route_{name}", text, labels=["route"])
            for name, text in _ROUTE_COUNTERS.items()
        }
        responses = CounterMetricFamily(
            "sentra_route_responses", "answers by route and class", labels=["route", "class"]
        )
        seconds = HistogramMetricFamily("sentra_route_request_seconds", "by route", labels=["route"])
        for name, (counts, latency) in zip(names, self._control.segment.routes(names), strict=True):
            for counter, family in families.items():
                family.add_metric([name], counts[counter])
            for digit in "12345":
                responses.add_metric([name, f"{digit}xx"], counts[f"responses_{digit}xx"])
            buckets, total, sum_value = fold([(bound / 1e6, count) for bound, count in latency.items()])
            seconds.add_metric([name], buckets=[*buckets, ("+Inf", total)], sum_value=sum_value)
        yield from (*families.values(), responses, seconds)

    def _lists(self) -> Iterator[Metric]:
        state, lists, now = self._control.state, self._control.lists, time.time()
        yield GaugeMetricFamily(
            "sentra_log_sequence", "newest record of the change log", value=state.head.sequence
        )
        yield GaugeMetricFamily("sentra_manual_entries", "live manual entries", value=len(state.live(now)))
        if state.base is not None:
            age = max(0.0, now - state.base.created)
            yield GaugeMetricFamily(
                "sentra_base_sequence", "version in force", value=state.base.files.sequence
            )
            yield GaugeMetricFamily("sentra_base_age_seconds", "since the base was compiled", value=age)
        if state.blocklist is not None:
            sizes = GaugeMetricFamily("sentra_entries", "entries in force", labels=["kind"])
            for kind in ("ipv4", "ipv6", "domains", "overlay"):
                sizes.add_metric([kind], state.blocklist.stats.get(kind, 0))
            yield sizes
        failed = lists.fault is not None
        yield GaugeMetricFamily(
            "sentra_compile_failing", "1: lists changed and cannot be compiled", value=int(failed)
        )
        ages = GaugeMetricFamily(
            "sentra_list_age_seconds", "since the list's text changed", labels=["source"]
        )
        counts = GaugeMetricFamily("sentra_list_entries", "entries of the list in force", labels=["source"])
        refused = GaugeMetricFamily(
            "sentra_list_refused", "1: the newest text is not in use", labels=["source"]
        )
        for note in lists.manifest.lists if lists.manifest is not None else ():
            ages.add_metric([note.source], max(0.0, now - note.loaded))
            counts.add_metric([note.source], note.accepted_count)
            refused.add_metric([note.source], int(note.refusal is not None))
        yield from (ages, counts, refused)

    def _workers(self) -> Iterator[Metric]:
        links, denials = self._control.links, self._control.denials
        done, total = links.applied(self._control.state.version)
        yield GaugeMetricFamily("sentra_workers_attached", "workers on the control socket", value=total)
        yield GaugeMetricFamily("sentra_workers_current", "workers at the newest version", value=done)
        yield CounterMetricFamily(
            "sentra_denials_recorded", "denials in the history", value=denials.recorded_count
        )
        yield CounterMetricFamily(
            "sentra_denials_dropped", "denials counted only", value=denials.dropped_count
        )


def registry(control: Control) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(ControlCollector(control))
    return made


def exposition(made: CollectorRegistry) -> bytes:
    return generate_latest(made)


def fold(fine: Sequence[tuple[float, int]]) -> tuple[list[tuple[str, float]], int, float]:
    """(cumulative buckets, total, sum): a fine bucket counts in the coarse one that holds its bound."""
    counts = [0] * (len(BUCKETS_SECONDS) + 1)
    sum_value = 0.0
    for upper, count in fine:
        counts[bisect_left(BUCKETS_SECONDS, upper)] += count
        sum_value += upper * count
    buckets: list[tuple[str, float]] = []
    running = 0
    for bound, count in zip(BUCKETS_SECONDS, counts, strict=False):
        running += count
        buckets.append((str(bound), running))
    return buckets, running + counts[-1], sum_value
