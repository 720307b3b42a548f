"""Targets of all upstreams -> the Prometheus text form."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from proxy.control.context import Control

_LABELS = ("upstream", "target")


def target_metrics(control: Control) -> Iterator[Metric]:
    """Counters of targets that have left stay, gauges go."""
    in_flight = GaugeMetricFamily(
        "sentra_target_in_flight", "exchanges and tunnels at the target", labels=_LABELS
    )
    idle = GaugeMetricFamily("sentra_target_idle", "idle connections to the target", labels=_LABELS)
    ejected = GaugeMetricFamily(
        "sentra_target_ejected", "workers that leave the target out at present", labels=_LABELS
    )
    failures = CounterMetricFamily(
        "sentra_target_failures", "exchanges that failed at the target", labels=_LABELS
    )
    ejections = CounterMetricFamily(
        "sentra_target_ejections", "times that a worker left the target out", labels=_LABELS
    )
    for labels, found in sorted(control.links.targets.sums().items()):
        failures.add_metric(labels, found.failures)
        ejections.add_metric(labels, found.ejections)
        if found.worker_count:
            in_flight.add_metric(labels, found.busy)
            idle.add_metric(labels, found.idle)
            ejected.add_metric(labels, found.ejected_by)
    up = GaugeMetricFamily("sentra_target_up", "1: the checks find it well", labels=_LABELS)
    for upstream in control.state.config.every_upstream():
        for target, check in sorted(control.health.notes(upstream.name).items()):
            up.add_metric((upstream.name, target), int(check.is_up))
    yield from (in_flight, idle, ejected, failures, ejections, up)
