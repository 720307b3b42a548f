"""A listener beside the others, [edge] and the routes -> the key at fault and what is wrong with it."""

from collections.abc import Iterator

from proxy.settings.model import Settings
from proxy.settings.toml_lines import KeyPath
from proxy.settings.types import BindAddress


def listener_faults(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    if settings.listeners and "listen" in settings.edge.model_fields_set:
        yield ("listeners",), "cannot be used beside edge.listen: write that address as one of them"
    names: set[str] = set()
    places: set[str] = set()
    for index, listener in enumerate(settings.listeners):
        if listener.name in names:
            yield ("listeners", index, "name"), f"{listener.name!r} is another listener's name too"
        names.add(listener.name)
        place = str(listener.listen)
        if place in places:
            yield ("listeners", index, "listen"), f"{place} is another listener's address too"
        if not isinstance(listener.listen, BindAddress) or listener.listen.port:
            places.add(place)  # port 0: the kernel chooses another one each time
        if settings.edge.engine == "aiohttp":
            for key in ("tls", "proxy_protocol"):
                if getattr(listener, key) not in (None, "off"):
                    yield (
                        ("listeners", index, key),
                        "is for the engine 'native', but edge.engine is 'aiohttp'",
                    )
    yield from _drop_scores(settings)


def _drop_scores(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """A dropped connection has no route yet: nothing may be dropped that a route would have let through."""
    edge = settings.edge
    is_observing = edge.mode == "observe" or any(route.mode == "observe" for route in settings.routes)
    scores = [edge.block_score, *(route.block_score or edge.block_score for route in settings.routes)]
    for index, listener in enumerate(settings.listeners):
        if listener.drop_score is None:
            continue
        key: KeyPath = ("listeners", index, "drop_score")
        if is_observing:
            yield key, "cannot be used while edge or a route observes: a dropped connection is not observed"
        elif listener.drop_score < max(scores):
            limit = f"must not lie below any block_score, of which one is {max(scores):g}"
            yield key, f"{limit}, is {listener.drop_score:g}"
