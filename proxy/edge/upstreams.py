"""All upstreams of one worker, by name and by route."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from proxy.edge.cluster import Cluster, Take
from proxy.edge.config import EdgeConfig

if TYPE_CHECKING:  # the context makes this
    from proxy.edge.context import Context
    from proxy.edge.target import Target


class Upstreams:
    """`takes` and `clusters` go by route index. `takes` stays one list, connections hold on to it."""

    __slots__ = ("_by_name", "_context", "clusters", "takes")

    def __init__(self, context: "Context") -> None:
        self._context = context
        self._by_name: dict[str, Cluster] = {}
        self.clusters: list[Cluster] = []
        self.takes: list[Take] = []

    def configure(self, config: EdgeConfig) -> None:
        """Raises ValueError naming the route whose upstream does not exist; then everything stays as it
        was."""
        upstreams = config.every_upstream()
        names = {upstream.name for upstream in upstreams}
        for index, route in enumerate(config.routes):
            if route.upstream not in names:
                raise ValueError(f"routes.{index}.upstream: there is no upstream {route.upstream!r}")
        before, self._by_name = self._by_name, {}
        self.clusters = []
        for upstream in upstreams:
            cluster = before.pop(upstream.name, None)
            if cluster is None:
                cluster = Cluster(self._context, upstream)
            else:
                cluster.configure(upstream)
            self._by_name[upstream.name] = cluster
        self.clusters = [self._by_name[route.upstream] for route in config.routes]
        self.changed()
        for gone in before.values():
            gone.retire()

    def changed(self) -> None:
        """An upstream has other targets."""
        self.takes[:] = [cluster.take for cluster in self.clusters]

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

    @property
    def idle_count(self) -> int:
        return sum(len(target.pool) for target in self.targets())

    def close(self) -> None:
        """The worker ends: no idle connection is needed any more."""
        for cluster in self:
            cluster.retire()
