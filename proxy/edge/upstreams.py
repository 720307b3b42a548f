"""All upstreams of one worker, by name and by route."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import orjson

from proxy.edge.cluster import Cluster, Take
from proxy.edge.config import EdgeConfig
from proxy.edge.upstream_tls import ClientContext

if TYPE_CHECKING:  # the context makes this
    from proxy.edge.context import Context
    from proxy.edge.target import Target


class Upstreams:
    """`takes` and `clusters` go by route index. `takes` stays one list, connections hold on to it."""

    __slots__ = ("_by_name", "_context", "_health", "clusters", "contexts", "takes")

    def __init__(self, context: "Context") -> None:
        self._context = context
        self._by_name: dict[str, Cluster] = {}
        # For an upstream that comes back with a configuration before its next report.
        self._health: dict[str, Mapping[str, bool]] = {}
        self.clusters: list[Cluster] = []
        # By the upstream's name: those with https targets.
        self.contexts: Mapping[str, ClientContext] = {}
        self.takes: list[Take] = []

    def configure(self, config: EdgeConfig, contexts: Mapping[str, ClientContext] | None = None) -> None:
        """Raises ValueError naming the route whose upstream does not exist; then everything stays as it
        was. Without `contexts` those that are loaded stay."""
        upstreams = config.every_upstream()
        names = {upstream.name for upstream in upstreams}
        for index, route in enumerate(config.routes):
            if route.upstream not in names:
                raise ValueError(f"routes.{index}.upstream: there is no upstream {route.upstream!r}")
        if contexts is not None:
            self.contexts = contexts
        before, self._by_name = self._by_name, {}
        self.clusters = []
        for upstream in upstreams:
            cluster, tls = before.pop(upstream.name, None), self.contexts.get(upstream.name)
            if cluster is None:
                cluster = Cluster(self._context, upstream, tls)
                cluster.take_health(self._health.get(upstream.name, {}))
            else:
                cluster.configure(upstream, tls)
            self._by_name[upstream.name] = cluster
        self.clusters = [self._by_name[route.upstream] for route in config.routes]
        self.changed()
        for gone in before.values():
            gone.retire()

    def changed(self) -> None:
        """An upstream has other targets."""
        self.takes[:] = [cluster.take for cluster in self.clusters]

    def take_health(self, health: Mapping[str, Mapping[str, bool]]) -> None:
        """By upstream and target; an upstream that is not named stays as it was."""
        self._health.update(health)
        self._health = {name: found for name, found in self._health.items() if name in self._by_name}
        for name, found in self._health.items():
            self._by_name[name].take_health(found)

    def report(self) -> bytes:
        """Each target as this worker sees it; for the control process, once a second."""
        rows = [
            {
                "upstream": target.cluster.config.name,
                "target": target.name,
                "is_ejected": target.ejected_until > 0,
                "busy": target.busy_count,
                "idle": len(target.pool),
                "failures": target.failure_count,
                "ejections": target.ejection_count,
            }
            for target in self.targets()
        ]
        return orjson.dumps(rows)

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self._by_name.values())

    def targets(self) -> "Iterator[Target]":
        for cluster in self:
            yield from cluster.targets

    def tick(self) -> None:
        """Called each second."""
        resolver = self._context.resolver
        resolver.keep_only(self)
        for cluster in self:
            resolver.refresh_when_due(cluster)
            cluster.tick()

    @property
    def idle_count(self) -> int:
        return sum(len(target.pool) for target in self.targets())

    def close(self) -> None:
        """The worker ends: no idle connection is needed any more."""
        for cluster in self:
            cluster.retire()
